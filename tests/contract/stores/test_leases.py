"""Leases: one holder at a time, a higher token with every change of holder, and commits fenced by it."""

import asyncio

import pytest

from contract.stores.samples import put
from novitai.ports.store import Commit, LeaseLost


async def test_a_lease_has_one_holder_at_a_time(store, clock):
    """Others get None until it runs out or is given back."""
    held = await store.acquire("observer", owner="one", seconds=20)

    assert held is not None
    assert (held.name, held.owner, held.until) == ("observer", "one", clock.now() + 20)
    assert await store.acquire("observer", owner="two", seconds=20) is None
    assert await store.acquire("idle", owner="two", seconds=20) is not None


async def test_the_holder_prolongs_its_lease_under_the_same_token(store, clock):
    """No change of holder, no new token."""
    first = await store.acquire("observer", owner="one", seconds=20)
    await clock.advance(15)

    second = await store.acquire("observer", owner="one", seconds=20)

    assert first is not None
    assert second is not None
    assert (second.token, second.until) == (first.token, clock.now() + 20)
    await clock.advance(10)
    assert await store.acquire("observer", owner="two", seconds=20) is None


async def test_a_lease_that_ran_out_goes_to_the_next_with_a_higher_token(store, clock):
    """The former holder's commits are refused from then on."""
    stale = await store.acquire("observer", owner="one", seconds=20)
    await clock.advance(20)
    fresh = await store.acquire("observer", owner="two", seconds=20)

    assert stale is not None
    assert fresh is not None
    assert fresh.token > stale.token
    with pytest.raises(LeaseLost):
        await store.commit(Commit(lease=stale, puts=(put("a"),)))
    assert await store.get("thing", "a") is None
    await store.commit(Commit(lease=fresh, puts=(put("a"),)))
    assert await store.get("thing", "a") is not None


async def test_a_lease_given_back_is_free_at_once(store):
    """The next holder's token is higher; the former holder can write nothing under it."""
    first = await store.acquire("observer", owner="one", seconds=20)
    assert first is not None
    await store.release(first)

    second = await store.acquire("observer", owner="two", seconds=20)

    assert second is not None
    assert second.token > first.token
    with pytest.raises(LeaseLost):
        await store.commit(Commit(lease=first))


async def test_giving_back_what_is_not_held_changes_nothing(store, clock):
    """A late release does not take the lease from its new holder."""
    stale = await store.acquire("observer", owner="one", seconds=20)
    assert stale is not None
    await clock.advance(20)
    await store.acquire("observer", owner="two", seconds=20)

    await store.release(stale)
    await store.release(stale)

    assert await store.acquire("observer", owner="three", seconds=20) is None


async def test_a_lost_lease_is_told_before_a_conflict(store):
    """A former leader learns that, whatever else does not fit."""
    held = await store.acquire("observer", owner="one", seconds=20)
    assert held is not None
    await store.release(held)

    with pytest.raises(LeaseLost):
        await store.commit(Commit(lease=held, puts=(put("a", expect=7),)))


async def test_of_many_who_ask_at_once_one_gets_it(store):
    """There is never a second leader."""
    answers = await asyncio.gather(*(store.acquire("observer", owner=f"o{n}", seconds=20) for n in range(20)))

    assert len([held for held in answers if held]) == 1
