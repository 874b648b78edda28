"""W4: told promptly. A real server under a steady load of about 100 events a second, and a receiver that answers at once.

An event's own timestamp is taken before its commit, so that what is measured here, from the timestamp to the arrival at the receiver (a
process of its own, on the same clock), is more than the time from the commit to the first attempt.
"""

import json
import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest

from support import sites
from support.ledger_site import Plan, keep_ledger
from support.processes import Forks

forks = sites.forks  # a fixture


@pytest.mark.alone
@pytest.mark.timeout(200)
async def test_events_arrive_at_once_at_a_hundred_a_second(forks: Forks, tmp_path: Path, scale, book) -> None:
    """W4: p50 ≤ 50 ms, p99 ≤ 500 ms."""
    seconds = scale.pick(short=1.5, prove=20.0, full=60.0)
    warm_up = scale.pick(short=0.5, prove=3.0)  # until the instances begun give the full load
    pace = scale.pick(short=5.0, prove=6.5)

    outcome = await keep_ledger(
        forks, tmp_path, Plan(events=round((warm_up + seconds) * pace * 18), pace=pace, failing=0.0, patience=20)
    )

    assert outcome.count("lost") == 0
    lags, at = _arrivals(tmp_path / "receiver.jsonl")
    loaded = sum(warm_up <= moment - at[0] < warm_up + seconds for moment in at)
    book.figure("W4", "events a second, sustained", loaded / seconds, unit="/s", at_least=100, timed=True)
    book.figure("W4", "seconds of it", seconds, unit="s", at_least=20, timed=True)
    book.figure("W4", "timestamp to arrival, p50", percentile(lags, 0.5) * 1000, unit="ms", at_most=50, timed=True)
    book.figure("W4", "timestamp to arrival, p99", percentile(lags, 0.99) * 1000, unit="ms", at_most=500, timed=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not exceeded by so large a share of the values."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def _arrivals(ledger: Path) -> tuple[list[float], list[float]]:
    """Of each arrival: seconds since the event's timestamp, and when it was; in order."""
    entries = [json.loads(line) for line in ledger.read_text().splitlines()]
    at = [entry["at"] for entry in entries]
    return [entry["at"] - datetime.fromisoformat(entry["timestamp"]).timestamp() for entry in entries], at
