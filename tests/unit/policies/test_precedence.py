"""Who may override whom: the table as it is promised, and whatever order words come in."""

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novitai.domain.budget import Hold
from novitai.domain.change import Change
from novitai.domain.errors import Code, Refusal
from novitai.domain.instance import DesiredState, Instance, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus, SpotStatus
from novitai.domain.migration import Cause, MoveRule
from novitai.domain.money import usd
from novitai.domain.schedule import Ttl
from novitai.policies import migration, moves
from novitai.policies.precedence import TABLE, Rule, Voice, mask, may, voice_of
from novitai.policies.requests import Same, ask
from support.builders import NOW, accepted, desired, ended, instance, spec, wish

RUN, STOP = DesiredState.RUNNING, DesiredState.STOPPED
ASKING = [voice for voice in Voice if voice is not Voice.NOVITA]
BY = {Voice.USER: "user:key_9"} | {voice: str(voice) for voice in Voice if voice is not Voice.USER}


def held(state: DesiredState, by: str, *, until: float | None = None, ttl: float | None = None) -> Instance:
    """An instance whose word was said at NOW - 300; `ttl`: how long after NOW it ends."""
    where = State.READY if state is RUN else State.STOPPED
    life = None if ttl is None else Ttl(seconds=300.0 + ttl)
    return instance(where, desired=desired(state, by=by, until=until), spec=spec(ttl=life))


def allowed(asking: Voice, state: DesiredState, of: Instance, *, spoken_at: float = NOW) -> bool:
    return may(asking, state, of, spoken_at=spoken_at, now=NOW)


def test_the_table_has_a_cell_for_every_pair():
    """Nobody asks whom the table does not know."""
    assert set(TABLE) == set(Voice)
    assert all(set(row) == set(ASKING) for row in TABLE.values())


def test_who_only_stops_never_starts_anything():
    """Idle, ttl and budget have no start."""
    stoppers = (Voice.IDLE, Voice.TTL, Voice.BUDGET)

    assert {row[voice].start for row in TABLE.values() for voice in stoppers} == {Rule.NEVER}


@pytest.mark.parametrize("by", ["user:key_1", "outside", "adoption"])
def test_a_persons_stop_is_not_started_by_the_schedule(by):
    """It holds until a person's start, whatever boundary comes."""
    stopped = held(STOP, by)

    assert not allowed(Voice.SCHEDULE, RUN, stopped, spoken_at=NOW)
    assert allowed(Voice.USER, RUN, stopped)


def test_a_stop_until_gives_way_to_the_schedule_when_its_time_has_passed():
    """Also to a boundary that came while it held."""
    assert allowed(Voice.SCHEDULE, RUN, held(STOP, "user:key_1", until=NOW), spoken_at=NOW - 3600)
    assert not allowed(Voice.SCHEDULE, RUN, held(STOP, "user:key_1", until=NOW + 1))


@pytest.mark.parametrize("by", ["user:key_1", "outside", "schedule"])
def test_a_run_gives_way_to_a_later_boundary_and_not_to_an_earlier_one(by):
    """A start in the night outlasts the stop of the evening before."""
    runs = held(RUN, by)

    assert allowed(Voice.SCHEDULE, STOP, runs, spoken_at=NOW - 299)
    assert not allowed(Voice.SCHEDULE, STOP, runs, spoken_at=NOW - 300)


@pytest.mark.parametrize("by", ["idle", "schedule", "novita"])
def test_the_schedule_starts_again_what_a_policy_or_a_refusal_stopped(by):
    """At the next boundary, not at the one that was."""
    stopped = held(STOP, by)

    assert allowed(Voice.SCHEDULE, RUN, stopped, spoken_at=NOW - 1)
    assert not allowed(Voice.SCHEDULE, RUN, stopped, spoken_at=NOW - 301)


@pytest.mark.parametrize("voice", [Voice.USER, Voice.OUTSIDE, Voice.SCHEDULE])
@pytest.mark.parametrize("by", ["user:key_1", "schedule", "ttl", "idle"])
def test_nobody_starts_what_is_past_its_ttl(voice, by):
    """Whoever stopped it: it needs a new ttl first."""
    assert not allowed(voice, RUN, held(STOP, by, ttl=0.0))


