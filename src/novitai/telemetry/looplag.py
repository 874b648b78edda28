"""How late the event loop is: the one figure that tells a busy process from a stuck one."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger("novitai")

EVERY = 0.5  # seconds; often enough to catch a stall, rare enough to cost nothing
REMEMBERED = 10
"""Measurements that count as recent. A stall is noticed when it is over; whoever sends traffic here must be able to see it then."""
STALLED = 5.0
"""Seconds of lag that are worth a line in the log."""


class Recent:
    """The lag of the last few seconds; each measurement is told on."""

    def __init__(self, told: Callable[[float], None]) -> None:
        self._told = told
        self._lags: deque[float] = deque(maxlen=REMEMBERED)

    @property
    def worst(self) -> float:
        """The largest recent lag, in seconds; 0 before the first measurement."""
        return max(self._lags, default=0.0)

    def note(self, seconds: float) -> None:
        """Take in a measurement."""
        self._lags.append(seconds)
        self._told(seconds)
        if seconds > STALLED:
            log.warning("event_loop_stalled", seconds=round(seconds, 1))


async def measure(
    told: Callable[[float], None],
    *,
    now: Callable[[], float],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    every: float = EVERY,
) -> None:
    """Tell the lag in seconds for ever; `now` is a monotonic clock. Ends only by being cancelled."""
    while True:
        asleep = now()
        await sleep(every)
        told(max(0.0, now() - asleep - every))
