"""The local keeper alone: its caches are bounded."""

from novitai.coordination.local import LocalCoordination
from support.clock import FakeClock


async def test_what_was_used_longest_ago_makes_room():
    """A cache never grows beyond its bound, and what is read stays."""
    keeper = LocalCoordination(clock=FakeClock(), limits={}, cache_entries=2)
    await keeper.cache_put("catalog", "a", b"1", ttl_seconds=30)
    await keeper.cache_put("catalog", "b", b"1", ttl_seconds=30)
    await keeper.cache_get("catalog", "a")

    await keeper.cache_put("catalog", "c", b"1", ttl_seconds=30)

    kept = [key for key in "abc" if await keeper.cache_get("catalog", key)]
    assert kept == ["a", "c"]
