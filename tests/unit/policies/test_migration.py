"""When an instance moves, and which way: what Novita's signs mean under each rule, and what keeps it from moving again and again."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novitai.domain.instance import DesiredState, Instance, OperationStatus, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus, SpotStatus
from novitai.domain.migration import Cause, Migration, Move, MoveOutcome, MoveRule, Strategy, Way, over, resolved
from novitai.domain.schedule import Ttl
from novitai.policies.migration import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    MOST_MOVES,
    WINDOW_SECONDS,
    Step,
    explained,
    judge,
)
from support import builders
from support.builders import MACHINE_ID, NOW

MIGRATE, REPLACE = MoveRule(), MoveRule(strategy=Strategy.REPLACE)
NOTIFY = MoveRule(strategy=Strategy.NOTIFY_ONLY)
HOUR = 3600.0


def noticed(state: State = State.READY, **fields) -> Instance:
    """Its machine runs, and Novita has announced that it takes it back in an hour."""
    usual = builders.instance(state, **fields)
    return builders.with_machine(usual, spot_status=SpotStatus.NOTIFIED, reclaim_at=NOW + HOUR, taken_since=NOW - 5.0)


def reclaimed(status: MachineStatus = MachineStatus.STOPPED, **fields) -> Instance:
    """Novita has taken it back: it stands still, although it is to be running."""
    usual = {
        "desired": builders.desired(DesiredState.RUNNING),
        "operation": builders.ended(Verb.CREATE),
        "machine": builders.seen_machine(
            status, spot_status=SpotStatus.TERMINATED, reclaim_at=NOW - 10.0, since=NOW - 3.0
        ),
        "running_at": NOW - 9 * HOUR,
    }
    return builders.instance(State.STOPPED, **(usual | fields))


def lost(**fields) -> Instance:
    """It was noticed and is gone."""
    gone = builders.instance(State.LOST, **fields)
    return builders.with_machine(gone, spot_status=SpotStatus.NOTIFIED, reclaim_at=NOW + HOUR)


def moved(outcome: MoveOutcome, *, ago: float, way: Way = Way.REPLACE) -> Move:
    """A move that ended just so, a minute after it began."""
    began = NOW - ago
    return Move(
        way=way,
        cause=Cause.RECLAIM,
        since=began,
        began_at=began,
        source=MACHINE_ID,
        ended_at=began + 60.0,
        outcome=outcome,
    )


def test_replace_acts_on_the_notice():
    """Counted from when the notice was first seen."""
    verdict = judge(noticed(), REPLACE, now=NOW)

    assert (verdict.step, verdict.cause, verdict.since) == (Step.REPLACE, Cause.NOTICE, NOW - 5.0)
    assert "while this one still serves" in verdict.because
    assert verdict.facts["spotStatus"] == "notified"


@pytest.mark.parametrize("state", [State.RUNNING, State.HEALTH_CHECKING, State.READY])
def test_a_notice_counts_in_every_state_in_which_the_machine_is_up(state):
    """Also before the application answers: the machine will not live to see it."""
    assert judge(noticed(state), REPLACE, now=NOW).step is Step.REPLACE


@pytest.mark.parametrize("status", [SpotStatus.NONE, SpotStatus.RUNNING, SpotStatus.TERMINATED])
def test_no_other_spot_status_of_a_machine_that_is_up_is_a_notice(status):
    """A machine that runs was not terminated, whatever stands there."""
    instance = builders.with_machine(noticed(), spot_status=status, reclaim_at=0.0)

    assert judge(instance, REPLACE, now=NOW).step is Step.REST


def test_migrate_waits_for_the_stop():
    """While the notice stands Novita refuses its own move."""
    verdict = judge(noticed(), MIGRATE, now=NOW)

    assert (verdict.step, verdict.cause) == (Step.WAIT, Cause.NOTICE)
    assert "possible only once the machine stands still" in verdict.because


@pytest.mark.parametrize(("rule", "step"), [(MIGRATE, Step.MIGRATE), (REPLACE, Step.REPLACE), (NOTIFY, Step.REST)])
def test_what_is_reclaimed_is_brought_back_as_its_strategy_says(rule, step):
    """Counted from when it was first seen standing still."""
    verdict = judge(reclaimed(), rule, now=NOW)

    assert (verdict.step, verdict.cause, verdict.since) == (step, Cause.RECLAIM, NOW - 3.0)


@pytest.mark.parametrize("rule", [MIGRATE, REPLACE])
def test_what_is_reclaimed_and_gone_can_only_be_replaced(rule):
    """There is nothing left to move."""
    assert judge(lost(), rule, now=NOW).step is Step.REPLACE


def test_what_was_adopted_is_moved_by_novita_or_left_alone():
    """Its environment is not known, so that no machine like it can be bought: whatever the strategy."""
    adopted, before = builders.spec(adopted=True), (moved(MoveOutcome.FAILED, ago=2 * HOUR, way=Way.MIGRATE),)

    assert judge(noticed(spec=adopted), REPLACE, now=NOW).step is Step.WAIT
    assert judge(reclaimed(spec=adopted), REPLACE, now=NOW).step is Step.MIGRATE
    assert judge(reclaimed(spec=adopted, moves=before), MIGRATE, now=NOW).step is Step.MIGRATE
    assert judge(lost(spec=adopted), MIGRATE, now=NOW).step is Step.LEAVE


def test_after_a_move_of_novitas_that_failed_another_machine_is_bought():
    """What did not work once is not tried again in the same way."""
    before = (moved(MoveOutcome.FAILED, ago=2 * HOUR, way=Way.MIGRATE),)

    assert judge(reclaimed(moves=before), MIGRATE, now=NOW).step is Step.REPLACE


@pytest.mark.parametrize("wanted", [DesiredState.STOPPED, DesiredState.DELETED])
@pytest.mark.parametrize("rule", [MIGRATE, REPLACE])
def test_what_is_not_to_be_running_is_never_moved(wanted, rule):
    """A stop by a person, outside of us, or by a policy changes what is wanted, and that is all that counts."""
    word = builders.desired(wanted, by="idle")

    for instance in (noticed(desired=word), reclaimed(desired=word), lost(desired=word)):
        assert judge(instance, rule, now=NOW).step is Step.EXEMPT


def test_a_stop_without_any_sign_of_novitas_is_not_undone():
    """Told, and not acted on."""
    instance = builders.with_machine(reclaimed(), spot_status=SpotStatus.RUNNING, reclaim_at=0.0)

    assert judge(instance, REPLACE, now=NOW).step is Step.REST


def test_a_spot_status_that_was_left_over_from_an_earlier_run_says_nothing():
    """Else a machine that somebody stopped later would be brought back."""
    instance = reclaimed(running_at=NOW - 5.0)

    assert judge(instance, REPLACE, now=NOW).step is Step.REST


EXEMPT = {
    "protected": (reclaimed(spec=builders.spec(protect=True)), MIGRATE, {}),
    "switched off": (reclaimed(), MoveRule(enabled=False), {}),
    "its time to live is over": (reclaimed(spec=builders.spec(ttl=Ttl(seconds=60.0))), MIGRATE, {}),
    "a budget holds it down": (reclaimed(), MIGRATE, {"held": True}),
}


@pytest.mark.parametrize(("instance", "rule", "known"), EXEMPT.values(), ids=EXEMPT)
def test_what_is_exempt_is_never_moved(instance, rule, known):
    """Each with its reason."""
    verdict = judge(instance, rule, now=NOW, **known)

    assert verdict.step is Step.EXEMPT
    assert verdict.because


def test_nothing_is_begun_beside_a_move():
    """At most one at a time: ours, or Novita's own."""
    ours = msgspec.structs.replace(moved(MoveOutcome.UNDER_WAY, ago=60.0), ended_at=None)
    migrating = builders.with_machine(builders.instance(State.MIGRATING), spot_status=SpotStatus.NOTIFIED)

    assert judge(noticed(moves=(ours,)), REPLACE, now=NOW).step is Step.REST
    assert judge(migrating, REPLACE, now=NOW).step is Step.REST


