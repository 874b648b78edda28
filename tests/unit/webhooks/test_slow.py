"""One bad receiver hurts only itself (promise W3): who may be attempted now, in what room."""

from itertools import pairwise

import pytest

from novitai.domain.delivery import DeliveryStatus
from novitai.operations import records
from novitai.webhooks.slow import (
    AT_ONCE,
    LONGEST_TURN_SECONDS,
    MOST_REMEMBERED,
    PATIENCE,
    Endpoints,
    Standing,
)
from support.receivers import Reply
from support.running import HOOK, running
from support.seeding import Seed, seed_store

BAD, GOOD = "https://bad.example.test/hook", "https://good.example.test/hook"
NOW = 1_000.0


def known(standing: Standing, *urls: str, **limits: int) -> Endpoints:
    """Endpoints that were attempted before."""
    endpoints = Endpoints(**limits)
    for url in urls:
        with endpoints.enter(url, NOW) as place:
            place.ended(timed_out=standing is Standing.TIMED_OUT)
    return endpoints


# ── first contact ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_first_contact_is_made_aside_and_by_two_attempts_at_once():
    """Nobody can tell yet who will hang, so a new endpoint takes none of the lane's places."""
    endpoints = Endpoints()
    first, second = endpoints.enter("new", NOW), endpoints.enter("new", NOW)

    assert first.aside
    assert second.aside
    assert endpoints.enter("new", NOW) is None
    assert endpoints.enter("other", NOW) is not None


def test_those_aside_are_bounded_and_never_fall_back_on_the_lane():
    """A crowd of new endpoints waits for one another, not others for them."""
    endpoints = known(Standing.PROMPT, "good", most_aside=3)
    for number in range(3):
        endpoints.enter(f"new{number}", NOW).__enter__()

    assert endpoints.enter("one more", NOW) is None
    assert not endpoints.enter("good", NOW).aside


def test_an_endpoint_that_answered_uses_the_lane():
    """With as many attempts at once as the lane has places."""
    endpoints = known(Standing.PROMPT, "good")

    places = [endpoints.enter("good", NOW) for _ in range(AT_ONCE)]

    assert not any(place.aside for place in places)


# ── going bad ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_attempt_that_takes_long_steps_aside_and_puts_its_endpoint_in_doubt():
    """Two more may try; the rest waits."""
    endpoints = known(Standing.PROMPT, "turned")
    places = [endpoints.enter("turned", NOW).__enter__() for _ in range(3)]

    assert all(place.step_aside() for place in places)
    assert endpoints.standing("turned") is Standing.DOUBTFUL
    assert endpoints.room.aside == 3
    assert endpoints.enter("turned", NOW) is None


def test_one_stuck_attempt_says_nothing_against_an_endpoint_that_answered_a_later_one():
    """Neither when it steps aside nor when it times out at last."""
    endpoints = known(Standing.PROMPT, "good")
    stuck = endpoints.enter("good", NOW).__enter__()
    with endpoints.enter("good", NOW) as later:
        later.ended(timed_out=False)

    assert stuck.step_aside()
    assert endpoints.standing("good") is Standing.PROMPT
    stuck.ended(timed_out=True)
    assert endpoints.standing("good") is Standing.PROMPT


def test_an_answer_ends_the_doubt():
    """Also a late one."""
    endpoints = known(Standing.PROMPT, "late")
    with endpoints.enter("late", NOW) as place:
        place.step_aside()
        assert endpoints.standing("late") is Standing.DOUBTFUL
        place.ended(timed_out=False)

    assert endpoints.standing("late") is Standing.PROMPT
    assert endpoints.room.aside == 0


def test_an_endpoint_that_answers_late_cannot_take_all_the_room_aside():
    """As many attempts at once as the lane has places, wherever they are."""
    endpoints = known(Standing.PROMPT, "late")
    places = [endpoints.enter("late", NOW).__enter__() for _ in range(AT_ONCE)]

    assert all(place.step_aside() for place in places)
    places[0].ended(timed_out=False)
    assert endpoints.standing("late") is Standing.PROMPT
    assert endpoints.enter("late", NOW) is None
    assert endpoints.room.aside == AT_ONCE


