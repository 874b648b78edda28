"""Coordination kept in this process: the default for one replica, and the fallback behind every shared keeper.

The windows outlive the process in small files when there is a data directory; everything else starts anew. Nothing here waits or fails.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import structlog

from novitai.coordination.local_cache import LocalCache
from novitai.coordination.window_file import LocalWindow
from novitai.ports.coordination import (
    Admission,
    BreakerPermit,
    BreakerView,
    Cached,
    CacheStats,
    Share,
    WindowUse,
)
from novitai.ports.world import Clock
from novitai.resilience import limiter
from novitai.resilience.breaker import Breaker, BreakerSettings, Permit, Refusal
from novitai.resilience.limiter import LimiterSettings

log = structlog.get_logger("novitai.coordination")

_CACHE_ENTRIES = 1_000


class _ProbePermit(BreakerPermit, frozen=True, kw_only=True):
    """Which probe this is: one that was given up must not answer for its successor."""

    number: int


class SteadyTime(Clock, Protocol):
    """A clock that nobody sets. `era`: what its seconds are counted from, as a name."""

    era: str


class LocalCoordination:
    """Keeps ports.coordination.Coordination.

    `limits`: calls allowed per `window_seconds`, by window. With `data_dir` each window's stamps are kept in `window-<name>.stamps` there,
    so a restart does not begin with an empty window. `steady`: a clock that nobody sets, for the windows; else `clock`.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        limits: Mapping[str, int],
        window_seconds: float = 60.0,
        breaker: BreakerSettings | None = None,
        data_dir: Path | None = None,
        steady: SteadyTime | None = None,
        cache_entries: int = _CACHE_ENTRIES,
    ) -> None:
        self._clock = clock
        self._steady = steady
        self._breaker_settings = breaker or BreakerSettings()
        self._cache_entries = cache_entries
        self._breakers: dict[str, Breaker] = {}
        self._caches: dict[str, LocalCache] = {}
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        self._windows = {
            name: self._open_window(name, LimiterSettings(limit=limit, window=window_seconds), data_dir)
            for name, limit in limits.items()
        }

    async def admit(self, window: str, share: Share) -> Admission:
        outcome = await self._windows[window].admit(limiter.Share(share.value))
        if isinstance(outcome, limiter.Slot):
            return Admission(slot=outcome.id)
        return Admission(slot=None, wait_seconds=outcome.seconds)

    async def settle(self, window: str, slot: int) -> None:
        await self._windows[window].settle(slot)

    async def release(self, window: str, slot: int) -> None:
        await self._windows[window].release(slot)

    async def window_use(self, window: str) -> WindowUse:
        kept = self._windows[window]
        return WindowUse(limit=kept.settings.limit, window_seconds=kept.settings.window, used=kept.used())

    async def permit(self, breaker: str) -> BreakerPermit:
        outcome = self._breaker(breaker).permit(self._clock.now())
        if isinstance(outcome, Refusal):
            epoch = self._breaker(breaker).snapshot.epoch
            return BreakerPermit(allowed=False, epoch=epoch, retry_at=outcome.retry_at)
        if outcome.probe is not None:
            return _ProbePermit(allowed=True, epoch=outcome.epoch, probe=True, number=outcome.probe)
        return BreakerPermit(allowed=True, epoch=outcome.epoch)

    async def report(self, breaker: str, permit: BreakerPermit, *, ok: bool | None) -> BreakerView:
        machine = self._breaker(breaker)
        number = permit.number if isinstance(permit, _ProbePermit) else None
        given = Permit(epoch=permit.epoch, probe=number)
        if permit.allowed and ok is not None:
            machine.record(given, ok=ok, now=self._clock.now())
        elif permit.allowed:
            machine.abandon(given)
        return _view(machine)

    async def breaker(self, breaker: str) -> BreakerView:
        return _view(self._breaker(breaker))

    async def cache_get(self, cache: str, key: str) -> Cached | None:
        return self._cache(cache).get(key, self._clock.now())

    async def cache_put(self, cache: str, key: str, body: bytes, *, ttl_seconds: float) -> None:
        now = self._clock.now()
        self._cache(cache).put(key, body, now=now, until=now + ttl_seconds)

    async def cache_clear(self, cache: str | None = None) -> int:
        caches = list(self._caches.values()) if cache is None else [self._cache(cache)]
        return sum(kept.clear() for kept in caches)

    def cache_stats(self) -> tuple[CacheStats, ...]:
        return tuple(cache.stats for _, cache in sorted(self._caches.items()))

    async def hint(self, channel: str) -> None:
        for listener in tuple(self._listeners.get(channel, ())):
            try:
                listener()
            except Exception:
                log.exception("hint_listener_failed", channel=channel)

    def listen(self, channel: str, listener: Callable[[], None]) -> Callable[[], None]:
        listeners = self._listeners.setdefault(channel, [])
        listeners.append(listener)

        def stop() -> None:
            if listener in listeners:
                listeners.remove(listener)

        return stop

    async def close(self) -> None:
        for window in self._windows.values():
            window.close()
        self._listeners.clear()

    def _open_window(self, name: str, settings: LimiterSettings, data_dir: Path | None) -> LocalWindow:
        clock, era = (self._clock, "") if self._steady is None else (self._steady, self._steady.era)
        if data_dir is None:
            return LocalWindow(settings, clock)
        window, warning = LocalWindow.kept_in(data_dir / f"window-{name}.stamps", settings, clock, era=era)
        if warning:
            log.warning("window_file_unusable", window=name, reason=warning)
        return window

    def _breaker(self, name: str) -> Breaker:
        if name not in self._breakers:
            self._breakers[name] = Breaker(self._breaker_settings)
        return self._breakers[name]

    def _cache(self, name: str) -> LocalCache:
        if name not in self._caches:
            self._caches[name] = LocalCache(name, most_entries=self._cache_entries)
        return self._caches[name]


def _view(machine: Breaker) -> BreakerView:
    return BreakerView(
        state=machine.state.value,
        failure_count=machine.failure_count,
        opened_at=machine.opened_at,
        retry_at=machine.retry_at,
    )
