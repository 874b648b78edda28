"""One bad receiver hurts only itself (promise W3)."""

import pytest

from novitai.webhooks.slow import LONGEST_TURN_SECONDS, MOST_REMEMBERED, SlowEndpoints
from support.receivers import Reply
from support.running import HOOK, running

BAD, GOOD = "https://bad.example.test/hook", "https://good.example.test/hook"


def test_an_endpoint_that_timed_out_shares_few_places():
    """Sixteen of them, for all such endpoints together; others are not held back."""
    slow = SlowEndpoints(places=2)
    for url in ("a", "b", "c"):
        slow.note(url, timed_out=True)
    first, second = slow.enter("a"), slow.enter("b")

    with first, second:
        assert slow.enter("c") is None
        assert slow.enter("good") is not None
    assert slow.enter("c") is not None


def test_an_endpoint_that_answers_is_forgiven():
    """The last attempt decides."""
    slow = SlowEndpoints(places=0)
    slow.note("a", timed_out=True)
    assert slow.enter("a") is None

    slow.note("a", timed_out=False)
    assert slow.enter("a") is not None


def test_only_so_many_endpoints_are_remembered():
    """A flood of addresses does not grow the memory."""
    slow = SlowEndpoints()
    for number in range(MOST_REMEMBERED + 500):
        slow.note(f"https://h{number}.example.test", timed_out=True)

    assert len(slow._urls) == MOST_REMEMBERED
    assert slow.enter("https://h0.example.test")._slow is False


def test_those_who_find_no_place_come_again_one_after_another():
    """At the pace at which places come free, and at the latest after a minute."""
    slow = SlowEndpoints(places=16)
    turns = [slow.turn(1000.0, seconds=15.0) for _ in range(500)]

    assert turns[0] == pytest.approx(1000.0 + 15.0 / 16)
    assert turns == sorted(turns)
    assert turns[-1] == 1000.0 + LONGEST_TURN_SECONDS
    assert slow.turn(2000.0, seconds=15.0) == pytest.approx(2000.0 + 15.0 / 16)


async def test_a_receiver_that_hangs_holds_at_most_sixteen_places_and_delays_nobody_else():
    """Once known to hang it gets sixteen places at most, and events for others go out at once."""
    async with running(WEBHOOK_URL=GOOD) as house:
        house.receivers.always(BAD, Reply(hangs=True))
        for number in range(60):
            await house.create(name=f"m{number}", webhook_url=BAD)
        await house.clock.advance(40.0)
        house.receivers.most_under_way.clear()
        began = house.clock.now()
        for number in range(20):
            await house.create(name=f"n{number}")
        await house.clock.advance(60.0)

        assert house.receivers.most_under_way[BAD] <= 16
        prompt = [
            one.at - began
            for one in house.receivers.received
            if one.url == GOOD and one.at >= began and one.event["type"] == "instance.creating"
        ]
        assert len(prompt) == 20
        assert max(prompt) <= 0.5


async def test_waiting_for_a_place_costs_few_commits():
    """Hundreds that wait for one slow endpoint do not busy the store."""
    async with running() as house:
        house.receivers.always(HOOK, Reply(hangs=True))
        for number in range(100):
            await house.create(name=f"m{number}", webhook_url=HOOK)
        await house.clock.advance(120.0)
        before = house.program.keepers.lanes[1].finished
        await house.clock.advance(60.0)

        assert house.program.keepers.lanes[1].finished - before <= 3000
