"""How a move goes: its beginning, what it sets aside, and each way in which it ends.

Two ways. Novita's own move keeps the machine. A *replacement* keeps the present machine aside as the former one while the
usual buying, booting and checking make another ready; then the former one is given up, and not before the new one runs.
When no other can be had the former one takes its place again, in whatever state it is by then. At most one machine is
ever being made ready for an instance. What is wanted of the instance is never changed here.

When and whither an instance moves is decided in `migration`.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from novitai.domain.change import Change, fact, failed, move, with_fields, with_operation
from novitai.domain.errors import Code
from novitai.domain.events import Fact, FactType
from novitai.domain.explanation import Decision, Explanation
from novitai.domain.ids import MachineId
from novitai.domain.instance import (
    ENOUGH_EVIDENCE,
    DesiredState,
    Former,
    Instance,
    LastError,
    Operation,
    OperationStatus,
    Refusal,
    Verb,
)
from novitai.domain.lifecycle import Observation, Request, State, allows
from novitai.domain.machine import MachineStatus
from novitai.domain.migration import Cause, Move, MoveOutcome, Said, Way
from novitai.domain.money import dollars
from novitai.domain.offers import Offer
from novitai.domain.times import iso, iso_or_none
from novitai.policies import successors

REMEMBERED_SECONDS = 7 * 24 * 3600.0
MOST_REMEMBERED = 20
STUCK_SECONDS = 3600.0
"""After how long a move of Novita's own is told of as stuck: with its system disk one takes minutes, sometimes more than
ten (novita-wire.md 7.3).
"""
_RUNS = {State.RUNNING, State.HEALTH_CHECKING, State.READY, State.FAILED}


# ── the beginning ─────────────────────────────────────────────────────────────────────────────────────────────────────


def begin(instance: Instance, *, way: Way, cause: Cause, since: float, operation: Operation, at: float) -> Change:
    """An instance with a machine begins to move; told. Raises IllegalTransition in a state that knows no move."""
    machine = instance.machine
    assert machine is not None, "what has no machine is created, not moved"
    begun = Move(way=way, cause=cause, since=since, began_at=at, source=machine.id)
    before = closed(instance, MoveOutcome.CALLED_OFF, at=at).moves
    kept = [one for one in before if one.began_at > at - REMEMBERED_SECONDS]
    moving = with_fields(
        released(instance),
        operation=operation,
        moves=(*kept[-MOST_REMEMBERED:], begun),
        refusals=(),
        startup_retries=0,
        last_error=None,
    )
    moving = move(moving, Request.MOVE, at=at)
    moving = _set_aside(moving) if way is Way.REPLACE else with_fields(moving, health=None, running_at=None)
    told = fact(
        FactType.MIGRATING,
        moving,
        before=instance,
        at=at,
        actor=operation.by,
        reason=operation.reason,
        data={
            "way": str(way),
            "cause": str(cause),
            "since": iso(since),
            "machineId": machine.id,
            "reclaimAt": iso_or_none(machine.reclaim_at),
        },
    )
    return Change(instance=moving, facts=(told,))


def _set_aside(instance: Instance) -> Instance:
    machine = instance.machine
    assert machine is not None
    former = Former(
        machine=machine,
        offer=instance.offer,
        health=instance.health,
        started_at=instance.started_at,
        running_at=instance.running_at,
        ready_at=instance.ready_at,
    )
    return with_fields(instance, former=former, machine=None, health=None, running_at=None)


def asked(instance: Instance, *, at: float) -> Instance:
    """Novita is asked for something that brings the instance back; the first time counts."""
    current = instance.move
    if current is None or current.asked_at is not None:
        return instance
    return _with_last(instance, asked_at=at)


def turned(instance: Instance, *, operation_id: str, at: float) -> Change:
    """Novita has no capacity to move the machine itself: another one is bought in its place."""
    current = instance.move
    if current is None or current.way is Way.REPLACE or instance.operation.id != operation_id:
        return Change(instance=instance)
    turning = with_operation(_with_last(_set_aside(instance), way=Way.REPLACE), sent_at=None, accepted_at=None)
    told = fact(
        FactType.MIGRATING,
        turning,
        before=instance,
        at=at,
        actor=instance.operation.by,
        reason="Novita has no capacity to move the machine, so another one is bought in its place",
        data={
            "way": str(Way.REPLACE),
            "cause": str(current.cause),
            "since": iso(current.since),
            "machineId": current.source,
            "reclaimAt": None,
        },
    )
    because = f"Novita has no capacity to move machine {current.source}, so another one is bought in its place"
    return Change(instance=turning, facts=(told,), decision=_decision("instance.replace", because, instance))


# ── the ends ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def called_off(instance: Instance, *, at: float, reason: str) -> Change:
    """The replacement ends without a result for this reason: the former machine takes its place again, and what was bought
    for it is to be deleted.
    """
    back = closed(_restored(instance, at=at), MoveOutcome.CALLED_OFF, at=at)
    if back.operation.verb is Verb.MIGRATE and back.operation.under_way:
        back = with_operation(back, status=OperationStatus.SUPERSEDED, completed_at=at)
    because = f"{reason}: {_goes_back(instance)}"
    return Change(instance=back, decision=_decision("instance.call_off", because, instance))


def in_vain(
    instance: Instance, *, code: Code, message: str, at: float, offers: Iterable[Refusal] | None = None
) -> Change:
    """The move did not succeed: the former machine takes its place again, in the state that it is in; told."""
    current = instance.move
    kept = tuple(instance.refusals if offers is None else offers)
    back = closed(_restored(instance, at=at), MoveOutcome.FAILED, at=at)
    back = with_fields(back, last_error=LastError(code=code, message=message, at=at, offers=kept))
    if back.operation.under_way and back.operation.makes_ready:
        back = with_fields(back, operation=failed(back.operation, at=at))
    told = _failure(back, before=instance, current=current, at=at)
    because = f"{message}: {_goes_back(instance)}"
    return Change(instance=back, facts=(told,), decision=_decision("instance.fail_move", because, instance))


def failed_in_place(instance: Instance, *, before: Instance, at: float) -> Change:
    """The new machine, or the moved one, did not become ready, and is kept: the error stands in the instance. A former
    machine that does not serve any more is given up.
    """
    ended = released(closed(instance, MoveOutcome.FAILED, at=at))
    told = _failure(ended, before=before, current=before.move, at=at)
    because = f"{told.reason}; its machine runs on, is still asked, and a late answer counts"
    if before.former is not None:
        because = f"{because}. The former machine {before.former.machine.id} does not serve any more and is deleted"
    return Change(instance=ended, facts=(told,), decision=_decision("instance.fail_move", because, before))


def _failure(instance: Instance, *, before: Instance, current: Move | None, at: float) -> Fact:
    error = instance.last_error
    assert error is not None
    return fact(
        FactType.MIGRATION_FAILED,
        instance,
        before=before,
        at=at,
        actor=before.operation.by,
        reason=error.message,
        data={
            "way": str(current.way) if current is not None else None,
            "cause": str(current.cause) if current is not None else None,
            "machineId": instance.machine.id if instance.machine is not None else None,
            "error": {"code": str(error.code), "message": error.message},
            "offers": [successors.refusal_view(one) for one in error.offers],
        },
    )


def done(instance: Instance, *, before: Instance, at: float) -> Change:
    """The application answers: the move, if there is one, is over, and the former machine is given up; told with what the
    recovery took.
    """
    current, machine = instance.move, instance.machine
    if current is None or machine is None:
        return given_up(instance) if instance.former is not None else Change(instance=instance)
    moved = _with_last(
        released(instance), outcome=MoveOutcome.MOVED, ended_at=at, target=machine.id, asked_at=current.asked_at or at
    )
    told = fact(
        FactType.MIGRATED,
        moved,
        before=before,
        at=at,
        actor=before.operation.by,
        reason=_arrived(moved.offer, current),
        data={
            "way": str(current.way),
            "cause": str(current.cause),
            "since": iso(current.since),
            "fromMachineId": current.source,
            "toMachineId": machine.id,
            "productId": moved.offer.product_id,
            "productName": moved.offer.product_name,
            "region": moved.offer.region,
            "billingMode": str(moved.offer.billing_mode),
            "pricePerHour": dollars(moved.offer.price_per_hour),
            "secondsToAsk": round(max(0.0, (current.asked_at or at) - current.since), 3),
            "secondsToReady": round(max(0.0, at - current.since), 3),
        },
    )
    return Change(instance=moved, facts=(told,), decision=given_up(instance).decision)


def _arrived(offer: Offer, current: Move) -> str:
    if current.way is Way.MIGRATE:
        return "Novita moved the machine, and its application answers"
    return f"another machine is ready: {offer.product_name} in {offer.region} as {offer.billing_mode}"


def stuck_at(instance: Instance) -> float:
    """When Novita's move of the machine will have taken too long."""
    return instance.state_since + STUCK_SECONDS


