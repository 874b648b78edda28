"""Creates whose answer is lost, garbled or late, while Novita's list lags behind.

All of them are asked for together in one server, each with a trouble of its own.
"""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support.processes import Forks
from support.sites import CREATE, SPEED, Site, instance_of, open_site

SETTLE_SECONDS = 2.0
DONE, NOT_DONE = {"afterEffect": True}, {"afterEffect": False}
UNCLEAR: tuple[dict[str, Any], ...] = (
    {"mode": "hang", **NOT_DONE},
    {"mode": "hang", **DONE},
    {"mode": "slow", "seconds": 1.3, **NOT_DONE},  # done after the caller has given up
    {"mode": "status", "status": 500, **NOT_DONE},
    {"mode": "status", "status": 500, **DONE},
    {"mode": "status", "status": 408, **DONE},
    {"mode": "reset", **NOT_DONE},
    {"mode": "reset", **DONE},
    {"mode": "html", **NOT_DONE},
    {"mode": "html", **DONE},
    {"mode": "html", "status": 200, **DONE},
    {"mode": "malformed", **NOT_DONE},
    {"mode": "malformed", **DONE},
    {"mode": "empty", **DONE},
    {"mode": "truncate"},
    {"mode": "wrong-types"},
    {"mode": "drip", "seconds": 0.5},
    {"mode": "flood", "seconds": 2, **DONE},
)
REFUSED: tuple[dict[str, Any], ...] = (
    {"mode": "status", "status": 400, "reason": "IMAGE_URL_OR_AUTH_ERROR"},
    {"mode": "status", "status": 403, "reason": "NOT_ENOUGH_BALANCE"},
)


@pytest.mark.parametrize("lag", [0.0, 1.5], ids=["prompt list", "lagging list and reads"])
async def test_a_lost_answer_never_makes_a_second_machine(forks: Forks, tmp_path: Path, lag: float) -> None:
    """M1, U4: exactly one machine for each accepted create, none for a refused one, nothing sent twice."""
    switches = {"listLagSeconds": lag * SPEED, "lagHidesGet": lag > 0}
    async with open_site(forks, tmp_path, {"switches": switches}) as site:
        server = await site.serve()
        for fault in (*UNCLEAR, *REFUSED):
            site.fault("POST .*instance/create", **fault)

        asked = [await server.create(f"lost-{number}") for number in range(len(UNCLEAR) + len(REFUSED))]
        first = await first_attempts(site, len(asked))
        by_fault = {instance_of(call.body["name"]): call.fault for call in first}
        states = await asyncio.gather(*(settled(server, instance_id) for instance_id in asked))

        made = {instance_id: len(site.machines(instance_id, ever=True)) for instance_id in asked}
        assert Counter(states) == {"ready": len(UNCLEAR), "failed": len(REFUSED)}, dict(
            zip(by_fault.items(), states, strict=True)
        )
        assert made == {i: int(state == "ready") for i, state in zip(asked, states, strict=True)}, by_fault
        assert_looked_before_sending_again(site)


async def first_attempts(site: Site, count: int) -> list[Any]:
    """The first create of each instance, all sent before any second one: so each met a trouble of its own."""
    await site.until(lambda: len(site.calls("POST", CREATE)) >= count)
    calls = site.calls("POST", CREATE)[:count]
    assert len({instance_of(call.body["name"]) for call in calls if call.fault}) == count
    return calls


async def settled(server: Any, instance_id: str) -> str:
    """The state in which an instance comes to rest."""
    async with asyncio.timeout(30):
        while True:
            _, instance = await server.ask("GET", f"/api/instances/{instance_id}?wait=ready&timeout=5")
            if instance["status"] in {"ready", "failed"}:
                return instance["status"]


def assert_looked_before_sending_again(site: Site) -> None:
    """Each marker is sent once; a second attempt follows a whole list that was read after the settle time."""
    sent = site.calls("POST", CREATE)
    assert max(Counter(call.body["name"] for call in sent).values()) == 1
    lists = [call for call in site.calls("GET", "gpu/instances") if call.status == 200]
    earlier: dict[str, float] = {}
    for call in sent:
        before = earlier.get(instance_of(call.body["name"]))
        earlier[instance_of(call.body["name"])] = call.received_at
        if before is not None:
            between = [one for one in lists if before + SETTLE_SECONDS <= one.received_at <= call.received_at]
            assert between, call.body["name"]
