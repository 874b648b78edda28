"""Answers of calls are facts: each can be applied to any snapshot, and to one that has moved on without harm."""

import pytest

from novitai.domain.errors import Code, NoCapacity, Rejected
from novitai.domain.events import FactType
from novitai.domain.ids import MachineId
from novitai.domain.instance import DesiredState, OperationStatus, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.policies import outcomes
from support.builders import (
    INDIA,
    MACHINE_ID,
    NOW,
    accepted,
    desired,
    ended,
    instance,
    offer,
    open_attempt,
    operation,
    seen_machine,
)

OTHER = MachineId("ffffffffffffffff")


def bought(before, *, number=1, machine_id=MACHINE_ID, at=NOW):
    return outcomes.create_accepted(
        before, number=number, offer=offer(INDIA), machine_id=machine_id, machine_name="demo-x", at=at
    )


def told(change):
    return [fact.type for fact in change.facts]


def test_the_intent_to_buy_is_an_open_attempt():
    """It stands before the call, with its number and offer."""
    sent = outcomes.create_sent(instance(State.CREATING), number=1, offer=offer(INDIA), at=NOW)

    assert (sent.open_attempt.number, sent.attempts, sent.offer) == (1, 1, offer(INDIA))
    assert sent.operation.sent_at == NOW


def test_an_accepted_create_has_a_machine_and_its_clock_runs():
    """Created is told, with the offer; the attempt is closed."""
    change = bought(instance(State.CREATING, open_attempt=open_attempt()))

    after = change.instance
    assert (after.open_attempt, after.machine.id, after.machine.status) == (None, MACHINE_ID, MachineStatus.PENDING)
    assert after.operation.accepted_at == NOW
    assert told(change) == [FactType.CREATED, FactType.STARTUP_PROGRESS]
    assert change.facts[0].data["region"] == INDIA.name


def test_the_same_answer_twice_is_one():
    """An answer that is applied again changes nothing."""
    once = bought(instance(State.CREATING, open_attempt=open_attempt())).instance

    again = bought(once, at=NOW + 1)

    assert again.instance == once
    assert again.facts == ()


@pytest.mark.parametrize("state", [State.READY, State.STOPPED, State.DELETED])
def test_a_machine_that_nobody_waits_for_is_a_stray(state):
    """A late second machine is told and kept in sight, never swapped in."""
    before = instance(state, machine=None) if state is not State.READY else instance(state)

    change = bought(before, machine_id=OTHER)

    assert change.instance.strays == (OTHER,)
    assert change.instance.machine == before.machine
    assert told(change) == [FactType.ORPHAN_FOUND]


def test_an_answer_for_an_attempt_that_was_disproved_is_taken_while_a_machine_is_wanted():
    """It came late, but it is what was asked for."""
    change = bought(instance(State.CREATING))

    assert change.instance.machine.id == MACHINE_ID


def test_a_machine_of_an_older_attempt_is_a_stray_while_another_is_open():
    """The open one may have made a machine too."""
    change = bought(instance(State.CREATING, open_attempt=open_attempt(2)), number=1)

    assert change.instance.strays == (MACHINE_ID,)
    assert change.instance.open_attempt.number == 2


def test_a_create_accepted_after_a_stop_is_kept_to_be_stopped():
    """The attempt is resolved first, then stopped; the stop is not taken for accepted."""
    before = instance(State.STOPPING, machine=None, operation=operation(Verb.STOP), open_attempt=open_attempt())

    after = bought(before).instance

    assert (after.state, after.machine.id) == (State.STOPPING, MACHINE_ID)
    assert after.operation.accepted_at is None


def test_a_queued_start_is_not_accepted_by_the_answer_to_an_earlier_create():
    """The start has not been asked of Novita yet."""
    before = instance(
        State.STOPPING,
        machine=None,
        desired=desired(DesiredState.RUNNING),
        operation=operation(Verb.START),
        open_attempt=open_attempt(),
    )

    assert bought(before).instance.operation.accepted_at is None


