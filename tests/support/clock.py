"""Virtual time and foreseeable ids for tests.

`FakeClock` stands still until the test moves it. Moving wakes sleepers one after another in the order of their times, and lets every
task run until nothing can go on before the next one is woken; so an hour of waiting costs no time and always goes the same way.
Work in threads or on sockets is not seen by it: use the store in memory, which works inside the event loop.
"""

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable

START = 1_800_000_000.0  # 2027-01-15 08:00 UTC
_QUIET_ROUNDS = 3
_MOST_ROUNDS = 10_000
_FALLBACK_ROUNDS = 50
_ALPHABET = "0123456789abcdefghijklmnopqrstuv"


class FakeClock:
    """ports.world.Clock with time that only the test moves."""

    def __init__(self, start: float = START) -> None:
        self._now = start
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), woken))
        await woken

    def next_wake(self) -> float | None:
        """When the next sleeper wants to be woken; None when nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    async def advance(self, seconds: float) -> None:
        """Let that much time pass, waking sleepers on the way."""
        await self._advance_to(self._now + seconds)

    async def run_until(self, goal: float | Callable[[], bool], *, within: float = 86_400.0) -> None:
        """Let time pass until a moment, or until a condition holds.

        Time jumps from sleeper to sleeper. Fails when the condition does not hold within that many virtual seconds, or when nobody
        sleeps any more, so that waiting longer could change nothing.
        """
        if not callable(goal):
            await self._advance_to(goal)
            return
        last = self._now + within
        await settle()
        while not goal():
            wake = self.next_wake()
            if wake is None or wake > last:
                reason = "nobody sleeps any more" if wake is None else f"the next sleeper wakes after {within:g} s"
                raise AssertionError(f"the condition does not hold at {self._now:.3f}, and {reason}")
            await self._wake_next()

    async def _advance_to(self, moment: float) -> None:
        await settle()
        while (wake := self.next_wake()) is not None and wake <= moment:
            await self._wake_next()
        self._now = max(self._now, moment)
        await settle()

    async def _wake_next(self) -> None:
        wake, _, woken = heapq.heappop(self._sleepers)
        self._now = max(self._now, wake)
        woken.set_result(None)
        await settle()


async def settle() -> None:
    """Let every task run until none can go on by itself."""
    ready = getattr(asyncio.get_running_loop(), "_ready", None)
    if ready is None:
        for _ in range(_FALLBACK_ROUNDS):
            await asyncio.sleep(0)
        return
    quiet = 0
    for _ in range(_MOST_ROUNDS):
        await asyncio.sleep(0)
        quiet = 0 if ready else quiet + 1
        if quiet == _QUIET_ROUNDS:
            return


class FakeIds:
    """ports.world.Ids whose ids count upwards and whose chance is the same in every run."""

    def __init__(self, seed: int = 0) -> None:
        self._count = itertools.count(1)
        self._random = random.Random(seed)

    def new(self, prefix: str) -> str:
        number, digits = next(self._count), ""
        while number:
            number, digit = divmod(number, 32)
            digits = _ALPHABET[digit] + digits
        return f"{prefix}_{digits:0>26}"

    def random(self) -> float:
        return self._random.random()