def told_stuck(instance: Instance) -> bool:
    """Whether that was said of this move already."""
    return instance.said == said_stuck(instance)


def said_stuck(instance: Instance) -> Said:
    """What is remembered once it was said that Novita's move of the machine does not end."""
    return Said(what="stuck", since=instance.state_since)


def stuck(instance: Instance, *, at: float) -> Change:
    """Novita's move of the machine takes too long: told. Nothing is done to the machine: it is Novita's job that knows
    whether it failed.
    """
    minutes = STUCK_SECONDS / 60.0
    message = f"Novita has been moving the machine for more than {minutes:g} minutes"
    error = LastError(code=Code.MACHINE_ERROR, message=message, at=at)
    ended = with_fields(closed(instance, MoveOutcome.FAILED, at=at), last_error=error, said=said_stuck(instance))
    if ended.operation.under_way and ended.operation.makes_ready:
        ended = with_fields(ended, operation=failed(ended.operation, at=at))
    told = _failure(ended, before=instance, current=instance.move, at=at)
    because = f"{message}; nothing is done to it, since only Novita's job knows whether that has failed"
    return Change(instance=ended, facts=(told,), decision=_decision("instance.fail_move", because, instance))


def closed(instance: Instance, outcome: MoveOutcome, *, at: float) -> Instance:
    """The move that is under way has ended like this; the same instance when there is none."""
    return instance if instance.move is None else _with_last(instance, outcome=outcome, ended_at=at)