def test_a_refused_offer_is_remembered_for_this_request():
    """It is not tried again, and the list of those that refused can be told."""
    sent = instance(State.CREATING, open_attempt=open_attempt())

    after = outcomes.create_refused(sent, number=1, offer=offer(), failure=NoCapacity("no GPU"), at=NOW)

    assert after.open_attempt is None
    assert [(refusal.key, refusal.code) for refusal in after.refusals] == [(offer().key, Code.NO_CAPACITY)]


def test_a_disproved_attempt_says_nothing_about_a_later_call():
    """Resolving an attempt that is closed already leaves the present operation alone."""
    starting = instance(State.STARTING)

    assert outcomes.create_not_made(starting, number=1) is starting


@pytest.mark.parametrize("state", [state for state in State if state is not State.CREATING])
def test_a_create_that_was_stopped_or_deleted_meanwhile_does_not_fail(state):
    """The end of trying is no news any more."""
    before = instance(state)

    change = outcomes.create_failed(before, code=Code.NO_CAPACITY, message="none", at=NOW)

    assert change.instance is before
    assert change.facts == ()


@pytest.mark.parametrize(("retries", "kind"), [(0, FactType.FAILED), (1, FactType.STARTUP_FAILED)])
def test_a_failed_create_is_told_once_and_by_whether_novita_had_accepted(retries, kind):
    """`startup_failed` when a machine had been accepted, `failed` when none was."""
    creating = instance(State.CREATING, startup_retries=retries)

    change = outcomes.create_failed(creating, code=Code.NO_CAPACITY, message="none", at=NOW)
    again = outcomes.create_failed(change.instance, code=Code.NO_CAPACITY, message="none", at=NOW)

    assert told(change) == [kind]
    assert change.facts[0].data["error"] == {"code": "NO_CAPACITY", "message": "none"}
    assert again.facts == ()


def test_a_start_up_fails_once_per_operation():
    """A machine that came up late and then did not answer is the same failure."""
    starting = instance(State.STARTING)
    failed = outcomes.startup_failed(starting, code=Code.STARTUP_TIMEOUT, message="slow", at=NOW)
    late = instance(State.HEALTH_CHECKING, operation=failed.instance.operation)

    again = outcomes.startup_failed(late, code=Code.HEALTH_CHECK_TIMEOUT, message="mute", at=NOW + 60)

    assert told(failed) == [FactType.STARTUP_FAILED]
    assert (again.instance.state, told(again)) == (State.FAILED, [])
    assert again.instance.last_error.code is Code.HEALTH_CHECK_TIMEOUT


@pytest.mark.parametrize("state", [State.STOPPED, State.DELETING, State.DELETED, State.LOST])
def test_a_start_up_that_is_over_does_not_fail(state):
    """It was stopped, deleted or lost meanwhile."""
    before = instance(state)

    assert outcomes.startup_failed(before, code=Code.STARTUP_TIMEOUT, message="", at=NOW).instance is before


@pytest.mark.parametrize("state", [State.RUNNING, State.HEALTH_CHECKING])
def test_an_answer_that_comes_after_its_effect_does_not_undo_what_was_seen(state):
    """The start was seen to work before its answer came: checks go on."""
    before = instance(state, operation=operation(Verb.START, sent_at=NOW - 5))

    after = outcomes.action_accepted(before, operation_id="op_1", at=NOW).instance

    assert after.operation.accepted_at == NOW
    assert (after.health, after.running_at) == (before.health, before.running_at)


def test_an_answer_for_another_operation_or_one_that_is_over_is_ignored():
    """It says nothing about what is asked now."""
    starting, ready = instance(State.STARTING), instance(State.READY)

    assert outcomes.action_accepted(starting, operation_id="op_0", at=NOW).instance is starting
    assert outcomes.action_accepted(ready, operation_id="op_1", at=NOW).instance is ready
    assert outcomes.action_unsent(starting, operation_id="op_0") is starting


def test_an_accepted_start_begins_its_clock_without_the_pulling_of_earlier_runs():
    """Time spent pulling for another run does not lengthen this one."""
    machine = seen_machine(MachineStatus.STOPPED, pulled_seconds=900.0)
    starting = instance(State.STARTING, operation=operation(Verb.START, sent_at=NOW), machine=machine)

    change = outcomes.action_accepted(starting, operation_id="op_1", at=NOW)

    assert (change.instance.operation.accepted_at, change.instance.machine.pulled_seconds) == (NOW, 0.0)
    assert told(change) == [FactType.STARTUP_PROGRESS]


