"""Threads that do a store's blocking work: one that writes, and a few that read.

The writer takes everything that waits and does it in one transaction, each piece behind a savepoint of its own: one fsync for many commits,
while each still happens whole or not at all, and none is acknowledged before the fsync. Readers do one piece at a time. Results are handed
back to the event loop in the order of the work, a group at once.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Outcome:
    """What became of one piece of work: a value or an error."""

    __slots__ = ("error", "value")

    def __init__(self, value: Any = None, error: BaseException | None = None) -> None:
        self.value = value
        self.error = error


class Worker(Protocol):
    """What does the work of one thread: a connection, and how it makes a transaction around it."""

    def do(self, work: Sequence[Callable[[Any], Any]]) -> list[Outcome]:
        """Do all of it; an outcome for each piece, in order."""
        ...

    def close(self) -> None:
        """Called in the thread when it ends."""
        ...


class _Ask:
    """A piece of work and the caller who waits for it."""

    __slots__ = ("future", "loop", "work")

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.work = work
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()


class Threads:
    """Workers over one queue, each in a thread of its own. Not to be used after `stop`."""

    def __init__(self, name: str, workers: Sequence[Worker], *, group: int) -> None:
        self._asked: queue.SimpleQueue[_Ask | None] = queue.SimpleQueue()
        self._group = group
        self._threads = [
            threading.Thread(target=self._serve, args=(worker,), name=f"{name}-{number}", daemon=True)
            for number, worker in enumerate(workers)
        ]
        for thread in self._threads:
            thread.start()

    async def call(self, work: Callable[[Any], T]) -> T:
        """Have it done; its value or its error. When the caller is cancelled the work may still be done."""
        ask = _Ask(work)
        self._asked.put(ask)
        result: T = await ask.future
        return result

    def stop(self) -> None:
        """Do what was asked before, then end the threads; returns when they have ended."""
        for _ in self._threads:
            self._asked.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self, worker: Worker) -> None:
        ending = False
        while not ending:
            asks, ending = self._next_group()
            if asks:
                _answer(asks, _outcomes(worker, asks))
        worker.close()

    def _next_group(self) -> tuple[list[_Ask], bool]:
        first = self._asked.get()
        if first is None:
            return [], True
        asks = [first]
        while len(asks) < self._group:
            try:
                further = self._asked.get_nowait()
            except queue.Empty:
                break
            if further is None:
                return asks, True
            asks.append(further)
        return asks, False


def _outcomes(worker: Worker, asks: Sequence[_Ask]) -> list[Outcome]:
    try:
        return worker.do([ask.work for ask in asks])
    except Exception as error:  # noqa: BLE001 - a thread that died would leave every later caller waiting
        return [Outcome(error=error) for _ in asks]


def _answer(asks: Sequence[_Ask], outcomes: Sequence[Outcome]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Ask, Outcome]]] = {}
    for ask, outcome in zip(asks, outcomes, strict=True):
        by_loop.setdefault(ask.loop, []).append((ask, outcome))
    for loop, answers in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, answers)
        except RuntimeError:  # the loop was closed: nobody waits any more
            continue


def _settle(answers: Sequence[tuple[_Ask, Outcome]]) -> None:
    for ask, outcome in answers:
        if ask.future.done():
            continue
        if outcome.error is None:
            ask.future.set_result(outcome.value)
        else:
            ask.future.set_exception(outcome.error)
