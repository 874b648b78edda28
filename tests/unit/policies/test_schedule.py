"""What the calendar says of an instance at a moment: what to ask now, what comes next, and when to look again."""

from datetime import datetime
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from novitai.domain.instance import DesiredState, Verb
from novitai.domain.lifecycle import State
from novitai.domain.schedule import Schedule, Ttl
from novitai.policies.precedence import Voice
from novitai.policies.requests import ask
from novitai.policies.schedule import Verdict, judge
from support.builders import desired, instance, spec, wish

OFFICE = Schedule(start="0 8 * * 1-5", stop="0 19 * * 1-5", timezone="Europe/Berlin")


def local(*when: int) -> float:
    return datetime(*when, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()  # type: ignore[misc]


MONDAY = (2027, 5, 3)
LONG_AGO = local(2027, 1, 4)


def runs(*, at: float, by="user:key_1", **fields):
    word = desired(DesiredState.RUNNING, by=by, at=at)
    return instance(State.READY, created_at=LONG_AGO, desired=word, spec=spec(**({"schedule": OFFICE} | fields)))


def stopped(*, at: float, by="schedule", until=None, **fields):
    word = desired(DesiredState.STOPPED, by=by, at=at, until=until)
    return instance(State.STOPPED, created_at=LONG_AGO, desired=word, spec=spec(**({"schedule": OFFICE} | fields)))


def test_without_a_schedule_and_a_ttl_there_is_no_opinion():
    """Nothing to do, nothing to come, nothing to look for."""
    assert judge(runs(at=LONG_AGO, schedule=None), now=local(*MONDAY)) == Verdict()


def test_after_the_evenings_boundary_a_running_instance_is_to_be_stopped():
    """The order says whose word it is, since when, and why."""
    order = judge(runs(at=local(*MONDAY, 9)), now=local(*MONDAY, 19, 5)).order

    assert (order.verb, order.voice, order.since) == (Verb.STOP, Voice.SCHEDULE, local(*MONDAY, 19))
    assert order.why.because == "its schedule says stop at '0 19 * * 1-5' (Europe/Berlin)"
    assert order.why.facts == {
        "boundary": "2027-05-03T17:00:00.000Z",
        "cron": "0 19 * * 1-5",
        "timezone": "Europe/Berlin",
    }


def test_a_start_in_the_night_holds_until_the_next_evening():
    """A user's start outlasts the schedule until its next boundary."""
    night = runs(at=local(2027, 5, 4, 2))

    assert judge(night, now=local(2027, 5, 4, 7)).order is None
    assert judge(night, now=local(2027, 5, 4, 12)).order is None
    assert judge(night, now=local(2027, 5, 4, 19)).order.verb is Verb.STOP


def test_of_many_missed_boundaries_only_the_last_one_is_made_up_for():
    """After a weekend away the state is that of now, by one action."""
    asleep = stopped(at=local(2027, 4, 28, 19))

    assert judge(asleep, now=local(*MONDAY, 7)).order is None
    assert judge(asleep, now=local(*MONDAY, 9)).order.since == local(*MONDAY, 8)


def test_a_boundary_from_before_the_schedule_was_set_does_not_count():
    """Whoever sets it at night does not mean the evening before."""
    new = Schedule(start=OFFICE.start, stop=OFFICE.stop, timezone=OFFICE.timezone, since=local(*MONDAY, 22))
    running = runs(at=local(*MONDAY, 12), schedule=new)

    verdict = judge(running, now=local(*MONDAY, 22))

    assert verdict.order is None
    assert verdict.coming.at == local(2027, 5, 4, 19)


def test_the_end_of_the_ttl_stops_whoever_started_it():
    """Also what the schedule would let run."""
    old = runs(at=local(*MONDAY, 9), by="schedule", ttl=Ttl(seconds=3600.0, since=local(*MONDAY, 9)))

    verdict = judge(old, now=local(*MONDAY, 10))

    assert (verdict.order.verb, verdict.order.voice, verdict.order.since) == (Verb.STOP, Voice.TTL, local(*MONDAY, 10))
    assert (verdict.coming, verdict.look_at) == (None, None)


def test_past_the_ttl_no_boundary_starts_it():
    """A later start needs a new ttl."""
    over = stopped(at=local(*MONDAY, 10), by="ttl", ttl=Ttl(seconds=60.0))

    assert judge(over, now=local(2027, 5, 4, 8)) == Verdict()


def test_what_is_being_deleted_is_left_alone():
    """Delete wins over everything."""
    leaving = instance(State.DELETING, spec=spec(schedule=OFFICE, ttl=Ttl(seconds=1.0)))

    assert judge(leaving, now=local(*MONDAY, 20)) == Verdict()


def test_what_comes_next_is_the_stop_of_a_runner_and_the_start_of_a_sleeper():
    """Shown before it happens."""
    running = judge(runs(at=local(*MONDAY, 9)), now=local(*MONDAY, 10)).coming
    sleeping = judge(stopped(at=local(*MONDAY, 19)), now=local(*MONDAY, 20)).coming

    assert (running.verb, running.at) == (Verb.STOP, local(*MONDAY, 19))
    assert (sleeping.verb, sleeping.at) == (Verb.START, local(2027, 5, 4, 8))


def test_after_a_persons_stop_nothing_comes_unless_it_was_said_until_when():
    """No promise of a start that will not be."""
    for_good = stopped(at=local(*MONDAY, 9), by="user:key_1")
    for_now = stopped(at=local(*MONDAY, 9), by="user:key_1", until=local(*MONDAY, 12))
    over_night = stopped(at=local(*MONDAY, 9), by="user:key_1", until=local(*MONDAY, 22))

    now = local(*MONDAY, 10)
    assert judge(for_good, now=now).coming is None
    assert judge(for_now, now=now).coming.at == local(*MONDAY, 12) == judge(for_now, now=now).look_at
    assert judge(over_night, now=now).coming.at == local(2027, 5, 4, 8)


def test_when_until_has_passed_the_schedules_word_of_that_hour_counts():
    """Noon is within the hours: it is started then, not next morning."""
    for_now = stopped(at=local(*MONDAY, 9), by="user:key_1", until=local(*MONDAY, 12))

    assert judge(for_now, now=local(*MONDAY, 11, 59)).order is None
    assert judge(for_now, now=local(*MONDAY, 12)).order.verb is Verb.START


MOMENTS = st.floats(local(2027, 3, 26), local(2027, 4, 2))
LINES = st.builds("{} {} * * *".format, st.sampled_from([0, 30]), st.integers(0, 23))


@settings(max_examples=300, deadline=None)
@given(start=LINES, stop=LINES, said=MOMENTS, later=st.floats(0, 3 * 86_400), person=st.booleans(), up=st.booleans())
def test_an_order_that_is_obeyed_leaves_nothing_to_do_until_it_is_time_to_look_again(
    start, stop, said, later, person, up
):
    """Never two actions for one boundary, and none is due before the moment at which the loop looks again."""
    schedule = Schedule(start=start, stop=stop, timezone="Europe/Berlin")
    make, now = runs if up else stopped, said + later
    before = make(at=said, by="user:key_1" if person else "schedule", schedule=schedule)
    first = judge(before, now=now)
    after = before
    if first.order is not None:
        after = ask(before, wish(first.order.verb, by="schedule", at=now, spoken_at=first.order.since)).instance

    second = judge(after, now=now)
    assert second.order is None
    assert second.look_at > now
    assert judge(after, now=second.look_at - 0.001).order is None
    if second.coming is not None:
        due = judge(after, now=second.coming.at)
        assert due.order is not None
        assert judge(after, now=second.coming.at - 0.001).order is None