def test_a_start_that_waits_comes_first():
    """A person asked to start what stands still: that is under way."""
    asked = builders.operation(Verb.START)

    assert judge(reclaimed(operation=asked), MIGRATE, now=NOW).step is Step.WAIT


def test_while_as_many_move_as_may_the_next_waits():
    """And says why."""
    verdict = judge(reclaimed(), MIGRATE, now=NOW, room=False)

    assert verdict.step is Step.WAIT
    assert "are moving" in verdict.because


@pytest.mark.parametrize(("failures", "pause"), [(1, 1), (2, 2), (3, 4), (5, 16)])
def test_after_each_failure_in_a_row_the_next_move_waits_twice_as_long(failures, pause):
    """From the end of the last one."""
    before = tuple(moved(MoveOutcome.FAILED, ago=60.0 + 120.0 * nth) for nth in reversed(range(failures)))
    verdict = judge(reclaimed(moves=before), MIGRATE, now=NOW + 1.0)

    assert verdict.step is Step.WAIT
    assert verdict.due == NOW + FIRST_PAUSE_SECONDS * pause
    assert judge(reclaimed(moves=before), MIGRATE, now=verdict.due).step.acts


def test_no_pause_is_longer_than_an_hour_and_a_success_ends_them():
    """Moves of days ago still count in a row."""
    days = 24 * HOUR
    many = tuple(moved(MoveOutcome.FAILED, ago=2 * days + nth) for nth in range(40))
    last = moved(MoveOutcome.FAILED, ago=60.0)
    well = (moved(MoveOutcome.FAILED, ago=500.0), moved(MoveOutcome.MOVED, ago=60.0))

    assert judge(reclaimed(moves=(*many, last)), MIGRATE, now=NOW + 1.0).due == NOW + LONGEST_PAUSE_SECONDS
    assert judge(reclaimed(moves=well), MIGRATE, now=NOW + 1.0).step.acts


