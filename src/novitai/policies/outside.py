"""What goes on without having been asked of us: whose word it is, and the operation that stands for it.

A start, stop or delete seen outside of us counts as a user's word. A machine that Novita moved, or that was lost and is
seen again, changes nothing in what is wanted.
"""

import msgspec

from novitai.domain.change import with_fields, with_operation
from novitai.domain.instance import Desired, DesiredState, Instance, Operation, OperationStatus, Phase, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus

_UP = {State.RUNNING, State.HEALTH_CHECKING, State.READY, State.FAILED}


def why_it_runs(instance: Instance, *, before: MachineStatus, now: float, operation_id: str) -> Instance:
    """The instance with the operation that explains that its machine runs, or comes up."""
    if instance.operation.under_way:
        return instance
    if instance.state is State.LOST and instance.wants is DesiredState.STOPPED and before.going:
        word = instance.desired
        reason = "seen again after it was lost; it is to be stopped"
        return _new_run(instance, now=now, operation_id=operation_id, by=word.by, reason=reason, verb=Verb.STOP)
    if instance.wants is DesiredState.STOPPED:
        return started_outside(instance, Verb.START, now=now, operation_id=operation_id)
    match instance.state:
        case State.MIGRATING:
            reason = "moved by Novita"
        case State.LOST:
            reason = "seen again after it was lost"
        case State.FAILED:
            return instance  # a late success of the start that was given up
        case _:
            return started_outside(instance, Verb.START, now=now, operation_id=operation_id)
    return _new_run(instance, now=now, operation_id=operation_id, by="novita", reason=reason)


def why_it_comes_up(instance: Instance, *, before: MachineStatus, now: float, operation_id: str) -> Instance:
    """As `_why_it_runs`; a machine that was up is restarted by somebody, and a start that is under way begins again."""
    if instance.operation.under_way:
        return with_operation(instance, sent_at=now, accepted_at=now)
    if instance.state in _UP:
        return started_outside(instance, Verb.RESTART, now=now, operation_id=operation_id)
    return why_it_runs(instance, before=before, now=now, operation_id=operation_id)


def started_outside(instance: Instance, verb: Verb, *, now: float, operation_id: str) -> Instance:
    said = word_from_outside(instance, DesiredState.RUNNING, now=now)
    reason = f"{verb} seen outside of Novitai"
    return _new_run(said, now=now, operation_id=operation_id, by="outside", reason=reason, verb=verb)


def word_from_outside(instance: Instance, state: DesiredState, *, now: float) -> Instance:
    if instance.wants is state:
        return instance
    reason = f"seen {state} without our doing"
    said = with_fields(instance, desired=Desired(state=state, by="outside", reason=reason, at=now))
    if said.operation.under_way:
        said = with_operation(said, status=OperationStatus.SUPERSEDED, completed_at=now)
    return said


def _new_run(
    instance: Instance, *, now: float, operation_id: str, by: str, reason: str, verb: Verb = Verb.START
) -> Instance:
    """The instance with an operation for what goes on without having been asked of us; a stop has still to be sent."""
    begun = None if verb is Verb.STOP else now
    operation = Operation(
        id=operation_id,
        verb=verb,
        by=by,
        reason=reason,
        requested_at=now,
        correlation_id=operation_id,
        sent_at=begun,
        accepted_at=begun,
        phases=() if verb is Verb.STOP else ((Phase.START_REQUESTED, now),),
    )
    machine = instance.machine
    if machine is not None:
        machine = msgspec.structs.replace(machine, pulled_seconds=0.0)
    return with_fields(instance, operation=operation, machine=machine, last_error=None)
