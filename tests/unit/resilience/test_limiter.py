"""The limiter's figures (promise U1): never 101 in a window, and nobody is starved by anybody else."""

import bisect
import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novitai.resilience.limiter import Limiter, LimiterSettings, Share, Slot, Stamp, Wait

ACT, OBSERVE, BULK = Share
MINUTE = 60.0


@pytest.fixture
def limiter():
    return Limiter(LimiterSettings())


def take(limiter, share, now):
    """One call that takes no time, or None."""
    slot = limiter.admit(share, now)
    if isinstance(slot, Wait):
        return None
    limiter.settle(slot.id, now)
    return slot


def most_in_any_window(calls, window):
    """The largest number of [start, end + window) intervals that overlap."""
    moments = sorted(
        [(start, 1) for start, _ in calls] + [(end + window, -1) for _, end in calls], key=lambda m: (m[0], m[1])
    )
    held = most = 0
    for _, step in moments:
        held += step
        most = max(most, held)
    return most


class Traffic:
    """Calls over virtual time: each share asks at its times, waits as it is told, and is served in order of priority."""

    def __init__(self, limiter, *, latency=0.0):
        self.limiter, self.latency = limiter, latency
        self.calls = {share: [] for share in Share}
        self.waits = {share: [] for share in Share}

    def run(self, arrivals, *, until):
        """`arrivals` maps shares to sorted times."""
        waiting = {share: [] for share in Share}
        coming = sorted((at, share) for share, times in arrivals.items() for at in times)
        ending, now, place = [], 0.0, 0
        while now <= until:
            while place < len(coming) and coming[place][0] <= now:
                waiting[coming[place][1]].append(coming[place][0])
                place += 1
            while ending and ending[0][0] <= now:
                self.limiter.settle(heapq.heappop(ending)[1], now)
            next_look = [coming[place][0]] if place < len(coming) else []
            for share in Share:
                while waiting[share]:
                    outcome = self.limiter.admit(share, now)
                    if isinstance(outcome, Wait):
                        next_look.append(now + max(outcome.seconds, 0.001))
                        break
                    heapq.heappush(ending, (now + self.latency, outcome.id))
                    self.waits[share].append(now - waiting[share].pop(0))
                    self.calls[share].append((now, now + self.latency))
            if ending:
                next_look.append(ending[0][0])
            if not next_look:
                break
            now = min(next_look)

    def all_calls(self):
        return sorted(call for calls in self.calls.values() for call in calls)

    def started(self, share, *, since, until):
        starts = [start for start, _ in self.calls[share]]
        return bisect.bisect_left(starts, until) - bisect.bisect_left(starts, since)


def every(seconds, *, until, since=0.0):
    count = int((until - since) / seconds)
    return [since + seconds * number for number in range(count)]


ENDLESS = [0.0] * 5_000


def test_a_slot_is_held_until_one_window_after_the_answer():
    """The receiver may have seen the call as late as its answer, so its window begins there."""
    limiter = Limiter(LimiterSettings(limit=1))
    slot = limiter.admit(ACT, 0.0)
    limiter.settle(slot.id, 20.0)

    assert limiter.admit(ACT, 79.9) == Wait(seconds=pytest.approx(0.1))
    assert isinstance(limiter.admit(ACT, 80.0), Slot)


def test_a_call_under_way_holds_its_slot_however_long_it_takes():
    """An open slot never expires by itself, and the wait it causes is a whole window at least."""
    limiter = Limiter(LimiterSettings(limit=1))
    limiter.admit(ACT, 0.0)

    assert limiter.admit(ACT, 3_600.0) == Wait(seconds=60.0)


def test_a_call_that_was_never_sent_frees_its_slot_at_once():
    """Nobody pays for calls that the receiver never saw."""
    limiter = Limiter(LimiterSettings(limit=1))
    limiter.release(limiter.admit(BULK, 0.0).id)

    assert isinstance(limiter.admit(ACT, 0.0), Slot)


def test_an_unknown_slot_is_ignored():
    """Settling twice, or after a restart, harms nothing."""
    limiter = Limiter(LimiterSettings())
    slot = limiter.admit(ACT, 0.0)
    limiter.settle(slot.id, 1.0)

    limiter.settle(slot.id, 2.0)
    limiter.release(slot.id)

    assert limiter.used_by_share(2.0) == {ACT: 1, OBSERVE: 0, BULK: 0}


def test_a_quiet_server_lends_nearly_everything_to_who_asks(limiter):
    """With nobody else about, only the two floats are kept free: 100 - 5 - 4."""
    taken = sum(take(limiter, ACT, 0.0) is not None for _ in range(200))

    assert taken == 91