def test_without_room_aside_an_attempt_keeps_its_place():
    """The connections open at once stay bounded."""
    endpoints = known(Standing.PROMPT, "late", most_aside=1)
    places = [endpoints.enter("late", NOW).__enter__() for _ in range(2)]

    assert [place.step_aside() for place in places] == [True, False]


# ── known to hang ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_endpoints_that_timed_out_share_few_places_and_stay_in_them():
    """Sixteen of them, for all such endpoints together; others are not held back."""
    endpoints = known(Standing.TIMED_OUT, "a", "b", "c", slow_places=2)
    first, second = endpoints.enter("a", NOW), endpoints.enter("b", NOW)

    with first, second:
        assert not first.step_aside()
        assert endpoints.enter("c", NOW) is None
        assert endpoints.enter("good", NOW) is not None
    assert endpoints.enter("c", NOW) is not None


def test_one_endpoint_that_times_out_leaves_places_for_others_like_it():
    """Two attempts at once, so that the one that recovers is found out."""
    endpoints = known(Standing.TIMED_OUT, "a", "b")
    for _ in range(2):
        endpoints.enter("a", NOW).__enter__()

    assert endpoints.enter("a", NOW) is None
    assert endpoints.enter("b", NOW) is not None


def test_an_endpoint_that_answers_is_forgiven():
    """The last attempt decides."""
    endpoints = known(Standing.TIMED_OUT, "a")
    with endpoints.enter("a", NOW) as place:
        place.ended(timed_out=False)

    assert endpoints.standing("a") is Standing.PROMPT


def test_only_so_many_endpoints_are_remembered():
    """A flood of addresses does not grow the memory, and does not make us lose count of what is under way."""
    endpoints = known(Standing.PROMPT, "busy", "idle")
    place = endpoints.enter("busy", NOW).__enter__()
    for number in range(MOST_REMEMBERED + 500):
        endpoints.enter(f"https://h{number}.example.test", NOW).__enter__().__exit__(None, None, None)

    assert len(endpoints) == MOST_REMEMBERED
    assert endpoints.standing("idle") is Standing.DOUBTFUL
    assert endpoints.standing("busy") is Standing.PROMPT
    place.__exit__(None, None, None)
    assert endpoints.room.aside == 0


# ── coming again ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_those_who_wait_for_a_slow_place_come_again_one_after_another():
    """At the pace at which places come free, and at the latest after a minute."""
    endpoints = known(Standing.TIMED_OUT, "a", slow_places=16)
    turns = [endpoints.turn("a", NOW, seconds=15.0) for _ in range(500)]

    assert turns[0] == pytest.approx(NOW + 15.0 / 16)
    assert turns == sorted(turns)
    assert turns[-1] == NOW + LONGEST_TURN_SECONDS
    assert endpoints.turn("a", 2000.0, seconds=15.0) == pytest.approx(2000.0 + 15.0 / 16)


def test_those_who_wait_for_a_word_come_again_soon_and_then_ever_later():
    """A receiver that answers at once delays the third event of a burst by a tenth of a second; one that hangs is asked for few times."""
    endpoints = Endpoints()
    for _ in range(2):
        endpoints.enter("new", NOW).__enter__()

    assert endpoints.turn("new", NOW + 0.01, seconds=15.0) == pytest.approx(NOW + 0.11)
    assert endpoints.turn("new", NOW + 4.0, seconds=15.0) == pytest.approx(NOW + 8.0)
    burst = [endpoints.turn("new", NOW + 4.0, seconds=15.0) for _ in range(10)]
    assert all(later - sooner == pytest.approx(0.02) for sooner, later in pairwise(burst))


# ── the whole program, in virtual time ────────────────────────────────────────────────────────────────────────────────


