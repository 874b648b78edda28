"""A cache in this process: bounded, least recently used first out, each value for its own time. Time is passed in."""

from collections import OrderedDict

import msgspec

from novitai.ports.coordination import Cached, CacheStats


class _Kept(msgspec.Struct, frozen=True):
    value: Cached
    until: float


class LocalCache:
    """One named cache with its counters."""

    def __init__(self, name: str, *, most_entries: int) -> None:
        self._name = name
        self._most_entries = most_entries
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._hits = 0
        self._misses = 0

    def get(self, key: str, now: float) -> Cached | None:
        """A value whose time is not over; counts a hit or a miss."""
        kept = self._kept.get(key)
        if kept is None or kept.until <= now:
            self._kept.pop(key, None)
            self._misses += 1
            return None
        self._kept.move_to_end(key)
        self._hits += 1
        return kept.value

    def put(self, key: str, body: bytes, *, now: float, until: float) -> None:
        """Keep a value; the one used longest ago makes room."""
        self._kept[key] = _Kept(Cached(body=body, stored_at=now), until)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most_entries:
            self._kept.popitem(last=False)

    def clear(self) -> int:
        """Forget all; returns how many entries."""
        forgotten = len(self._kept)
        self._kept.clear()
        return forgotten

    @property
    def stats(self) -> CacheStats:
        """The counters since the start."""
        return CacheStats(name=self._name, entries=len(self._kept), hits=self._hits, misses=self._misses)