def test_a_full_window_is_full_for_a_share_below_its_guarantee_too(limiter):
    """What was lent before somebody asked comes back within a window; until then 100 is 100."""
    while take(limiter, ACT, 0.0):
        pass

    taken = sum(take(limiter, share, 0.0) is not None for share in (OBSERVE, BULK) for _ in range(30))

    assert (taken, limiter.used(0.0)) == (9, 100)


def test_what_is_lent_is_spread_over_the_window_and_what_is_guaranteed_is_not(limiter):
    """Twenty at once, then one each 0.6 s: a burst of bulk leaves no lump that blocks everybody a minute later."""
    at_once = sum(take(limiter, BULK, 0.0) is not None for _ in range(50))

    assert at_once == 21
    assert limiter.admit(BULK, 0.3) == Wait(seconds=pytest.approx(0.3))
    assert take(limiter, BULK, 0.6) is not None


def test_the_first_five_actions_pass_at_once_in_the_middle_of_a_bulk_burst():
    """A person pressing stop does not wait for the backlog."""
    traffic = Traffic(Limiter(LimiterSettings()), latency=0.5)

    traffic.run({BULK: ENDLESS, ACT: [90.0] * 5}, until=200.0)

    assert max(traffic.waits[ACT]) == 0.0


def test_thirty_actions_at_once_in_a_bulk_burst_are_served_within_a_minute_and_single_ones_within_three_seconds():
    """Lent slots come back one by one, to who is guaranteed them first."""
    many = Traffic(Limiter(LimiterSettings()), latency=0.5)
    many.run({BULK: ENDLESS, ACT: [90.0] * 30}, until=300.0)
    single = Traffic(Limiter(LimiterSettings()), latency=0.5)
    single.run({BULK: ENDLESS, ACT: every(6.0, until=300.0, since=90.0)}, until=400.0)

    assert max(many.waits[ACT]) <= 60.0
    assert max(single.waits[ACT]) <= 3.0


@pytest.mark.parametrize("latency", [0.0, 0.4])
@pytest.mark.parametrize("begins", [0.0, 75.0])
def test_a_steady_observer_is_never_starved_by_endless_bulk(begins, latency):
    """30 polls a minute wait about 2 s at most, whether they began before the burst or in the middle of it."""
    traffic = Traffic(Limiter(LimiterSettings()), latency=latency)

    traffic.run({BULK: ENDLESS, OBSERVE: every(2.0, until=600.0, since=begins)}, until=600.0)

    assert max(traffic.waits[OBSERVE]) <= 2.0


def test_bulk_gets_sixty_five_a_minute_beside_a_full_observer_while_nobody_acts():
    """What actions do not use is lent, but for their float."""
    traffic = Traffic(Limiter(LimiterSettings()))

    traffic.run({BULK: ENDLESS, OBSERVE: every(2.0, until=600.0)}, until=600.0)

    rates = [traffic.started(BULK, since=at, until=at + MINUTE) for at in range(120, 540, 60)]
    assert min(rates) >= 65


@pytest.mark.parametrize("share", [ACT, OBSERVE, BULK])
def test_each_share_gets_its_guarantee_while_both_others_want_everything(share):
    """30, 30 and 20 a minute, whatever the others do."""
    traffic = Traffic(Limiter(LimiterSettings()))

    traffic.run(dict.fromkeys(Share, ENDLESS), until=600.0)

    guaranteed = LimiterSettings().guaranteed(share)
    assert most_in_any_window(traffic.all_calls(), MINUTE) <= 100
    assert traffic.started(share, since=180.0, until=540.0) >= guaranteed * 6 * 0.95


@pytest.mark.parametrize("limit", [10, 50, 1_000])
def test_shares_and_pace_scale_with_the_limit(limit):
    """`UPSTREAM_RATE_LIMIT` changes the size, not the shape."""
    traffic = Traffic(Limiter(LimiterSettings(limit=limit)))

    traffic.run({BULK: [0.0] * limit * 8, OBSERVE: every(200 / limit, until=300.0)}, until=300.0)

    assert max(traffic.waits[OBSERVE]) <= 250 / limit
    assert traffic.started(BULK, since=120.0, until=240.0) >= 2 * int(limit * 0.6)
    assert most_in_any_window(traffic.all_calls(), MINUTE) <= limit


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_the_smallest_limits_still_let_everybody_pass_some_time(limit):
    """Nothing is guaranteed when there is nothing to divide, but nobody waits for ever."""
    for share in Share:
        traffic = Traffic(Limiter(LimiterSettings(limit=limit)))
        traffic.run({share: [0.0] * 10}, until=2_000.0)

        assert len(traffic.calls[share]) == 10


