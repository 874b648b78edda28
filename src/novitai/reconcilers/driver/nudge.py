"""A sleep that can be ended early, without losing a wish that comes while nobody sleeps."""

import asyncio

from novitai.ports.world import Clock


class Nudge:
    """A wish to be woken, which is not lost when nobody sleeps."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = asyncio.Event()

    def give(self) -> None:
        """Wake the sleeper, or the next one to come."""
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Sleep until nudged or until the time is over; tells which (True: nudged)."""
        if not self._event.is_set() and seconds > 0:
            timer = asyncio.ensure_future(self._clock.sleep(seconds))
            waiter = asyncio.ensure_future(self._event.wait())
            try:
                await asyncio.wait({timer, waiter}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                timer.cancel()
                waiter.cancel()
        nudged = self._event.is_set()
        self._event.clear()
        return nudged
