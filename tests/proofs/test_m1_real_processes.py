"""M1 with real processes and sockets: creates that go wrong in every way while the server is killed with SIGKILL.

The settle time is shortened to 2 s, and Novita's list and single reads lag by 1 s. A kill comes at a random moment, or just as a create
arrives at Novita. The callers repeat what was not answered. Judged from outside: the stand-in's machines and its log of calls.
"""

import asyncio
import itertools
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from novita_simulator.calls import Call
from support.processes import Forks
from support.sites import CREATE, SPEED, Server, Site, forks, instance_of, open_site, order

__all__ = ["forks"]

SETTLE_SECONDS = 2.0
LAG_SECONDS = 1.0
CLEAR_REFUSALS = {400, 403}
TROUBLE: tuple[dict[str, Any], ...] = (
    {"mode": "slow", "seconds": 0.3},
    {"mode": "slow", "seconds": 0.3, "afterEffect": True},
    {"mode": "hang"},
    {"mode": "hang", "afterEffect": True},
    {"mode": "status", "status": 500},
    {"mode": "status", "status": 500, "afterEffect": True},
    {"mode": "status", "status": 408, "afterEffect": True},
    {"mode": "reset"},
    {"mode": "reset", "afterEffect": True},
    {"mode": "html", "afterEffect": True},
    {"mode": "html", "status": 200, "afterEffect": True},
    {"mode": "malformed", "afterEffect": True},
    {"mode": "empty", "afterEffect": True},
    {"mode": "truncate"},
    {"mode": "status", "status": 400, "reason": "IMAGE_URL_OR_AUTH_ERROR"},
    {"mode": "status", "status": 403, "reason": "NOT_ENOUGH_BALANCE"},
)


@dataclass
class Callers:
    """What was asked and what was promised: our ids by Idempotency-Key."""

    pending: list[str] = field(default_factory=list)
    promised: dict[str, str] = field(default_factory=dict)

    def think_of_more(self, count: int) -> None:
        begun = len(self.pending) + len(self.promised)
        self.pending += [f"m1-{begun + number}" for number in range(count)]

    async def ask_all(self, server: Server) -> None:
        """Ask for what is not promised yet."""
        await asyncio.gather(*(self._ask(server, key) for key in list(self.pending)))

    async def _ask(self, server: Server, key: str) -> None:
        try:
            status, answer = await server.ask("POST", "/api/instances", order(key), **{"Idempotency-Key": key})
        except (aiohttp.ClientError, OSError):
            return
        assert status == 201, answer
        self.pending.remove(key)
        self.promised[key] = answer["instanceId"]


@dataclass
class Findings:
    """Machines ever made for each promise, by whether Novita's last word on it was a clear refusal; and creates sent on doubt."""

    accepted: Counter[int]
    refused: Counter[int]
    blind: int


async def one_round(site: Site, callers: Callers, chance: random.Random, *, creates: int) -> None:
    """A server from its start to its kill."""
    site.simulator.faults.clear()
    for fault in chance.sample(TROUBLE, creates):
        site.fault("POST .*instance/create", **fault)
    server = await site.serve()
    callers.think_of_more(creates)
    before = len(site.calls("POST", CREATE))
    asking = asyncio.create_task(callers.ask_all(server))
    if chance.random() < 0.5:
        await site.until(lambda: len(site.calls("POST", CREATE)) > before, seconds=10.0)
    await asyncio.sleep(chance.uniform(0.0, 0.6))
    await server.process.kill()
    await asking


async def come_to_rest(site: Site, callers: Callers) -> None:
    """A last server that nobody kills; until every promise is kept or known to have failed."""
    site.simulator.faults.clear()
    server = await site.serve()
    await callers.ask_all(server)
    assert not callers.pending
    await asyncio.gather(*(_settled(server, instance_id) for instance_id in callers.promised.values()))
    await server.process.kill()


async def _settled(server: Server, instance_id: str) -> None:
    async with asyncio.timeout(60):
        while True:
            _, instance = await server.ask("GET", f"/api/instances/{instance_id}?wait=ready&timeout=5")
            if instance["status"] in {"ready", "failed"}:
                return


def judge(site: Site, callers: Callers) -> Findings:
    """What the stand-in saw."""
    sent: dict[str, list[Call]] = {}
    for call in site.calls("POST", CREATE):
        sent.setdefault(instance_of(call.body["name"]), []).append(call)
    found = Findings(Counter(), Counter(), 0)
    assert set(sent) <= set(callers.promised.values()), "a create for something that nobody was promised"
    for instance_id in callers.promised.values():
        calls = sent.get(instance_id, [])
        refused = bool(calls) and calls[-1].status in CLEAR_REFUSALS
        (found.refused if refused else found.accepted)[len(site.machines(instance_id, ever=True))] += 1
        found.blind += _blind(site, calls)
    return found


def _blind(site: Site, calls: list[Call]) -> int:
    """Creates that followed one of the same instance without a clear refusal of it, and without a whole list after the settle time."""
    lists = [call for call in site.calls("GET", "gpu/instances") if call.status == 200 and not call.fault]
    found = len(calls) - len({call.body["name"] for call in calls})
    for earlier, later in itertools.pairwise(calls):
        if earlier.status in CLEAR_REFUSALS:
            continue
        proven = earlier.received_at + SETTLE_SECONDS
        found += not any(proven <= one.received_at <= later.received_at for one in lists)
    return found


@pytest.mark.timeout(900)
async def test_kills_and_lost_answers_leave_one_machine_for_each_create(forks: Forks, tmp_path: Path, scale, book):
    """Real time, real sockets, SIGKILL."""
    rounds, creates = scale.pick(short=(3, 3), prove=(40, 6), full=(200, 6))
    chance, callers = random.Random(7), Callers()
    switches = {"listLagSeconds": LAG_SECONDS * SPEED, "lagHidesGet": True}
    room = {"balance": 1_000_000, "stock": [{"stock": 10_000}]}
    async with open_site(forks, tmp_path, room | {"switches": switches}) as site:
        for _ in range(rounds):
            await one_round(site, callers, chance, creates=creates)
        await come_to_rest(site, callers)
        found = judge(site, callers)
        sent = len(site.calls("POST", CREATE))

    book.figure("M1", "real processes: kills with SIGKILL while creates go wrong", rounds, at_least=3)
    book.figure("M1", "real processes: creates sent", sent, at_least=5)
    book.figure("M1", "real processes: machines per accepted create, most", max(found.accepted), exactly=1)
    book.figure("M1", "real processes: machines per accepted create, fewest", min(found.accepted), exactly=1)
    book.figure(
        "M1", "real processes: machines per create that Novita refused, most", max(found.refused, default=0), exactly=0
    )
    book.figure("M1", "real processes: creates sent again on doubt", found.blind, exactly=0)