def test_a_refused_start_leaves_the_machine_stopped_and_says_what_can_be_done():
    """It is not wanted to run any more, until somebody asks again."""
    starting = instance(
        State.STARTING, operation=operation(Verb.START, sent_at=NOW), machine=seen_machine(MachineStatus.STOPPED)
    )

    change = outcomes.start_refused(starting, operation_id="op_1", failure=NoCapacity("no GPU"), at=NOW)

    assert change.instance.state is State.STOPPED
    assert change.instance.wants is DesiredState.STOPPED
    assert change.instance.desired.by == "novita"  # the user said no such thing
    assert "create a new one elsewhere" in change.instance.last_error.message
    assert told(change) == [FactType.FAILED]


def test_a_refused_restart_leaves_the_machine_running():
    """It was not touched, so it is not called stopped while it bills."""
    restarting = instance(State.STARTING, operation=operation(Verb.RESTART, sent_at=NOW), machine=seen_machine())

    change = outcomes.start_refused(restarting, operation_id="op_1", failure=Rejected("no"), at=NOW)

    assert (change.instance.state, change.instance.wants) == (State.RUNNING, DesiredState.RUNNING)
    assert change.instance.operation.status is OperationStatus.FAILED
    assert told(change) == [FactType.FAILED]


def test_a_discarded_machine_is_to_be_deleted_and_its_offer_not_tried_again():
    """Another offer gets the next try."""
    creating = instance(State.CREATING, operation=accepted(Verb.CREATE), machine=seen_machine(MachineStatus.PENDING))

    after = outcomes.discard_machine(creating, code=Code.STARTUP_TIMEOUT, message="slow", at=NOW)

    assert (after.machine, after.discarded, after.startup_retries) == (None, (MACHINE_ID,), 1)
    assert [refusal.key for refusal in after.refusals] == [creating.offer.key]
    assert (after.operation.sent_at, after.operation.accepted_at) == (None, None)


def test_a_stray_is_told_once_and_the_present_machine_is_none():
    """Seeing it again says nothing new."""
    once = outcomes.stray_found(instance(State.READY), OTHER, at=NOW)

    assert outcomes.stray_found(once.instance, OTHER, at=NOW).facts == ()
    assert outcomes.stray_found(once.instance, MACHINE_ID, at=NOW).facts == ()


def test_a_deleted_instance_whose_machine_shows_up_again_knows_it_as_a_stray():
    """So that it is deleted again instead of billing unseen."""
    change = outcomes.stray_found(instance(State.DELETED), MACHINE_ID, at=NOW)

    assert change.instance.strays == (MACHINE_ID,)


def test_a_machine_that_is_gone_is_struck_from_every_list():
    """Present, discarded or stray."""
    before = instance(
        State.DELETING, discarded=(OTHER,), strays=(OTHER,), delete_sent=((OTHER, NOW), (MACHINE_ID, NOW))
    )

    without_other = outcomes.machine_removed(before, OTHER)
    without_both = outcomes.machine_removed(without_other, MACHINE_ID)

    assert (without_other.discarded, without_other.strays) == ((), ())
    assert without_other.delete_sent == ((MACHINE_ID, NOW),)
    assert without_both.machine.status is MachineStatus.REMOVED


def test_deleted_is_told_once_and_leaves_finished_operations_alone():
    """An operation that was completed stays completed."""
    once = outcomes.deleted(instance(State.READY), at=NOW, actor="outside", reason="gone")
    again = outcomes.deleted(once.instance, at=NOW + 1, actor="outside", reason="gone")

    assert told(once) == [FactType.DELETED]
    assert once.instance.operation == ended(Verb.CREATE)
    assert again.facts == ()


def test_a_stop_without_a_machine_is_done():
    """Nothing was sent, so nothing is to be stopped."""
    stopping = instance(State.STOPPING, machine=None, operation=operation(Verb.STOP))

    change = outcomes.unsent_stop(stopping, at=NOW)

    assert change.instance.state is State.STOPPED
    assert change.instance.operation.status is OperationStatus.COMPLETED
    assert told(change) == [FactType.STOPPED]
