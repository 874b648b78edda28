"""Caches of what Novita told: how they do, and forgetting them."""

from collections.abc import Sequence

from starlette.responses import Response

from novitai.api.access import Here, Parts
from novitai.api.routing import Routes, json_answer
from novitai.api.schemas.system import CacheAnswer, CacheStatsAnswer, CacheSummary, ClearCacheBody, ClearedAnswer
from novitai.domain.errors import Code, Refusal
from novitai.domain.keys import Scope
from novitai.domain.times import iso
from novitai.ports.coordination import CacheStats

ROUTES = Routes("cache")


@ROUTES.add("GET", "/api/cache/stats", needs=Scope.READ, answer=CacheStatsAnswer)
async def cache_stats(parts: Parts) -> Response:
    """Entries, hits and misses of each cache since the start."""
    caches = [_cache(stats) for stats in parts.coordination.cache_stats()]
    return json_answer(
        CacheStatsAnswer(
            timestamp=iso(parts.clock.now()),
            caches=caches,
            cache_manager={
                "cacheNames": [cache.name for cache in caches],
                "stats": {cache.name: cache.model_dump(exclude={"name"}) for cache in caches},
            },
            summary=_summary(caches),
        )
    )


@ROUTES.add(
    "POST", "/api/cache/clear", needs=Scope.WRITE, answer=ClearedAnswer, others={404: "There is no cache of this name"}
)
async def clear_cache(parts: Parts, visit: Here, body: ClearCacheBody | None = None) -> Response:
    """Forget one cache, or all; what is needed is read anew."""
    name = body.cache_name if body is not None else None
    known = {stats.name for stats in parts.coordination.cache_stats()}
    if name is not None and name not in known:
        names = ", ".join(sorted(known)) or "none so far"
        raise Refusal(Code.CACHE_NOT_FOUND, f"there is no cache {name!r}; there are: {names}")
    await parts.ledger.write_down(visit.context(), "cache.clear", target=name or "all")
    removed = await parts.coordination.cache_clear(name)
    message = f"forgot {removed} entries of {name or 'all caches'}"
    return json_answer(ClearedAnswer(message=message, entries_removed=removed, timestamp=iso(parts.clock.now())))


def _cache(stats: CacheStats) -> CacheAnswer:
    return CacheAnswer(
        name=stats.name,
        entries=stats.entries,
        hits=stats.hits,
        misses=stats.misses,
        hit_ratio=_ratio(stats.hits, stats.misses),
    )


def _summary(caches: Sequence[CacheAnswer]) -> CacheSummary:
    hits, misses = sum(cache.hits for cache in caches), sum(cache.misses for cache in caches)
    return CacheSummary(
        total_caches=len(caches),
        total_entries=sum(cache.entries for cache in caches),
        total_hits=hits,
        total_misses=misses,
        overall_hit_ratio=_ratio(hits, misses),
    )


def _ratio(hits: int, misses: int) -> float:
    return round(hits / (hits + misses), 4) if hits + misses else 0.0