def test_a_new_ttl_lifts_what_the_old_one_held():
    """Then a user may start it, and the schedule's next word counts."""
    assert allowed(Voice.USER, RUN, held(STOP, "ttl", ttl=60.0))
    assert allowed(Voice.SCHEDULE, RUN, held(STOP, "ttl"))


def test_a_start_past_the_ttl_is_refused_with_what_to_do():
    """409, and the words say how to get on."""
    with pytest.raises(Refusal, match="PATCH it with a new ttl") as refused:
        ask(held(STOP, "ttl", ttl=-1.0), wish(Verb.START))

    assert refused.value.code is Code.INSTANCE_NOT_STARTABLE


def test_a_persons_stop_of_what_the_schedule_stopped_becomes_the_persons_word():
    """Nothing is told again, and tomorrow's boundary does not start it."""
    decided = ask(held(STOP, "schedule"), wish(Verb.STOP))

    assert isinstance(decided, Same)
    assert decided.instance.desired.by == "user:key_2"
    assert not allowed(Voice.SCHEDULE, RUN, decided.instance, spoken_at=NOW + 86_400)


def test_the_last_until_of_repeated_stops_holds():
    """Saying stop again without it takes it back."""
    stopped = held(STOP, "user:key_1", until=NOW + 600)

    assert ask(stopped, wish(Verb.STOP, until=NOW + 900)).instance.desired.until == NOW + 900
    assert ask(stopped, wish(Verb.STOP)).instance.desired.until is None


def test_a_policy_that_may_not_is_refused_by_the_arbiter():
    """A policy's own judgement is not the last one."""
    with pytest.raises(Refusal, match="stands above schedule"):
        ask(held(STOP, "user:key_1"), wish(Verb.START, by="schedule"))


@pytest.mark.parametrize("voice", [Voice.USER, Voice.OUTSIDE, Voice.SCHEDULE])
@pytest.mark.parametrize("by", ["user:key_1", "schedule", "ttl", "idle", "budget"])
def test_nobody_starts_what_a_used_up_budget_holds(voice, by):
    """Whoever stopped it, and whether its ttl goes on: the money is gone."""
    for ttl in (None, 60.0, 0.0):
        assert not may(voice, RUN, held(STOP, by, ttl=ttl), spoken_at=NOW, now=NOW, held=True)


def test_a_budget_stands_above_a_ttl_and_lets_everybody_stop():
    """The mask that lasts is the one that is named."""
    both = held(RUN, "user:key_1", ttl=0.0)

    assert (mask(both, now=NOW, held=True), mask(both, now=NOW)) == (Voice.BUDGET, Voice.TTL)
    for voice in (Voice.USER, Voice.OUTSIDE, Voice.SCHEDULE, Voice.TTL, Voice.BUDGET):
        assert may(voice, STOP, both, spoken_at=NOW - 3600, now=NOW, held=True)


def test_what_a_budget_stopped_may_be_started_when_it_lets_go():
    """By a user, and by the schedule's word as it holds then."""
    assert allowed(Voice.USER, RUN, held(STOP, "budget"))
    assert allowed(Voice.SCHEDULE, RUN, held(STOP, "budget"), spoken_at=NOW - 3600)


def test_a_start_that_a_budget_holds_down_is_refused_with_its_figures():
    """409 with what is spent, and the limit."""
    with pytest.raises(Refusal, match=r"budget 'team' is used up: \$10\.00 of \$9\.00 are spent") as refused:
        ask(held(STOP, "user:key_1"), wish(Verb.START, hold=HOLD))

    assert refused.value.code is Code.BUDGET_EXCEEDED
    assert refused.value.details["budgetId"] == "bud_1"


HOLD = Hold(budget_id="bud_1", name="team", limit=usd(9), spent=usd(10), forecast=usd(10), resets_at=NOW + 1e6)
WORDS = st.tuples(
    st.sampled_from(ASKING),
    st.sampled_from([Verb.START, Verb.STOP, Verb.DELETE]),
    st.sampled_from([0.0, 30.0, 4000.0]),  # how long after the word before
    st.sampled_from([0.0, 3000.0]),  # how old the boundary is that speaks
    st.sampled_from([None, 100.0, 5000.0]),  # how long a stop holds
)
HELD = st.lists(st.sampled_from([False, False, True]), min_size=12, max_size=12)
"""Before which words a used-up budget holds the instance."""


