"""Whether a machine hangs in a failed migration, from Novita's jobs, and what is done about it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novitai.domain.events import FactType
from novitai.domain.instance import DesiredState, Instance
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.domain.migration import Cause, Move, MoveOutcome, MoveRule, Strategy, Way
from novitai.policies import failed_migrations, migration, moves, readings
from novitai.policies.failed_migrations import Finding, Remedy
from novitai.ports.provider import ProviderJob
from support import builders
from support.builders import MACHINE_ID, NOW

SEEN = NOW - 1200.0
"""When the machine was first seen migrating."""

MANY = tuple(
    Move(
        way=Way.REPLACE,
        cause=Cause.RECLAIM,
        since=NOW - 3600.0 * n,
        began_at=NOW - 3600.0 * n,
        source=MACHINE_ID,
        outcome=MoveOutcome.MOVED,
    )
    for n in range(migration.MOST_MOVES, 0, -1)
)
"""As many moves as one instance may begin in a day."""


def stuck(**fields) -> Instance:
    """An instance whose machine has been migrating for twenty minutes, stopped a minute before that."""
    usual = {"stopped_at": SEEN - 60.0, "started_at": SEEN - 7200.0, "created_at": SEEN - 7300.0}
    return builders.with_machine(builders.instance(State.MIGRATING, **(usual | fields)), since=SEEN)


def job(state: str = "fail", *, at: float = SEEN - 20.0, **fields) -> ProviderJob:
    """A job of the machine."""
    usual = ProviderJob(
        id="j1", type="instanceMigrate", state=state, error="no node", instance_id=MACHINE_ID, created_at=at
    )
    return msgspec.structs.replace(usual, **fields)


def found(instance: Instance, *jobs: ProviderJob) -> Finding:
    return failed_migrations.judge(instance, jobs, now=NOW).finding


@pytest.mark.parametrize("kind", ["instanceMigrate", "autoInstanceMigrate"])
@pytest.mark.parametrize("state", ["fail", "break"])
def test_a_job_that_failed_tells_of_a_failed_move_whoever_asked_for_it(kind, state):
    """Ours or Novita's own, failed or broken off; the sentence names the job and what it said."""
    verdict = failed_migrations.judge(stuck(), [job(state, type=kind)], now=NOW)

    assert verdict.finding is Finding.FAILED
    assert verdict.job is not None
    assert "job j1: no node" in verdict.because


@pytest.mark.parametrize("state", ["pulling", "running", "success", "pending", ""])
def test_any_other_state_of_the_job_tells_of_none(state):
    """Also one that we do not know, and a success that the machine does not show yet."""
    assert found(stuck(), job(state)) is Finding.MOVING


def test_a_machine_without_a_job_is_not_judged():
    """The list may be late, and a move without a job may end well."""
    assert found(stuck()) is Finding.UNKNOWN


def test_a_failed_job_of_another_machine_or_of_another_kind_of_work_says_nothing():
    """A saved image that failed is no move."""
    assert found(stuck(), job(instance_id="f" * 16)) is Finding.UNKNOWN
    assert found(stuck(), job(type="saveImage")) is Finding.UNKNOWN


def test_a_failure_of_an_earlier_move_is_not_held_against_this_one():
    """It was seen stopped after that one began, so this move is another, whose job the list does not have yet."""
    assert found(stuck(), job(at=SEEN - 361.0)) is Finding.UNKNOWN


def test_what_novita_says_of_the_last_start_bounds_the_move_as_well():
    """By Novita's own clock: a machine that came up after a job did not hang because of it."""
    instance = builders.with_machine(stuck(stopped_at=None), started_at=SEEN - 100.0)

    assert found(instance, job(at=SEEN - 401.0)) is Finding.UNKNOWN
    assert found(instance, job(at=SEEN - 90.0)) is Finding.FAILED


def test_what_was_seen_before_the_move_bounds_it_when_nothing_else_is_remembered():
    """The times of a run are forgotten when its machine begins to move."""
    bare = stuck(stopped_at=None)
    instance = builders.with_machine(bare, before_since=SEEN - 100.0)

    assert found(bare, job(at=SEEN - 500.0)) is Finding.FAILED
    assert found(instance, job(at=SEEN - 500.0)) is Finding.UNKNOWN
    assert found(instance, job(at=SEEN - 90.0)) is Finding.FAILED


def test_a_machine_that_begins_to_move_keeps_when_it_began_what_it_did_before():
    """Whatever else a reading changes."""
    running = builders.seen_machine(MachineStatus.RUNNING, since=SEEN - 100.0)

    moving = readings.as_read(running, builders.sighting(MachineStatus.MIGRATING), now=SEEN)
    again = readings.as_read(moving, builders.sighting(MachineStatus.MIGRATING), now=SEEN + 60.0)

    assert (moving.since, moving.before_since) == (SEEN, SEEN - 100.0)
    assert (again.since, again.before_since) == (SEEN, SEEN - 100.0)


def test_a_newer_job_counts_more_than_one_that_failed():
    """Novita tried again by itself."""
    assert found(stuck(), job(at=SEEN - 20.0), job("running", id="j2", at=SEEN + 100.0)) is Finding.MOVING
    assert found(stuck(), job("success", at=SEEN - 20.0), job(id="j2", at=SEEN + 100.0)) is Finding.FAILED


