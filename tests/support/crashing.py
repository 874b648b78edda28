"""The process ends at a chosen port call: before it is made, or after it was made and before its answer is known.

A `Fuse` counts the points of a run and blows at one of them; from then on nothing gets past any port, as in a process that was killed. What
was given to the ports before stays done. The points that matter are the calls that change something: ending before or after one that only
reads is the same as ending before the next that changes something. `EVERY` counts the reads as well.

    world = await World.begin()
    fuse = await drive(world, live, at=7)  # `live` is told once more, by a new program over the same store and the same Novita
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Container
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Self

from novitai.operations.receipts import Draft
from novitai.stores.sqlite import SqliteStore, _free_what_was_held, open_sqlite
from support.clock import FakeClock, FakeIds
from support.receivers import Receivers
from support.running import House, end_abruptly, running
from support.timed_provider import TimedProvider


class _Every(frozenset[str]):
    def __contains__(self, name: object) -> bool:
        return name != "close"


EVERY: Container[str] = _Every()
STORE_POINTS: Container[str] = frozenset({"commit", "claim", "renew"})
PROVIDER_POINTS: Container[str] = frozenset({"create", "start", "stop", "restart", "delete", "migrate"})
SECRETS_KEY = base64.b64encode(b"the key of every test process...").decode()
"""What one process seals, the next one opens."""


class Ended(BaseException):
    """What is left of the process is cleared away."""


class Fuse:
    """Blows at the `at`-th point (counted from 1; 0: never). `names` are the points that were passed, in order."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.names: list[str] = []
        self.blown = asyncio.Event()
        self.where = ""
        self.cleared = False

    @property
    def points(self) -> int:
        """How many were passed."""
        return len(self.names)

    async def point(self, name: str) -> None:
        """One place at which the process may end."""
        await self.alive()
        self.names.append(name)
        if self.points == self.at:
            self.where = name
            self.blown.set()
            await self.alive()

    async def alive(self) -> None:
        """A process that has ended gets no further."""
        if self.cleared:
            raise Ended
        if self.blown.is_set():
            await asyncio.get_running_loop().create_future()


class Fused:
    """A port whose calls are points of the fuse, before and after; a call that fails has an answer, too."""

    def __init__(self, inner: Any, fuse: Fuse, points: Container[str]) -> None:
        self._inner, self._fuse, self._points = inner, fuse, points

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(method):
            return method
        return self._guarded(name, method)

    def _guarded(self, name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._pass(f"before {name}", name)
            try:
                result = await method(*args, **kwargs)
            except Exception:
                await self._pass(f"after {name}", name)
                raise
            await self._pass(f"after {name}", name)
            return result

        return call

    async def _pass(self, point: str, name: str) -> None:
        await self._fuse.alive()
        if name in self._points:
            await self._fuse.point(point)


class FusedReceivers(Receivers):
    """Receivers whose POSTs are points; the world outside remembers what arrived."""

    def __init__(self, outside: Receivers, fuse: Fuse) -> None:
        self._outside, self._fuse = outside, fuse

    async def post(self, *args: Any, **kwargs: Any) -> Any:
        await self._fuse.point("before post")
        answer = await self._outside.post(*args, **kwargs)
        await self._fuse.point("after post")
        return answer

    async def get(self, *args: Any, **kwargs: Any) -> Any:
        await self._fuse.alive()
        return await self._outside.get(*args, **kwargs)


@dataclass
class World:
    """What outlives the process. `provider` may be any double of Novita in this clock's time."""

    clock: FakeClock
    provider: TimedProvider
    receivers: Receivers
    store: SqliteStore
    ids: FakeIds = field(default_factory=FakeIds)

    @classmethod
    async def begin(cls, provider: Callable[..., TimedProvider] = TimedProvider, *, ids: FakeIds | None = None) -> Self:
        """An empty one."""
        clock = FakeClock()
        store = await open_sqlite(None, clock=clock)
        store.close = _nothing  # type: ignore[method-assign] # a store in memory must outlive the programs over it
        return cls(clock, provider(clock=clock), Receivers(clock), store, ids or FakeIds())

    def house(
        self,
        fuse: Fuse,
        *,
        store: Container[str] = STORE_POINTS,
        provider: Container[str] = PROVIDER_POINTS,
        **settings: str,
    ) -> AbstractAsyncContextManager[House]:
        """A process in this world, whose calls are points of the fuse."""
        return running(
            clock=self.clock,
            ids=self.ids,
            store=Fused(self.store, fuse, store),  # type: ignore[arg-type]
            provider=Fused(self.provider, fuse, provider),  # type: ignore[arg-type]
            receivers=FusedReceivers(self.receivers, fuse),
            **({"NOVITAI_SECRETS_KEY": SECRETS_KEY} | settings),
        )

    async def ended(self) -> None:
        """A process has ended without giving anything back; the store is opened again."""
        await self.store._runner.write(_free_what_was_held)

    async def close(self) -> None:
        """Nothing is left."""
        await SqliteStore.close(self.store)


async def create_once(house: House, **fields: Any) -> str:
    """Ask for an instance as a caller does who repeats what was not answered, with the same Idempotency-Key; its id."""
    receipts = house.program.operations.receipts
    draft = await receipts.begin(owner="key_1", method="POST", path="/api/instances", key="k1", body=b"{}")
    if not isinstance(draft, Draft):
        return str(draft.body)
    try:
        return await house.create(draft=draft, **fields)
    finally:
        receipts.end(draft)


async def drive(world: World, live: Callable[[Fuse], Awaitable[None]], *, at: int) -> Fuse:
    """Live with the process ending at that point (0: never), and then once more to the end."""
    others = asyncio.all_tasks()
    fuse = Fuse(at)
    life = asyncio.ensure_future(live(fuse))
    blown = asyncio.create_task(fuse.blown.wait())
    await asyncio.wait({life, blown}, return_when=asyncio.FIRST_COMPLETED)
    if life.done() and not fuse.blown.is_set():
        blown.cancel()
        life.result()
        return fuse
    fuse.cleared = True
    await end_abruptly(others)
    await world.ended()
    await live(Fuse())
    return fuse


async def _nothing() -> None:
    return None
