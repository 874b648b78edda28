"""One life of the process: the real program over ports that can fail, be slow, or be the last thing that it ever does.

Every port call is a point at which the process may end, before it or after it. A process that has ended reaches no port any more and its
tasks are cleared away; what was given to the ports stays done. The disk outlives it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

from novitai.app.foundation import Replaced
from novitai.app.program import Program
from novitai.ports.store import Commit, Conflict, Put, StoreUnavailable
from novitai.ports.world import Clock
from support.clock import FakeIds
from support.memory_store import MemoryDisk, MemoryStore
from support.simulation_novita import BadNovita
from support.simulation_receivers import BadReceivers
from support.simulation_stage import Stage

T = TypeVar("T")

CHANGES = frozenset({"commit", "claim", "renew", "create", "start", "stop", "restart", "delete", "migrate", "post"})
READS = frozenset({"get", "get_many", "list", "count", "changes", "revision", "read_log", "count_log", "next_due"})
UNSHAKEN = frozenset({"close"})
_LIFE: ContextVar["Process | None"] = ContextVar("life", default=None)


class Ended(BaseException):
    """The process is not there any more."""


class NoAnswer(Exception):
    """Whoever asked was not answered: the process ended, or is not there."""


class Process:
    """See the module's text. `ends_at`: the point, counted from 1, at which it ends by itself (0: none); `only`: which calls count."""

    def __init__(self, stage: Stage, *, ends_at: int = 0, only: frozenset[str] = frozenset()) -> None:
        self.stage = stage
        self.program: Program | None = None
        self.serves = False
        self.gone = asyncio.Event()
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.disk: MemoryDisk | None = None
        self.steady: Clock | None = None
        self._ends_at = ends_at
        self._only = only
        self._points = 0

    async def open(
        self, disk: MemoryDisk, novita: BadNovita, receivers: BadReceivers, ids: FakeIds, settings: Any
    ) -> None:
        """Start the program. Raises NoAnswer when it ends before it serves."""
        self.disk = disk
        self.stage.note("process starts")
        await self.call(self._open(disk, novita, receivers, ids, settings))
        self.serves = True

    async def _open(
        self, disk: MemoryDisk, novita: BadNovita, receivers: BadReceivers, ids: FakeIds, settings: Any
    ) -> None:
        store = MemoryStore(disk, clock=self.stage.clock)
        replaced = Replaced(
            clock=self.stage.clock,
            steady=self.steady,
            ids=ids,
            store=port(Shaky(self, store), store),
            provider=port(Crossing(self, novita), novita),
            egress=port(Crossing(self, receivers), receivers),
        )
        self.program = await Program.open(settings, replaced)
        keepers = self.program.keepers  # all that `start` begins but the meters, which only count and wake every second
        for part in (*keepers.lanes, *keepers.loops, keepers.health_checks):
            part.start()

    async def call(self, asking: Coroutine[Any, Any, T]) -> T:
        """Run something inside the process. Raises NoAnswer when the process ends before it is done."""
        token = _LIFE.set(self)
        try:
            inside = asyncio.ensure_future(asking)
        finally:
            _LIFE.reset(token)
        await asyncio.wait({inside})
        if inside.cancelled() or isinstance(inside.exception(), Ended):
            raise NoAnswer
        return inside.result()

    async def stop(self) -> None:
        """End in order, as after SIGTERM."""
        self.serves = False
        self.stage.note("process stops")
        if self.program is not None:
            await self.call(self.program.stop(grace=2.0))
        self._clear()

    def end(self, why: str) -> None:
        """End at once, as after SIGKILL."""
        if self.gone.is_set():
            return
        self.stage.hits["process ended"] += 1
        self.stage.note("process ends", why)
        self._clear()

    def _clear(self) -> None:
        self.serves = False
        self.gone.set()
        if self.disk is not None:
            self.disk.lose_power()
        if self.program is not None:
            self.program.keepers.health_checks._stopping = True  # whoever is gone does not begin again what was ended
        for task in tuple(self.tasks):
            task.cancel()

    def point(self, when: str, call: str) -> None:
        """A place at which the process may end."""
        self.alive()
        if self._only and call not in self._only:
            return
        self._points += 1
        if self._points == self._ends_at:
            self.stage.hits[f"ended {when} {call}"] += 1
            self.end(f"{when} {call}")
            raise Ended

    def alive(self) -> None:
        if self.gone.is_set():
            raise Ended


class Crossing:
    """A port of a process: calls pass while it lives."""

    def __init__(self, process: Process, inner: Any) -> None:
        self.process = process
        self.inner = inner

    async def cross(
        self, name: str, method: Callable[..., Awaitable[Any]], args: Any, kwargs: Mapping[str, Any]
    ) -> Any:
        self.process.point("before", name)
        result = await method(*args, **kwargs)
        self.process.point("after", name)
        return result


class Shaky(Crossing):
    """The disk: away for a while, slow, and sometimes another was first."""

    async def cross(
        self, name: str, method: Callable[..., Awaitable[Any]], args: Any, kwargs: Mapping[str, Any]
    ) -> Any:
        stage = self.process.stage
        self.process.point("before", name)
        if name not in UNSHAKEN and not stage.calm:
            if stage.lasts("disk away"):
                raise StoreUnavailable("the disk is full")
            if stage.happens("disk is slow"):
                await stage.clock.sleep(stage.chance.choice((0.001, 0.02, 0.02, 1.5)))
                self.process.alive()
            if name == "commit" and _expects(args[0]) and stage.happens("commit loses a race"):
                raise Conflict("somebody else was first")
        result = await method(*args, **kwargs)
        self.process.point("after", name)
        if name in READS and stage.happens("disk is slow"):
            await stage.clock.sleep(0.02)
        return result


def port(crossing: Crossing, inner: Any) -> Any:
    """What the program holds in place of `inner`: its methods, each by way of the crossing."""
    return _Port(crossing, inner)


class _Port:
    def __init__(self, crossing: Crossing, inner: Any) -> None:
        self._crossing, self._inner = crossing, inner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(method):
            return method
        crossing = self._crossing

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await crossing.cross(name, method, args, kwargs)

        setattr(self, name, call)
        return call


def _expects(commit: Commit) -> bool:
    """Whether a commit counts on what somebody else could change meanwhile."""
    return bool(commit.checks) or any(put.expect for put in commit.puts if isinstance(put, Put))


def remember_lives(loop: asyncio.AbstractEventLoop) -> None:
    """Let every task know to which process it belongs."""

    def make(loop: asyncio.AbstractEventLoop, coro: Any, context: Any = None) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, context=context)
        life = _LIFE.get()
        if life is not None:
            life.tasks[task] = None
            task.add_done_callback(lambda done: life.tasks.pop(done, None))
            if life.gone.is_set():
                task.cancel()
        return task

    loop.set_task_factory(make)