def test_of_two_jobs_of_the_same_second_the_one_that_goes_on_counts():
    """Nothing is destroyed on doubt."""
    assert found(stuck(), job(), job("running", id="j2")) is Finding.MOVING
    assert found(stuck(), job("running", id="j2"), job()) is Finding.MOVING


def test_a_machine_that_just_began_to_migrate_is_left_alone():
    """Whatever the list says."""
    young = builders.with_machine(stuck(), since=NOW - 599.0)

    assert found(young, job(at=NOW - 600.0)) is Finding.MOVING
    assert found(builders.with_machine(young, since=NOW - 600.0), job(at=NOW - 600.0)) is Finding.FAILED


def test_a_move_that_was_seen_hours_late_is_judged_all_the_same():
    """After an outage of ours the job is much older than the first sight of the move."""
    assert found(stuck(stopped_at=None), job(at=SEEN - 7000.0)) is Finding.FAILED


def test_jobs_are_read_from_the_earliest_beginning_that_any_move_can_have():
    """One reading serves all."""
    early = msgspec.structs.replace(stuck(), stopped_at=SEEN - 5000.0)

    assert failed_migrations.listed_since([stuck(), early]) == SEEN - 5300.0


@given(
    st.lists(
        st.builds(
            job,
            st.sampled_from(["fail", "break", "running", "pulling", "success"]),
            at=st.floats(SEEN - 9000.0, NOW + 30.0),
            instance_id=st.sampled_from([MACHINE_ID, "f" * 16]),
            type=st.sampled_from(["instanceMigrate", "autoInstanceMigrate", "saveImage"]),
        ),
        max_size=6,
    )
)
def test_a_failure_is_never_found_but_in_the_newest_job_of_this_move(jobs):
    """Whatever the list holds, in whatever order."""
    verdict = failed_migrations.judge(stuck(), jobs, now=NOW)
    backwards = failed_migrations.judge(stuck(), jobs[::-1], now=NOW)

    assert verdict.finding is backwards.finding
    if verdict.finding is Finding.FAILED:
        told = verdict.job
        assert (told.instance_id, told.state in {"fail", "break"}) == (MACHINE_ID, True)
        assert told.created_at >= SEEN - 60.0 - failed_migrations.CLOCK_TOLERANCE_SECONDS
        moves = [one for one in jobs if one.instance_id == MACHINE_ID and one.type != "saveImage"]
        assert all(one.created_at < told.created_at or one.state in {"fail", "break"} for one in moves)


@pytest.mark.parametrize("status", [status for status in MachineStatus if status is not MachineStatus.MIGRATING])
def test_a_single_read_that_shows_anything_else_undoes_the_finding(status):
    """Also a word that we do not know."""
    assert failed_migrations.still_migrating(builders.machine(status)) is not None
    assert failed_migrations.still_migrating(builders.machine(MachineStatus.MIGRATING)) is None


@pytest.mark.parametrize(
    ("fields", "rule", "remedy"),
    [
        ({}, MoveRule(), Remedy.REPLACE),
        ({}, MoveRule(strategy=Strategy.REPLACE), Remedy.REPLACE),
        ({}, MoveRule(strategy=Strategy.NOTIFY_ONLY), Remedy.TELL),
        ({}, MoveRule(enabled=False), Remedy.TELL),
        ({"spec": builders.spec(protect=True)}, MoveRule(), Remedy.TELL),
        ({"desired": builders.desired(DesiredState.STOPPED)}, MoveRule(), Remedy.TELL),
        ({"desired": builders.desired(DesiredState.DELETED)}, MoveRule(), Remedy.NOTHING),
        ({"moves": MANY}, MoveRule(), Remedy.TELL),
        ({"moves": MANY[1:]}, MoveRule(), Remedy.REPLACE),
    ],
    ids=[
        "usual",
        "replace",
        "notify-only",
        "off",
        "protected",
        "wanted stopped",
        "being deleted",
        "too often",
        "often",
    ],
)
def test_what_is_done_about_it_depends_on_what_was_asked(fields, rule, remedy):
    """Whatever it is, it says why."""
    instance = stuck(**fields)
    judged = migration.judge(instance, rule, now=NOW)
    exempt = judged.because if judged.step is migration.Step.EXEMPT else None

    decision = failed_migrations.decide(instance, rule, exempt=exempt, now=NOW)

    assert decision.remedy is remedy
    assert decision.because


def test_a_failure_that_is_only_told_is_told_once():
    """The instance stays what Novita shows, with the error, and is not told of again for how long the move takes."""
    change = failed_migrations.told(stuck(), because="the move failed", at=NOW)

    told = change.instance
    assert [fact.type for fact in change.facts] == [FactType.MIGRATION_FAILED]
    assert told.state is State.MIGRATING
    assert told.last_error is not None
    assert told.last_error.message == "the move failed"
    assert moves.told_stuck(told)
    assert not moves.told_stuck(stuck())


@pytest.mark.parametrize("state", list(State))
def test_only_what_waits_for_a_move_is_looked_at(state):
    """Both the state of ours and the machine's have to say so."""
    instance = builders.instance(state)

    assert failed_migrations.concerns(instance) is (state is State.MIGRATING)