def interrupted(instance: Instance, *, at: float) -> Instance:
    """Something else came in between: the move that is under way, if there is one, is over."""
    return closed(instance, MoveOutcome.CALLED_OFF, at=at)


def released(instance: Instance) -> Instance:
    """The former machine, if there is one, is to be deleted."""
    former = instance.former
    if former is None:
        return instance
    gone = former.machine.status is MachineStatus.REMOVED
    discarded = instance.discarded if gone else (*instance.discarded, former.machine.id)
    return with_fields(instance, former=None, discarded=discarded)


def taken_back(instance: Instance) -> bool:
    """Whether Novita takes, or took, a machine back that is wanted: by its notice or its spot status. A status that was left
    over from before the present run says nothing.
    """
    machine = instance.machine
    if machine is None or instance.wants is not DesiredState.RUNNING or not machine.spot_status.taken:
        return False
    return not 0.0 < machine.reclaim_at < (instance.running_at or 0.0)


def given_up(instance: Instance) -> Change:
    """The former machine, if there is one, is to be deleted, because its successor does."""
    former, machine = instance.former, instance.machine
    if former is None or machine is None:
        return Change(instance=instance)
    does = "is ready" if instance.state is State.READY else "runs, and the former one does not serve any more"
    because = f"machine {machine.id}, which takes the place of {former.machine.id}, {does}: the former one is deleted"
    return Change(instance=released(instance), decision=_decision("instance.release", because, instance))


