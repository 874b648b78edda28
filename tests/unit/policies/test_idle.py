"""The rule of the idle stop as a function: whatever the signals do, what was used lately is never stopped."""

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from novitai.domain.idle import AutoStop, Deed, IdleRule, SignalName, Warned, resolved
from novitai.domain.instance import DesiredState
from novitai.domain.lifecycle import State
from novitai.domain.metrics import Sample
from novitai.policies.idle import Known, Step, judge
from novitai.policies.usage import BUSY_PERCENT, STALE_SECONDS, trace, window
from support import builders
from support.builders import NOW
from support.idling import RULE, reading

READY_AT = NOW - 7200.0
OLD = builders.desired(DesiredState.RUNNING, at=READY_AT - 300.0)


def ready(**fields):
    usual = {"created_at": READY_AT - 600.0, "ready_at": READY_AT, "desired": OLD}
    made = builders.instance(State.READY, **(usual | fields))
    return msgspec.structs.replace(
        made, operation=msgspec.structs.replace(made.operation, requested_at=READY_AT - 300.0)
    )


def read(*, lag: float = 60.0, interval: float = 15.0, at: float = NOW, **signals):
    return reading(at=at, since=at - 1500.0, lag=lag, interval=interval, **signals)


def announced(since: float) -> Warned:
    return Warned(id="w", deed=Deed.STOP, at=NOW - 300.0, idle_since=since, acts_at=NOW)


moments = st.floats(min_value=0.0, max_value=1500.0)
percentages = st.floats(min_value=0.0, max_value=100.0) | st.just(float("nan"))


@st.composite
def series(draw):
    """Measurements by age: values at any distances, with holes, late or missing, in a reading of now."""
    count = draw(st.integers(min_value=0, max_value=40))
    ages = sorted(draw(st.lists(moments, min_size=count, max_size=count)), reverse=True)
    return [(NOW - age, draw(percentages)) for age in ages]


@given(gpu=series(), cpu=series(), used=st.none() | moments, warned=st.booleans(), spoken=moments)
def test_nothing_is_stopped_that_may_have_been_used_within_the_threshold(gpu, cpu, used, warned, spoken):
    """For any measurements: at a stop, every signal was seen without a hole for the whole threshold, and idle throughout."""
    instance = ready(desired=builders.desired(DesiredState.RUNNING, at=NOW - spoken))
    taken = msgspec.structs.replace(
        read(), metrics=msgspec.structs.replace(read().metrics, gpu=samples(gpu), cpu=samples(cpu))
    )
    since = NOW - 1500.0
    known = Known(
        last_used_at=None if used is None else NOW - used,
        reading=taken,
        warned=announced(since) if warned else None,
    )

    verdict = judge(instance, RULE, known, now=NOW)

    if verdict.step is Step.ACT:
        begin = NOW - RULE.idle_seconds
        assert used is None or used >= RULE.idle_seconds
        assert spoken >= RULE.idle_seconds
        for line in (gpu, cpu):
            seen = [since, *(at for at, _ in line), NOW]
            holes = [later - max(earlier, begin) for earlier, later in pairwise(seen) if later > begin]
            assert all(value < BUSY_PERCENT for at, value in line if at >= begin)
            assert max(holes) <= STALE_SECONDS + 1e-6


def samples(line):
    return tuple(Sample(at, value) for at, value in line)


@given(series())
def test_a_signal_shows_use_at_least_until_its_last_busy_moment(line):
    """Nor can a hole of more than three minutes be older than what is said."""
    taken = msgspec.structs.replace(read(), metrics=msgspec.structs.replace(read().metrics, gpu=samples(line)))

    found = trace(taken, SignalName.GPU, since=READY_AT)

    newest = line[-1][0] if line else None
    if newest is None or newest < NOW - STALE_SECONDS:
        assert (found.missing, found.used_until) == (True, NOW)
    else:
        busy = [at for at, value in line if not value < BUSY_PERCENT]
        assert not busy or (found.used_until or 0.0) >= busy[-1]


def test_idle_by_every_signal_is_announced_and_then_stopped():
    """The usual way: read, announce, read again, act."""
    instance = ready()

    unread = judge(instance, RULE, Known(), now=NOW)
    first = judge(instance, RULE, Known(reading=read()), now=NOW)
    then = judge(instance, RULE, Known(reading=read(), warned=announced(READY_AT)), now=NOW)

    assert (unread.step, first.step, then.step) == (Step.READ, Step.WARN, Step.ACT)
    assert first.acts_at == NOW + RULE.warn_seconds


def test_a_stop_rests_on_a_reading_of_just_now():
    """What was read before the announcement is not enough."""
    old = read(at=NOW - 60.0)

    verdict = judge(ready(), RULE, Known(reading=old, warned=announced(READY_AT)), now=NOW)

    assert verdict.step is Step.READ


def test_a_reading_of_another_machine_says_nothing():
    """The instance was moved meanwhile."""
    other = msgspec.structs.replace(read(), machine_id="another")

    assert judge(ready(), RULE, Known(reading=other), now=NOW).step is Step.READ


def test_uses_that_are_told_can_be_left_out():
    """Who names the signals means these alone."""
    measured = msgspec.structs.replace(RULE, signals=(SignalName.GPU,))
    known = Known(last_used_at=NOW - 10.0, reading=read())

    assert judge(ready(), measured, known, now=NOW).step is Step.WARN
    assert judge(ready(), RULE, known, now=NOW).step is Step.WAIT


def test_evidence_that_was_dated_by_a_clock_set_since_does_not_count():
    """Neither what lies ahead nor what lies long back."""
    stepped = judge(ready(), RULE, Known(reading=read(), trusted_since=NOW - 60.0), now=NOW)
    ahead = judge(ready(ready_at=NOW + 3600.0), RULE, Known(reading=read()), now=NOW)

    assert (stepped.step, ahead.step) == (Step.WAIT, Step.WAIT)


def test_a_warning_shorter_than_a_threshold_of_ones_own_is_kept_short():
    """A threshold of two minutes with the usual five minutes of warning."""
    rule = resolved(AutoStop(idle_seconds=120.0), IdleRule())

    assert (rule.idle_seconds, rule.warn_seconds) == (120.0, 60.0)


@given(idle=st.floats(min_value=1.0, max_value=7 * 86_400.0), up=st.floats(min_value=0.0, max_value=30 * 86_400.0))
def test_a_window_covers_the_threshold_and_has_no_holes_of_its_own(idle, up):
    """Asked for too coarsely, measurements would look like holes."""
    asked = window(floor=NOW - up, idle_seconds=idle, now=NOW)

    assert asked.interval < STALE_SECONDS
    assert asked.since <= max(NOW - up, NOW - idle)
    assert asked.since % asked.interval == 0


def test_a_hole_that_began_before_the_last_use_is_seen_as_one():
    """Of its part after the use alone it would be too short to count."""
    used = NOW - 1200.0
    holed = read(gpu=lambda at: None if used - 200.0 < at < used + 100.0 else 0.0)

    verdict = judge(ready(), RULE, Known(last_used_at=used, reading=holed, warned=announced(used)), now=NOW)

    assert verdict.step is not Step.ACT
    assert verdict.idle_since >= used + 100.0


def test_measurements_of_the_future_say_that_the_clock_cannot_be_trusted():
    """A clock that was set back would take what is an hour old for fresh; it counts as missing."""
    ahead = read(lag=-3600.0)

    assert trace(ahead, SignalName.GPU, since=READY_AT).missing
