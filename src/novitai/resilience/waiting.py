"""The room where calls wait for a slot: by priority of share, first come first served inside, and never longer than
they care to.

One pump asks the window on behalf of all who wait, so a higher share is always asked for before a lower one, and
somebody who walks away takes nothing along: a slot that arrives too late goes to the next in line, or back. The window
may live in this process or be shared by replicas; the clock comes from outside.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol

from novitai.resilience.limiter import Share, Slot, Wait

# Estimates are rounded up to this, so a clock of coarse steps cannot make the pump spin.
_SHORTEST_SLEEP = 0.001


class Window(Protocol):
    """A limiter window, wherever it is kept."""

    async def admit(self, share: Share) -> Slot | Wait:
        """A slot, or when to ask again."""
        ...

    async def settle(self, slot_id: int) -> None:
        """The call of this slot has ended or was given up."""
        ...

    async def release(self, slot_id: int) -> None:
        """The call of this slot was never sent."""
        ...


class RoomClock(Protocol):
    """Time and waiting for it, in seconds."""

    def now(self) -> float:
        """The present."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that long."""
        ...


class LimiterBusy(Exception):
    """No slot within the longest wait; `wait_seconds` is the estimate of when there will be one."""

    def __init__(self, wait_seconds: float) -> None:
        super().__init__(f"the call limit is used up; a slot is expected in {wait_seconds:.1f} s")
        self.wait_seconds = wait_seconds


class _Waiter:
    def __init__(self, *, share: Share, since: float, until: float) -> None:
        self.share = share
        self.since = since
        self.until = until
        self.estimated = False
        self.slot: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()

    def fail(self, error: Exception) -> None:
        if not self.slot.done():
            self.slot.set_exception(error)


class WaitingRoom:
    """Slots of one window for the callers of one event loop. `pace` is the window's seconds per call, used for
    estimates.
    """

    def __init__(self, window: Window, clock: RoomClock, *, pace: float) -> None:
        self._window = window
        self._clock = clock
        self._pace = pace
        self._queues: dict[Share, deque[_Waiter]] = {share: deque() for share in Share}
        self._pump: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._unclaimed: deque[Slot] = deque()

    @property
    def queue_length(self) -> int:
        """How many wait."""
        return sum(len(queue) for queue in self._queues.values())

    @property
    def oldest_wait_ms(self) -> float:
        """How long the one who has waited longest has waited, in milliseconds."""
        now = self._clock.now()
        return max((1000 * (now - waiter.since) for waiter in self._waiters()), default=0.0)

    async def acquire(self, share: Share, longest_wait: float) -> Slot:
        """Wait for a slot, at most `longest_wait` seconds.

        Raises LimiterBusy at once when the estimate is longer than that, and at its end when the estimate was too
        hopeful. Errors of the window are passed on.
        """
        now = self._clock.now()
        waiter = _Waiter(share=share, since=now, until=now + longest_wait)
        self._queues[share].append(waiter)
        self._wake()
        try:
            return await waiter.slot
        except asyncio.CancelledError:
            self._leave(waiter)
            raise

    async def settle(self, slot: Slot) -> None:
        """The call has ended or was given up; the slot is free one window later."""
        await self._window.settle(slot.id)

    async def release(self, slot: Slot) -> None:
        """The call was never sent; whoever waits may have the slot now."""
        await self._window.release(slot.id)
        self._changed.set()

    async def close(self) -> None:
        """Send everybody away with LimiterBusy; closing twice is fine."""
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.cancel()
            with suppress(asyncio.CancelledError):
                await pump
        for waiter in list(self._waiters()):
            self._dismiss(waiter, LimiterBusy(0.0))

    def _waiters(self) -> Iterator[_Waiter]:
        for queue in self._queues.values():
            yield from queue

    def _wake(self) -> None:
        self._changed.set()
        if self._pump is None or self._pump.done():
            self._pump = asyncio.get_running_loop().create_task(self._run(), name="waiting-room")

    def _leave(self, waiter: _Waiter) -> None:
        """A cancelled caller: forget it, and take back the slot it was given in the same moment."""
        with suppress(ValueError):
            self._queues[waiter.share].remove(waiter)
        if waiter.slot.done() and not waiter.slot.cancelled() and waiter.slot.exception() is None:
            self._unclaimed.append(waiter.slot.result())
        self._wake()

    async def _run(self) -> None:
        while self.queue_length or self._unclaimed:
            self._changed.clear()
            await self._return_unclaimed()
            pause = await self._serve_all()
            if self.queue_length and not self._changed.is_set():
                await self._sleep(max(pause, _SHORTEST_SLEEP))

    async def _return_unclaimed(self) -> None:
        while self._unclaimed:
            slot = self._unclaimed.popleft()
            if not self._hand_over(slot):
                await self._give_back(slot)

    async def _serve_all(self) -> float:
        """Ask for each share in order of priority; returns the seconds until asking again makes sense."""
        soonest = float("inf")
        ahead = 0
        for share, queue in self._queues.items():
            wait = await self._serve(share)
            self._send_away_hopeless(queue, wait, ahead)
            ahead += len(queue)
            if queue:
                patience = min(waiter.until for waiter in queue) - self._clock.now()
                soonest = min(soonest, wait, patience)
        return soonest

    async def _serve(self, share: Share) -> float:
        """Give slots to the share's queue until it is empty or the window says wait; returns that wait in seconds."""
        queue = self._queues[share]
        while queue:
            try:
                outcome = await self._window.admit(share)
            except Exception as error:  # noqa: BLE001 -- whatever the keeper's trouble is, it goes to who asked for a slot
                if queue:
                    self._dismiss(queue[0], error)
                continue
            if isinstance(outcome, Wait):
                return outcome.seconds
            if not self._hand_over(outcome):
                await self._give_back(outcome)
        return 0.0

    async def _give_back(self, slot: Slot) -> None:
        # Nobody is left to be told of a failure here, and a keeper forgets slots that are never settled.
        with suppress(Exception):
            await self._window.release(slot.id)

    def _hand_over(self, slot: Slot) -> bool:
        queue = self._queues[slot.share]
        while queue:
            waiter = queue.popleft()
            if not waiter.slot.done():
                waiter.slot.set_result(slot)
                return True
        return False

    def _send_away_hopeless(self, queue: deque[_Waiter], wait: float, ahead: int) -> None:
        now = self._clock.now()
        for place, waiter in enumerate(list(queue)):
            expected = wait + (ahead + place) * self._pace
            first_look, waiter.estimated = not waiter.estimated, True
            if now >= waiter.until or (first_look and now + expected > waiter.until):
                self._dismiss(waiter, LimiterBusy(expected))

    def _dismiss(self, waiter: _Waiter, error: Exception) -> None:
        with suppress(ValueError):
            self._queues[waiter.share].remove(waiter)
        waiter.fail(error)

    async def _sleep(self, seconds: float) -> None:
        """Until then, or until somebody comes or goes."""
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[object]] = [
            loop.create_task(self._clock.sleep(seconds)),
            loop.create_task(self._changed.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