@given(
    limit=st.integers(1, 40),
    steps=st.lists(
        st.tuples(
            st.sampled_from(list(Share)),
            st.sampled_from([0.0] * 6 + [0.1, 0.3, 2.0, 9.9]),
            st.floats(0, 30),
            st.integers(0, 30),
        ),
        max_size=100,
    ),
)
def test_no_traffic_whatever_puts_more_than_the_limit_into_a_window(limit, steps):
    """Counted as the receiver may: from the start of a call to one window after its end; restarts included."""
    window, now = 10.0, 1_000.0
    limiter = Limiter(LimiterSettings(limit=limit, window=window))
    calls, under_way = [], {}
    for share, pause, length, count in steps:
        now += pause
        for slot_id, (start, end) in list(under_way.items()):
            if end <= now:
                limiter.settle(slot_id, now)
                calls.append((start, now))
                del under_way[slot_id]
        if not count:  # a restart
            calls += [(start, now) for start, _ in under_way.values()]
            under_way = {}
            stamps = limiter.dump(now)
            limiter = Limiter(limiter.settings)
            limiter.load(stamps, now)
        for _ in range(count):
            if isinstance(slot := limiter.admit(share, now), Slot):
                under_way[slot.id] = (now, now + length)
        assert limiter.used(now) <= limit
    calls += [(start, now) for start, _ in under_way.values()]

    assert most_in_any_window(calls, window) <= limit


@given(
    asked=st.sampled_from(list(Share)),
    before=st.lists(st.tuples(st.sampled_from(list(Share)), st.floats(0, 3)), min_size=1, max_size=60),
)
def test_when_told_to_wait_asking_again_then_succeeds_unless_others_came(asked, before):
    """The estimate is what callers plan with: following it step by step ends in a slot within a window."""
    limiter, now = Limiter(LimiterSettings(limit=20, window=10.0)), 0.0
    for share, pause in before:
        now += pause
        take(limiter, share, now)

    waited, asks = 0.0, 0
    while isinstance(outcome := limiter.admit(asked, now + waited), Wait):
        waited += max(outcome.seconds, 0.001)
        asks += 1

    assert waited <= 10.1
    assert asks <= 10


def test_a_restart_keeps_what_was_held_and_open_calls_until_they_would_have_been_given_up():
    """After kill -9 the next process knows what the receiver has seen, and what it may yet see."""
    first = Limiter(LimiterSettings(limit=3, longest_call=30.0))
    first.settle(first.admit(ACT, 0.0).id, 1.0)
    first.admit(BULK, 30.0)
    second = Limiter(LimiterSettings(limit=3, longest_call=30.0))

    second.load(first.dump(40.0), now=50.0)

    assert second.used_by_share(50.0) == {ACT: 1, OBSERVE: 0, BULK: 1}
    assert second.used_by_share(61.0) == {ACT: 0, OBSERVE: 0, BULK: 1}
    assert (second.used(119.9), second.used(120.0)) == (1, 0)


def test_a_second_restart_does_not_forget_what_the_first_process_had_under_way():
    """A server that dies again at once still waits for the calls of the one before it."""
    first, second, third = (Limiter(LimiterSettings(limit=3, longest_call=30.0)) for _ in range(3))
    first.admit(BULK, 0.0)

    second.load(first.dump(1.0), now=2.0)
    third.load(second.dump(3.0), now=4.0)

    assert (third.used(89.9), third.used(90.0)) == (1, 0)


def test_a_call_under_way_at_a_restart_that_took_long_ended_before_it():
    """A process started an hour later holds no slot longer than a window."""
    first, second = (Limiter(LimiterSettings(limit=3)) for _ in range(2))
    first.admit(BULK, 0.0)

    second.load(first.dump(1.0), now=3_600.0)

    assert (second.used(3_659.9), second.used(3_660.0)) == (1, 0)


def test_a_clock_set_back_after_a_restart_holds_an_open_call_a_little_longer_and_no_more():
    """Neither lost at the step nor held until the old time comes again."""
    first, second = (Limiter(LimiterSettings(limit=3, longest_call=30.0)) for _ in range(2))
    first.admit(BULK, 10_000.0)
    second.load(first.dump(10_001.0), now=10_002.0)

    assert second.used(6_402.0) == 1
    assert (second.used(6_491.9), second.used(6_492.0)) == (1, 0)


def test_a_clock_set_back_holds_slots_for_one_more_window_at_most(limiter):
    """An hour back does not stop all calls for an hour."""
    for _ in range(30):
        take(limiter, ACT, 10_000.0)

    assert limiter.used(6_400.0) == 30
    assert limiter.used(6_460.0) == 0


def test_stamps_from_the_future_are_taken_as_ended_now(limiter):
    """A file written before the clock was corrected."""
    limiter.load([Stamp(start=9_000.0, end=9_001.0, share=BULK)], now=100.0)

    assert limiter.used(159.0) == 1
    assert limiter.used(160.0) == 0
