"""An event loop in which waiting costs nothing: when nobody can go on, time jumps to the next one who wants to.

Everything in it is foreseeable: no sockets, no threads, no real clock. It is for simulations, in which the program is never paused by a test;
where a test moves the time itself, `support.clock` is the clock.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from support.clock import START

T = TypeVar("T")


_RESOLUTION = 2.5e-7  # the distance of two neighbouring times of this size: what is due now is due
_MOST_ROUNDS = 200_000


class Stuck(AssertionError):
    """Everybody waits for somebody else for ever, or goes on for ever without letting time pass."""


class _Jumping:
    """In place of a selector: what would wait lets the time pass instead."""

    def __init__(self) -> None:
        self.now = START
        self.rounds = 0

    def select(self, timeout: float | None) -> tuple[()]:
        if timeout is None:
            raise Stuck(f"nobody sleeps and nobody goes on at {self.now:.3f}")
        if timeout > 0:
            self.now += timeout
            self.rounds = 0
            return ()
        self.rounds += 1
        if self.rounds > _MOST_ROUNDS:
            raise Stuck(f"no end of steps at {self.now:.3f}")
        return ()


class VirtualLoop(asyncio.BaseEventLoop):
    """`time()` is Unix seconds of a made-up world."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Jumping()
        self._clock_resolution = _RESOLUTION

    def time(self) -> float:
        return self._selector.now

    def _process_events(self, event_list: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody else is here to be woken by."""


class LoopClock:
    """ports.world.Clock by the time of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in a loop of its own; what is left over is cancelled."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