def say(
    now: float, before: Instance, voice: Voice, verb: Verb, age: float, hold: float | None, *, held_down: bool = False
) -> Instance | None:
    """The instance after a word; None: it was refused."""
    until = now + hold if hold is not None and verb is Verb.STOP and voice is Voice.USER else None
    said = wish(verb, by=BY[voice], at=now, spoken_at=now - age, until=until, operation_id=f"op_{now}")
    try:
        decided = ask(before, msgspec.structs.replace(said, hold=HOLD if held_down else None))
    except Refusal:
        return None
    assert isinstance(decided, Change | Same)
    return decided.instance


def migrate(now: float, before: Instance, *, held_down: bool) -> Instance | None:
    """The instance after Novita took its machine back and the migration judged it; None: it was left alone."""
    if before.machine is None or before.move is not None:
        return None
    taken = msgspec.structs.replace(
        before.machine, status=MachineStatus.STOPPED, spot_status=SpotStatus.RECLAIMING, since=now
    )
    fallen = msgspec.structs.replace(
        before, state=State.STOPPED, machine=taken, operation=ended(before.operation.verb), moves=()
    )
    verdict = migration.judge(fallen, MoveRule(), now=now, held=held_down)
    if not verdict.step.acts:
        return None
    operation = accepted(Verb.MIGRATE, by="migration")
    change = moves.begin(fallen, way=verdict.way, cause=Cause.RECLAIM, since=now, operation=operation, at=now)
    return change.instance


@settings(max_examples=400, deadline=None)
@given(words=st.lists(WORDS, max_size=12), ttl=st.sampled_from([None, 5_000.0, 20_000.0]), holds=HELD)
def test_in_any_order_of_words_the_precedence_holds(words, ttl, holds):
    """Delete above all; nothing starts past the ttl or while a used-up budget holds; no schedule starts what a person stopped and still
    holds; no boundary from before the word that stands is obeyed; and who may do so is never refused a stop.
    """
    now, life = NOW, None if ttl is None else Ttl(seconds=ttl, since=NOW)
    current = instance(State.READY, spec=spec(ttl=life))
    for (voice, verb, later, age, hold), held_down in zip(words, holds, strict=False):
        now += later
        held_word = current.desired
        masked = held_down or (life is not None and now >= NOW + life.seconds)
        moved = migrate(now, current, held_down=held_down)
        if moved is not None:
            assert held_word.state is RUN
            assert not masked
            assert moved.desired == held_word
        after = say(now, current, voice, verb, age, hold, held_down=held_down)
        took = after is not None and after.desired != held_word
        if held_word.state is DesiredState.DELETED:
            assert not took
        elif verb is Verb.DELETE:
            assert after is not None
            assert after.wants is DesiredState.DELETED
        elif verb is Verb.START and took:
            assert not masked
            assert voice in {Voice.USER, Voice.OUTSIDE, Voice.SCHEDULE}
            lapsed = held_word.until is not None and now >= held_word.until
            if voice is Voice.SCHEDULE and held_word.state is STOP:
                assert voice_of(held_word.by) not in {Voice.USER, Voice.OUTSIDE} or lapsed
        elif verb is Verb.STOP and voice in {Voice.USER, Voice.OUTSIDE, Voice.TTL, Voice.BUDGET}:
            assert after is not None
            assert after.wants is STOP
        if took and voice is Voice.SCHEDULE and verb in {Verb.START, Verb.STOP} and held_word.until is None:
            assert masked or now - age > held_word.at or voice_of(held_word.by) in {Voice.TTL, Voice.BUDGET}
        current = after or current


@pytest.mark.parametrize(("asking", "row"), list(itertools.product(ASKING, Voice)))
def test_every_cell_answers(asking, row):
    """No pair makes the arbiter stumble."""
    for state in (RUN, STOP):
        before = held(STOP if state is RUN else RUN, BY[row])
        assert allowed(asking, state, before) in {True, False}
