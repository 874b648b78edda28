"""What measurements say about idleness: until when a signal shows use, as far as it was read.

Novita's measurements are late, have holes, and can be missing altogether. What was not measured may have been use, so a hole
counts as use until its end, and a signal without a fresh value counts as use now.
"""

from collections.abc import Iterator, Sequence

import msgspec

from novitai.domain.idle import SignalName
from novitai.domain.ids import MachineId
from novitai.domain.metrics import MachineMetrics, Sample, Window

BUSY_PERCENT = 5.0
"""From here on a GPU or CPU is in use. A GPU that only holds a model shows 0 to 2 %, the daemons of an image 1 to 3 % of a CPU."""
STALE_SECONDS = 180.0
"""A measurement older than this is missing (semantics.md 3). Novita's are about a minute late (novita-wire.md 3.16)."""
AHEAD_SECONDS = 60.0
"""How far Novita's clock may be ahead of ours. What is dated later says that the two cannot be compared, and counts as missing."""
MARGIN_SECONDS = 300.0
"""How much more than the threshold is read, so that a little waiting does not leave a hole."""
FINEST_INTERVAL, COARSEST_INTERVAL = 15, 60
"""Seconds between measurements asked for: Novita's default, and what still is far below a hole."""
MOST_SAMPLES = 1_000


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The measurements of one machine in a window, as they could be read at `at`."""

    machine_id: MachineId
    at: float
    since: float
    metrics: MachineMetrics


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """What a reading says of one signal: its newest value, and until when it shows use. `missing`: it has no fresh value."""

    newest: Sample | None
    used_until: float | None
    missing: bool


def window(*, floor: float, idle_seconds: float, now: float) -> Window:
    """What has to be read to judge whether a machine was idle for that long. It begins at a whole interval, so that two
    readings see the same measurements, and has no end: asked up to a moment by a clock that was set back, Novita would give
    old measurements that look new.
    """
    since = max(floor, now - idle_seconds - MARGIN_SECONDS)
    wanted = (now - since) / MOST_SAMPLES
    interval = int(min(COARSEST_INTERVAL, max(FINEST_INTERVAL, -(-wanted // FINEST_INTERVAL) * FINEST_INTERVAL)))
    return Window(since=float(since // interval * interval), interval=interval)


def trace(reading: Reading, signal: SignalName, *, since: float) -> Trace:
    """Judge one measured signal from `since` on (or from where the reading begins)."""
    series = reading.metrics.gpu if signal is SignalName.GPU else reading.metrics.cpu
    newest = series[-1] if series else None
    if newest is None or not reading.at - STALE_SECONDS <= newest.at <= reading.at + AHEAD_SECONDS:
        return Trace(newest=newest, used_until=reading.at, missing=True)
    start = max(since, reading.since)
    return Trace(newest=newest, used_until=max(_uses(series, start, begin=reading.since), default=None), missing=False)


def _uses(series: Sequence[Sample], start: float, *, begin: float) -> Iterator[float]:
    """Until when the signal showed use, from `start` on: a busy moment lasts until the next one that is not, a hole until its end,
    also one that began before.
    """
    before, busy = begin, False
    for sample in series:
        was, busy = busy, not sample.value < BUSY_PERCENT
        if sample.at >= start and (busy or was or sample.at - before > STALE_SECONDS):
            yield sample.at
        before = sample.at
