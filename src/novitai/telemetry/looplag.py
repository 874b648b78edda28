"""How late the event loop is: the one figure that tells a busy process from a stuck one."""

import asyncio
from collections.abc import Awaitable, Callable

EVERY = 0.5  # seconds; often enough to catch a stall, rare enough to cost nothing


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