def test_after_so_many_moves_in_a_day_it_is_left_alone_until_the_oldest_is_a_day_old():
    """Those that were called off cost nothing."""
    spread = WINDOW_SECONDS / (MOST_MOVES + 1)
    before = tuple(moved(MoveOutcome.MOVED, ago=spread * nth) for nth in range(MOST_MOVES, 0, -1))
    aside = (moved(MoveOutcome.CALLED_OFF, ago=100.0), *before)
    verdict = judge(reclaimed(moves=before), MIGRATE, now=NOW)

    assert verdict.step is Step.LEAVE
    assert verdict.due == before[0].began_at + WINDOW_SECONDS
    assert judge(reclaimed(moves=before), MIGRATE, now=verdict.due).step.acts
    assert judge(reclaimed(moves=aside[:-1]), MIGRATE, now=NOW).step.acts


@given(
    state=st.sampled_from([state for state in State if state is not State.DELETED]),
    status=st.sampled_from(MachineStatus),
    spot=st.sampled_from(SpotStatus),
    wanted=st.sampled_from(DesiredState),
    strategy=st.sampled_from(Strategy),
    under_way=st.booleans(),
)
def test_nothing_moves_but_what_is_wanted_running_and_taken_by_novita(state, status, spot, wanted, strategy, under_way):
    """Whatever comes together."""
    instance = builders.instance(state)
    operation = msgspec.structs.replace(
        instance.operation, status=OperationStatus.UNDER_WAY if under_way else OperationStatus.COMPLETED
    )
    machine = builders.seen_machine(status, spot_status=spot)
    instance = msgspec.structs.replace(instance, machine=machine, operation=operation, desired=builders.desired(wanted))
    verdict = judge(instance, MoveRule(strategy=strategy), now=NOW)

    if verdict.step.acts:
        assert wanted is DesiredState.RUNNING
        assert spot.taken
        assert strategy is not Strategy.NOTIFY_ONLY
        assert state in {State.RUNNING, State.HEALTH_CHECKING, State.READY, State.FAILED, State.STOPPED, State.LOST}
        assert verdict.cause is not None
    if verdict.step is Step.MIGRATE:
        assert state is State.STOPPED


def test_what_an_instance_asks_stands_above_the_settings():
    """Value by value; a change says only what it changes, and null makes all of it the settings' again."""
    usual = MoveRule(enabled=False, dry_run=True)
    asked = over(Migration(strategy=Strategy.REPLACE), Migration(enabled=True))

    assert resolved(None, usual) is usual
    assert resolved(asked, usual) == MoveRule(enabled=True, dry_run=True, strategy=Strategy.REPLACE)
    assert over(asked, None) is None


def test_the_rule_is_explained_with_its_verdict_and_what_comes_next():
    """In a sentence, with where the rule comes from."""
    instance = noticed(spec=builders.spec(migration=Migration(strategy=Strategy.REPLACE)))
    view = explained(instance, REPLACE, judge(instance, REPLACE, now=NOW))
    calm = explained(builders.instance(), MIGRATE, judge(builders.instance(), MIGRATE, now=NOW))

    assert (view.source, view.value["strategy"]) == ("request", "replace")
    assert view.next is not None
    assert view.next.what == "replace"
    assert view.verdict.startswith("Novita announced")
    assert (calm.source, calm.next) == ("default", None)