def is_former(instance: Instance, machine_id: MachineId) -> bool:
    """Whether this machine is the one that is being replaced."""
    return instance.former is not None and instance.former.machine.id == machine_id


def outlived(instance: Instance) -> bool:
    """Whether the former machine is of no use any more: it stands still or is gone, and the new one runs."""
    former, machine = instance.former, instance.machine
    if former is None or not former.ended or machine is None:
        return False
    return machine.status is MachineStatus.RUNNING and instance.state in _RUNS


def falls_back(instance: Instance) -> bool:
    """Whether the former machine serves, so that a new one that fails before it is ready is not worth waiting for."""
    former = instance.former
    wanted = instance.wants is DesiredState.RUNNING and instance.state is not State.READY
    return former is not None and former.serves and wanted


def _goes_back(instance: Instance) -> str:
    """What becomes of the machines when a move comes to nothing."""
    former, machine = instance.former, instance.machine
    if former is None:
        return f"machine {machine.id} is left as it is" if machine is not None else "there is no machine"
    kept = f"machine {former.machine.id} ({former.machine.status}) takes its place again"
    return kept if machine is None else f"{kept}, and {machine.id}, which was bought for that, is deleted"


def _decision(action: str, because: str, instance: Instance) -> Decision:
    """Why, with the machines that it is about."""
    current, former, machine = instance.move, instance.former, instance.machine
    facts = {
        "machineId": machine.id if machine is not None else None,
        "formerMachineId": former.machine.id if former is not None else None,
        "way": str(current.way) if current is not None else None,
        "cause": str(current.cause) if current is not None else None,
        "since": iso_or_none(current.since) if current is not None else None,
    }
    return Decision(by="migration", action=action, why=Explanation(because=because, facts=facts))


def _with_last(instance: Instance, **fields: Any) -> Instance:
    last = msgspec.structs.replace(instance.moves[-1], **fields)
    return with_fields(instance, moves=(*instance.moves[:-1], last))


def _restored(instance: Instance, *, at: float) -> Instance:
    """The former machine, if it was set aside, in its old place; and the state that fits what is known of it."""
    former, new = instance.former, instance.machine
    if former is None:
        return _settled(instance, ready=False, at=at)
    discarded = instance.discarded if new is None else (*instance.discarded, new.id)
    back = with_fields(
        instance,
        machine=former.machine,
        former=None,
        offer=former.offer,
        health=former.health,
        started_at=former.started_at,
        running_at=former.running_at,
        ready_at=former.ready_at,
        discarded=discarded,
    )
    return _settled(back, ready=former.ready_at is not None, at=at)


def _settled(instance: Instance, *, ready: bool, at: float) -> Instance:
    """The instance in the state that its machine is in. A stop, a delete or the end goes on as it was."""
    if instance.state in {State.STOPPING, State.STOPPED, State.DELETING, State.DELETED, State.LOST}:
        return instance
    machine = instance.machine
    unsettled = instance
    if allows(instance.state, Observation.MIGRATION_SEEN):
        unsettled = move(instance, Observation.MIGRATION_SEEN, at=at)
    if machine is None or len(machine.missing) >= ENOUGH_EVIDENCE or machine.status is MachineStatus.REMOVED:
        return move(unsettled, Observation.VANISHED, at=at)
    if machine.status is MachineStatus.MIGRATING:
        return unsettled
    if machine.status is MachineStatus.STOPPED:
        stopped = move(unsettled, Observation.MACHINE_STOPPED, at=at)
        return with_fields(stopped, stopped_at=machine.since, health=None)
    up = move(unsettled, Observation.MACHINE_RUNNING, at=at)
    if machine.status.going_down:
        return move(up, Observation.STOP_SEEN, at=at)
    if ready:
        return move(up, Observation.CHECKS_PASSED, at=at)
    return with_fields(up, health=None, running_at=instance.running_at or at)