async def test_receivers_that_hang_from_the_first_contact_on_delay_nobody_else():
    """A hundred unknown endpoints that never answer, and events for others go out at once."""
    async with running() as house:
        now = house.clock.now()
        bad = [f"{BAD}/{number}" for number in range(100)]
        for url in bad:
            house.receivers.always(url, Reply(hangs=True))
        hanging = [Seed(f"bad{place}", bad[place % 100], now + 1.0) for place in range(400)]
        prompt = [Seed(f"good{place}", f"{GOOD}/{place % 100}", now + 1.0 + place * 0.05) for place in range(400)]
        await seed_store(house.program.base.store, hanging + prompt)
        await house.clock.advance(30.0)

        due = {seed.event_id: seed.due for seed in prompt}
        lags = [one.at - due.pop(one.id) for one in house.receivers.received if one.id in due]
        assert len(lags) == 400
        assert max(lags) <= 0.5
        assert max(house.receivers.most_under_way[url] for url in bad) == 2


async def test_a_receiver_that_hangs_holds_at_most_sixteen_places_and_delays_nobody_else():
    """Once known to hang it is attempted twice at a time, and events for others go out at once."""
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

        assert house.receivers.most_under_way[BAD] <= 2
        prompt = [
            one.at - began
            for one in house.receivers.received
            if one.url == GOOD and one.at >= began and one.event["type"] == "instance.creating"
        ]
        assert len(prompt) == 20
        assert max(prompt) <= 0.5


async def test_a_receiver_that_answers_late_is_still_told_many_events_at_once():
    """Two seconds an answer, two hundred events: it is slow, not bad, and is not made to take them one by one."""
    async with running() as house:
        now = house.clock.now()
        house.receivers.seconds = 2.0
        await seed_store(house.program.base.store, [Seed(f"evt{place}", HOOK, now + 1.0) for place in range(200)])
        await house.clock.advance(30.0)

        assert len({one.id for one in house.receivers.received}) == 200
        assert house.receivers.most_under_way[HOOK] <= 64


async def test_waiting_for_a_place_costs_few_commits():
    """Hundreds that wait for one slow endpoint do not busy the store."""
    async with running() as house:
        house.receivers.always(HOOK, Reply(hangs=True))
        for number in range(100):
            await house.create(name=f"m{number}", webhook_url=HOOK)
        await house.clock.advance(120.0)
        before = house.program.keepers.lanes[1].finished
        await house.clock.advance(60.0)

        assert house.program.keepers.lanes[1].finished - before <= 1000


async def test_a_dead_endpoint_that_comes_back_gets_its_backlog_at_a_bounded_pace_and_others_notice_nothing():
    """Two attempts find out that it is back; then no more at once than the lane has places, and everything arrives."""
    async with running() as house:
        now, backlog = house.clock.now(), 500
        house.receivers.seconds = 0.05
        house.receivers.always(BAD, Reply(hangs=True))
        await seed_store(house.program.base.store, [Seed(f"bad{place}", BAD, now + 1.0) for place in range(backlog)])
        await house.clock.advance(300.0)
        back = house.clock.now()
        house.receivers.received.clear()
        house.receivers.most_under_way.clear()
        house.receivers.always(BAD, 200)
        prompt = [Seed(f"good{place}", GOOD, back + place * 0.1) for place in range(300)]
        await seed_store(house.program.base.store, prompt)
        await house.clock.advance(600.0)

        due = {seed.event_id: seed.due for seed in prompt}
        lags = [one.at - due[one.id] for one in house.receivers.received if one.id in due]
        arrived = sorted(one.at for one in house.receivers.received if one.url == BAD)
        assert len(arrived) == backlog
        assert house.receivers.most_under_way[BAD] <= 64
        assert max(sum(1 for at in arrived if second <= at < second + 1.0) for second in arrived[::50]) <= 200
        assert len(lags) == 300
        assert max(lags) <= 0.5
        page = await house.store.list(records.DELIVERIES, str(DeliveryStatus.PENDING), limit=10)
        assert page.records == ()


def test_patience_is_shorter_than_the_time_in_which_a_prompt_event_is_due():
    """Who waits behind attempts that have just begun to hang is still told within the promised half second (W4)."""
    assert PATIENCE <= 0.5
