"""How late the event loop is: the one figure that tells a busy process from a stuck one."""

import asyncio
from collections.abc import Awaitable, Callable

from novitai.telemetry.metrics import Metrics

EVERY = 0.5  # seconds; often enough to catch a stall, rare enough to cost nothing


async def measure(
    metrics: Metrics,
    *,
    now: Callable[[], float],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    every: float = EVERY,
) -> None:
    """Report the lag for ever; `now` is a monotonic clock. Ends only by being cancelled."""
    while True:
        asleep = now()
        await sleep(every)
        metrics.loop_lagged(max(0.0, now() - asleep - every))
