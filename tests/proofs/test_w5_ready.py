"""W5: told soon after the application answers. A real server with its default intervals, machines that come up one after another, and the
simulator's own word for the moment at which each application began to answer.

So many machines come up as the default limit of 100 calls a minute leaves room for: polls are stretched beyond that. Short runs use smaller
intervals without that limit; the bound is made of the intervals that are used.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from support import sites
from support.ledger_site import Outcome, Plan, keep_ledger
from support.processes import Forks

forks = sites.forks  # a fixture
SPEED = 20.0
DELAYS = {"appRefuse": 5.0, "appWarmup": 15.0}
ANSWERS_AFTER = sum(DELAYS.values()) / SPEED
"""Seconds from running until the application answers."""
QUICK = {
    "INSTANCE_FAST_POLL_INTERVAL": "500ms",
    "INSTANCE_POLL_INTERVAL": "1s",
    "HEALTH_CHECK_INTERVAL": "300ms",
    "UPSTREAM_RATE_LIMIT": "100000",
}
EVENTS_OF_A_CREATE = 9


@pytest.mark.alone
@pytest.mark.timeout(450)
async def test_ready_is_told_soon_after_the_application_answers(forks: Forks, tmp_path: Path, scale, book) -> None:
    """W5: p99 ≤ fast poll + health interval + 1 s; here the SSH details are there in time."""
    count = scale.pick(short=5, prove=16, full=90)
    settings: Mapping[str, str] = scale.pick(short=QUICK, prove={})
    bound = scale.pick(short=0.5 + 0.3, prove=3.0 + 2.0) + 1.0

    outcome = await keep_ledger(
        forks,
        tmp_path,
        Plan(
            events=(count - 1) * EVENTS_OF_A_CREATE + 1,
            pace=scale.pick(short=2.0, prove=0.3),
            verbs=(),
            failing=0.0,
            patience=30,
            settings=settings,
            speed=SPEED,
            delays=DELAYS,
        ),
    )

    assert outcome.count("lost") == 0
    lags = sorted(_lags(outcome, tmp_path / "receiver.jsonl"))
    book.figure("W5", "instances that became ready", len(lags), at_least=count)
    what = "application answers to `instance.ready` delivered, longest"
    book.figure("W5", what, lags[-1], unit="s", at_most=bound, timed=True)
    book.figure("W5", "the same, half of them", lags[len(lags) // 2], unit="s")


def _lags(outcome: Outcome, ledger: Path) -> list[float]:
    """Seconds from the application's first answer to the arrival of its instance's `ready`."""
    entries = [json.loads(line) for line in ledger.read_text().splitlines()]
    ready = {entry["instance"]: entry["at"] for entry in entries if entry["type"] == "instance.ready"}
    return [
        at - machine["runningSince"] - ANSWERS_AFTER
        for instance, at in ready.items()
        for machine in outcome.machines
        if instance.partition("_")[2] in machine["name"]
    ]
