"""Limiter windows: never more than the limit in any window as the receiver counts, with guaranteed shares."""

import pytest

from novitai.ports.coordination import Coordination, Share
from support.clock import FakeClock


async def take_all(keeper: Coordination, clock: FakeClock, share: Share, *, window: str = "public") -> list[int]:
    """Ask until the window is full for this share, waiting where it says that this helps within the second."""
    slots = []
    while True:
        admission = await keeper.admit(window, share)
        if admission.slot is not None:
            slots.append(admission.slot)
        elif admission.wait_seconds < 1.0:
            await clock.advance(admission.wait_seconds)
        else:
            return slots


async def test_a_slot_is_given_or_a_time_to_wait(keeper, clock):
    """An empty window admits at once; a full one says when to ask again."""
    assert (await keeper.admit("public", Share.ACT)).slot is not None

    await take_all(keeper, clock, Share.ACT)
    refused = await keeper.admit("public", Share.ACT)

    assert refused.slot is None
    assert refused.wait_seconds > 0


@pytest.mark.parametrize(("window", "limit"), [("public", 100), ("internal", 50)])
async def test_no_more_slots_are_held_than_the_window_has(keeper, clock, window, limit):
    """All shares together fill it exactly."""
    for share in Share:
        await take_all(keeper, clock, share, window=window)

    use = await keeper.window_use(window)

    assert (use.used, use.limit, use.window_seconds) == (limit, limit, 60.0)


async def test_a_slot_is_free_one_window_after_its_call_ended(keeper, clock):
    """Not one window after it began: the receiver may have counted the call at its very end."""
    slot = (await keeper.admit("public", Share.ACT)).slot
    await clock.advance(50)
    await keeper.settle("public", slot)

    await clock.advance(59)
    assert (await keeper.window_use("public")).used == 1

    await clock.advance(1)
    assert (await keeper.window_use("public")).used == 0


async def test_a_call_under_way_keeps_its_slot(keeper, clock):
    """However long it takes."""
    await keeper.admit("public", Share.ACT)

    await clock.advance(600)

    assert (await keeper.window_use("public")).used == 1


async def test_windows_are_independent(keeper, clock):
    """A full internal window does not hold up the public one."""
    await take_all(keeper, clock, Share.ACT, window="internal")

    assert (await keeper.window_use("public")).used == 0


@pytest.mark.parametrize("greedy", [Share.BULK, Share.OBSERVE])
async def test_a_backlog_leaves_room_for_what_cannot_wait(keeper, clock, greedy):
    """Whatever the lower shares take, some of the act share is free at once."""
    await take_all(keeper, clock, greedy)

    assert (await keeper.admit("public", Share.ACT)).slot is not None


async def test_settling_twice_or_an_unknown_slot_does_no_harm(keeper):
    """A call's end may be told by two ways."""
    slot = (await keeper.admit("public", Share.ACT)).slot

    await keeper.settle("public", slot)
    await keeper.settle("public", slot)
    await keeper.settle("public", 999_999)

    assert (await keeper.window_use("public")).used == 1


async def test_a_restart_does_not_empty_the_window(keeper, open_keeper, clock, survives):
    """A killed process leaves its window to the next one, calls under way included."""
    settled = (await keeper.admit("public", Share.ACT)).slot
    await keeper.settle("public", settled)
    await keeper.admit("public", Share.OBSERVE)

    restarted = open_keeper()

    assert (await restarted.window_use("public")).used == 2
    await clock.advance(91)  # what was under way may have arrived 30 s later
    assert (await restarted.window_use("public")).used == 0
