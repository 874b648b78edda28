"""What replicas share but correctness does not rest on: limiter windows, breaker states, caches and wake-up hints.

A keeper may vanish at any moment and come back: every call ends within a small time budget, and a local fallback stands
behind it. Nothing here may decide whether a machine exists or money is spent; losing all of it costs speed, never
truth.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import msgspec


class Share(StrEnum):
    """For whom a call to Novita is made; each has a guaranteed part of the window (semantics: 30, 30 and 20 of 100)."""

    ACT = "act"  # start, stop, delete, a waiting person
    OBSERVE = "observe"  # the list poll and what is read because of it
    BULK = "bulk"  # the backlog of creates, catalogue, metrics, bills


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of a window: a slot to be settled when the call has ended, or after how many seconds to ask again."""

    slot: int | None
    wait_seconds: float = 0.0


class WindowUse(msgspec.Struct, frozen=True, kw_only=True):
    """How full a window is now."""

    limit: int
    window_seconds: float
    used: int


class BreakerPermit(msgspec.Struct, frozen=True, kw_only=True):
    """Leave to make one call, or when to try again. `epoch` keeps late answers of an earlier state from counting."""

    allowed: bool
    epoch: int
    probe: bool = False
    retry_at: float | None = None


class BreakerView(msgspec.Struct, frozen=True, kw_only=True):
    """A breaker as people see it: state `CLOSED`, `OPEN` or `HALF_OPEN`."""

    state: str
    failure_count: int
    opened_at: float | None
    retry_at: float | None


class Cached(msgspec.Struct, frozen=True, kw_only=True):
    """A cached value with the time it was stored."""

    body: bytes
    stored_at: float


class CacheStats(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of one cache since the start of this process."""

    name: str
    entries: int
    hits: int
    misses: int


class Coordination(Protocol):
    """See the module's text. No method raises because a shared keeper is away."""

    async def admit(self, window: str, share: Share) -> Admission:
        """Ask for a slot in a limiter window (`public` or `internal`)."""
        ...

    async def settle(self, window: str, slot: int) -> None:
        """The call of this slot has ended or was given up; the slot is free one window later."""
        ...

    async def release(self, window: str, slot: int) -> None:
        """The call of this slot was never sent; the slot is free at once."""
        ...

    async def window_use(self, window: str) -> WindowUse:
        """How full the window is."""
        ...

    async def permit(self, breaker: str) -> BreakerPermit:
        """Ask a breaker (`gpu`, `account`, `internal`) whether a call may be made."""
        ...

    async def report(self, breaker: str, permit: BreakerPermit, *, ok: bool | None) -> BreakerView:
        """Tell a breaker how the call ended; None when it was never sent (a probe's place is given back)."""
        ...

    async def breaker(self, breaker: str) -> BreakerView:
        """The breaker's state now."""
        ...

    async def cache_get(self, cache: str, key: str) -> Cached | None:
        """A value that has not expired; counts a hit or a miss."""
        ...

    async def cache_put(self, cache: str, key: str, body: bytes, *, ttl_seconds: float) -> None:
        """Keep a value for a while."""
        ...

    async def cache_clear(self, cache: str | None = None) -> int:
        """Forget one cache or all; returns how many entries."""
        ...

    def cache_stats(self) -> tuple[CacheStats, ...]:
        """Counters of every cache used so far."""
        ...

    async def hint(self, channel: str) -> None:
        """Tell whoever listens (in every replica) that looking now may be worth it. Hints may be lost."""
        ...

    def listen(self, channel: str, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` on each hint; returns how to stop that."""
        ...

    async def close(self) -> None:
        """Stop; closing twice is fine."""
        ...
