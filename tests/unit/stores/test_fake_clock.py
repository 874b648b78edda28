"""The tests' own clock: time moves when it is told to, and sleepers wake in order."""

import asyncio

import pytest

from support.clock import FakeClock, FakeIds


async def test_sleepers_wake_in_the_order_of_their_times():
    """Each at its own time, and whatever it starts is done before the next one wakes."""
    clock, woken = FakeClock(start=100.0), []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woken.append((name, clock.now()))

    tasks = [asyncio.create_task(sleeper("slow", 3)), asyncio.create_task(sleeper("quick", 1, 1, 5))]
    await clock.advance(4)

    assert woken == [("quick", 101.0), ("quick", 102.0), ("slow", 103.0)]
    assert clock.now() == 104.0
    await clock.run_until(tasks[1].done)
    assert clock.now() == 107.0


async def test_running_until_a_condition_that_cannot_come_fails():
    """A test that waits for nothing says so instead of hanging."""
    clock = FakeClock()
    sleeper = asyncio.create_task(clock.sleep(50))

    with pytest.raises(AssertionError, match="after 10 s"):
        await clock.run_until(lambda: False, within=10)
    with pytest.raises(AssertionError, match="nobody sleeps"):
        await clock.run_until(lambda: False)

    assert sleeper.done()


async def test_a_cancelled_sleeper_is_forgotten():
    """It neither wakes nor holds time up."""
    clock = FakeClock()
    sleeper = asyncio.create_task(clock.sleep(5))
    await clock.advance(1)

    sleeper.cancel()
    await clock.advance(10)

    assert sleeper.cancelled()
    assert clock.next_wake() is None


async def test_a_time_given_as_a_moment_is_run_to():
    """run_until also takes a time."""
    clock = FakeClock(start=10.0)

    await clock.run_until(25.0)

    assert clock.now() == 25.0


def test_ids_are_the_same_in_every_run_and_sort_by_creation():
    """Twenty-six characters after the prefix."""
    ids, again = FakeIds(), FakeIds()
    made = [ids.new("job") for _ in range(100)]

    assert made == sorted(made) == [again.new("job") for _ in range(100)]
    assert {len(made_id) for made_id in made} == {30}
    assert ids.random() == again.random()
