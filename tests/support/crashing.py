"""The process ends at a chosen port call: before it is made, or after it was made and before its answer is known.

A `Fuse` counts the points of a run and blows at one of them; from then on nothing gets past any port, as in a process that was killed. What
was given to the ports before stays done. Points are the calls that change something: ending before or after one that only reads is the same
as ending before the next that changes something.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from novitai.stores.sqlite import SqliteStore, _free_what_was_held
from support.receivers import Receivers

STORE_POINTS = frozenset({"commit", "claim", "renew"})
PROVIDER_POINTS = frozenset({"create", "start", "stop", "restart", "delete"})


class Ended(BaseException):
    """What is left of the process is cleared away."""


class Fuse:
    """Blows at the `at`-th point (counted from 1; 0: never)."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.points = 0
        self.blown = asyncio.Event()
        self.where = ""
        self.cleared = False

    async def point(self, name: str) -> None:
        """One place at which the process may end."""
        await self.alive()
        self.points += 1
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
    """A port whose calls are points of the fuse, before and after."""

    def __init__(self, inner: Any, fuse: Fuse, points: frozenset[str]) -> None:
        self._inner, self._fuse, self._points = inner, fuse, points

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(method):
            return method
        return self._guarded(name, method)

    def _guarded(self, name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        counted = name in self._points

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._fuse.alive()
            if counted:
                await self._fuse.point(f"before {name}")
            result = await method(*args, **kwargs)
            await self._fuse.alive()
            if counted:
                await self._fuse.point(f"after {name}")
            return result

        return call


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


async def free_what_was_held(store: SqliteStore) -> None:
    """What a store does when it is opened after its process died."""
    await store._runner.write(_free_what_was_held)
