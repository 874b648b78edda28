"""Caches forget after their time and count what they did; hints reach whoever listens."""

from novitai.ports.coordination import Cached, CacheStats


async def test_a_value_is_kept_for_its_time(keeper, clock):
    """It comes back with the time it was stored, until its time is over."""
    await keeper.cache_put("catalog", "offers", b"\x00[]", ttl_seconds=30)
    stored_at = clock.now()
    await clock.advance(29)

    assert await keeper.cache_get("catalog", "offers") == Cached(body=b"\x00[]", stored_at=stored_at)

    await clock.advance(1)
    assert await keeper.cache_get("catalog", "offers") is None


async def test_a_value_put_again_replaces_the_old_one(keeper, clock):
    """Body and time are the newest."""
    await keeper.cache_put("catalog", "offers", b"old", ttl_seconds=5)
    await keeper.cache_put("catalog", "offers", b"new", ttl_seconds=50)
    await clock.advance(10)

    found = await keeper.cache_get("catalog", "offers")

    assert found is not None
    assert found.body == b"new"


async def test_caches_are_counted_by_name(keeper):
    """Entries, hits and misses of each cache used so far."""
    await keeper.cache_put("catalog", "offers", b"1", ttl_seconds=30)
    await keeper.cache_get("catalog", "offers")
    await keeper.cache_get("catalog", "prices")
    await keeper.cache_get("templates", "t")

    assert keeper.cache_stats() == (
        CacheStats(name="catalog", entries=1, hits=1, misses=1),
        CacheStats(name="templates", entries=0, hits=0, misses=1),
    )


async def test_clearing_forgets_one_cache_or_all(keeper):
    """The answer is how many entries went."""
    for cache, key in [("catalog", "a"), ("catalog", "b"), ("templates", "a")]:
        await keeper.cache_put(cache, key, b"1", ttl_seconds=30)

    assert await keeper.cache_clear("catalog") == 2
    assert await keeper.cache_get("templates", "a") is not None
    assert await keeper.cache_clear() == 1
    assert await keeper.cache_get("templates", "a") is None


async def test_a_hint_reaches_everybody_who_listens_on_its_channel(keeper):
    """Others are left alone, and so is who has stopped listening."""
    heard = []
    keeper.listen("instances", lambda: heard.append("one"))
    stop = keeper.listen("instances", lambda: heard.append("two"))
    keeper.listen("deliveries", lambda: heard.append("other"))

    await keeper.hint("instances")
    stop()
    stop()
    await keeper.hint("instances")

    assert heard == ["one", "two", "one"]


async def test_a_listener_that_fails_keeps_no_hint_from_the_others(keeper):
    """Nor does whoever gave the hint notice."""
    heard = []

    def broken() -> None:
        raise RuntimeError("broken")

    keeper.listen("instances", broken)
    keeper.listen("instances", lambda: heard.append("reached"))

    await keeper.hint("instances")

    assert heard == ["reached"]


async def test_closing_twice_is_fine(keeper):
    """Stopping has no order to keep."""
    await keeper.close()
    await keeper.close()
