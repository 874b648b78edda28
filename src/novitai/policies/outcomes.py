"""What the answers of calls to Novita mean for an instance. Answers are facts: each function can be applied to any
fresh snapshot, and applying it to one that has moved on does no harm.
"""

from collections.abc import Sequence

import msgspec

from novitai.domain.change import Change, fact, failed, move, reach, with_fields, with_operation
from novitai.domain.errors import Code, ProviderFailure
from novitai.domain.events import FactType
from novitai.domain.ids import MachineId
from novitai.domain.instance import (
    Desired,
    DesiredState,
    Instance,
    LastError,
    OpenAttempt,
    OperationStatus,
    Phase,
    Refusal,
    SeenMachine,
    Verb,
)
from novitai.domain.lifecycle import Observation, Request, State, allows
from novitai.domain.machine import MachineStatus
from novitai.domain.money import dollars
from novitai.domain.offers import Offer
from novitai.policies import moves


def create_sent(instance: Instance, *, number: int, offer: Offer, at: float) -> Instance:
    """The intent to buy, to be committed before the call."""
    sent = with_fields(
        instance,
        attempts=max(instance.attempts, number),
        open_attempt=OpenAttempt(number=number, offer=offer, sent_at=at),
        offer=offer,
    )
    return moves.asked(with_operation(sent, sent_at=at) if sent.operation.makes_ready else sent, at=at)


def create_accepted(
    instance: Instance, *, number: int, offer: Offer, machine_id: MachineId, machine_name: str, at: float
) -> Change:
    """Novita made the machine of this attempt (its answer, or found by the marker).

    It becomes the instance's machine, unless there is one already, or another attempt is open, or none is wanted any
    more: then it is a stray.
    """
    if instance.machine is not None and instance.machine.id == machine_id:
        return Change(instance=_closed(instance, number))
    if machine_id in instance.discarded or machine_id in instance.strays or moves.is_former(instance, machine_id):
        return Change(instance=_closed(instance, number))
    rivalled = instance.machine is not None or (
        instance.open_attempt is not None and instance.open_attempt.number != number
    )
    unwanted = instance.state is State.DELETED or (
        instance.state is State.STOPPED and instance.wants is DesiredState.STOPPED
    )
    if rivalled or unwanted:
        return stray_found(_closed(instance, number), machine_id, at=at)
    owned = with_fields(
        _closed(instance, number),
        offer=offer,
        machine=SeenMachine(
            id=machine_id,
            name=machine_name,
            status=MachineStatus.PENDING,
            cluster_id=offer.cluster_id,
            region=offer.region,
            product_id=offer.product_id,
            product_name=offer.product_name,
            billing_mode=offer.billing_mode,
            since=at,
        ),
        started_at=instance.started_at or at,
        health=None,
        running_at=None,
    )
    starts = owned.buys and owned.operation.makes_ready
    if starts:
        owned = with_operation(owned, accepted_at=at, unclear=0)
    told = fact(
        FactType.CREATED,
        owned,
        before=instance,
        at=at,
        actor=owned.operation.by,
        reason=f"{offer.product_name} in {offer.region} as {offer.billing_mode}",
        data={
            "productId": offer.product_id,
            "productName": offer.product_name,
            "region": offer.region,
            "clusterId": offer.cluster_id,
            "billingMode": str(offer.billing_mode),
            "pricePerHour": dollars(offer.price_per_hour),
        },
    )
    change = Change(instance=owned, facts=(told,))
    return change.then(reach(owned, Phase.INSTANCE_STARTING, at=at)) if starts else change


def create_refused(
    instance: Instance, *, number: int | None, offer: Offer, failure: ProviderFailure, at: float
) -> Instance:
    """This offer clearly made no machine; it is not tried again for this request."""
    refusal = Refusal(key=offer.key, code=failure.code, message=failure.message, at=at)
    closed = _closed(instance, number) if number is not None else instance
    if closed.operation.unclear:
        closed = with_operation(closed, unclear=0)
    return with_fields(closed, refusals=(*closed.refusals, refusal))


def create_not_made(instance: Instance, *, number: int) -> Instance:
    """The search for an unclear attempt's machine ended without one."""
    cleared = _closed(instance, number)
    if cleared is instance or not cleared.operation.under_way:
        return cleared
    return with_operation(cleared, sent_at=None)


def create_failed(
    instance: Instance, *, code: Code, message: str, at: float, offers: Sequence[Refusal] = (), reason: str = ""
) -> Change:
    """A create ends without a machine; nothing to end when it was stopped or deleted meanwhile.

    It counts as a failed start-up when Novita had accepted an earlier machine of it, which never ran.
    """
    if instance.replacing:
        return moves.in_vain(instance, code=code, message=message, at=at, offers=offers)
    if instance.state is not State.CREATING:
        return Change(instance=instance)
    before = instance
    given_up = with_fields(
        instance,
        operation=failed(instance.operation, at=at),
        last_error=LastError(code=code, message=message, at=at, offers=tuple(offers)),
    )
    given_up = move(given_up, Observation.GAVE_UP, at=at)
    told = fact(
        FactType.STARTUP_FAILED if instance.startup_retries else FactType.FAILED,
        given_up,
        before=before,
        at=at,
        actor=instance.operation.by,
        reason=reason or message,
        data={"error": {"code": str(code), "message": message}},
    )
    return Change(instance=given_up, facts=(told,))


def startup_failed(instance: Instance, *, code: Code, message: str, at: float) -> Change:
    """Novita accepted, but it did not become ready in time: failed, the machine (if any) kept. Told once per
    operation.
    """
    if not allows(instance.state, Observation.GAVE_UP):
        return Change(instance=instance)
    if instance.former is not None and (instance.former.serves or instance.machine is None):
        return moves.in_vain(instance, code=code, message=message, at=at)
    before = instance
    error = LastError(code=code, message=message, at=at, offers=instance.refusals)
    given_up = move(with_fields(instance, last_error=error), Observation.GAVE_UP, at=at)
    if not (instance.operation.makes_ready and instance.operation.under_way):
        return Change(instance=given_up)
    given_up = with_fields(given_up, operation=failed(instance.operation, at=at))
    if given_up.move is not None:
        return moves.failed_in_place(given_up, before=before, at=at)
    return _told_failed(given_up, FactType.STARTUP_FAILED, before=before, at=at)


def action_sent(instance: Instance, *, at: float) -> Instance:
    """The intent to start, stop, restart or move, to be committed before the call."""
    sent = with_operation(instance, sent_at=at, accepted_at=None)
    return moves.asked(sent, at=at) if sent.operation.verb is Verb.MIGRATE else sent


def action_accepted(instance: Instance, *, operation_id: str, at: float) -> Change:
    """Novita accepted the start, stop or restart of this operation. The answer may come after its effect was seen."""
    operation = instance.operation
    if operation.id != operation_id or not operation.under_way:
        return Change(instance=instance)
    accepted = with_operation(instance, accepted_at=at)
    if instance.state is not State.STARTING or not operation.makes_ready:
        return Change(instance=accepted)
    accepted = with_fields(accepted, started_at=at, health=None, running_at=None)
    if accepted.machine is not None:
        accepted = with_fields(accepted, machine=msgspec.structs.replace(accepted.machine, pulled_seconds=0.0))
    return reach(accepted, Phase.INSTANCE_STARTING, at=at)


def action_unsent(instance: Instance, *, operation_id: str) -> Instance:
    """It is known that Novita did not do it: the call may be sent again."""
    if instance.operation.id != operation_id:
        return instance
    return with_operation(instance, sent_at=None, accepted_at=None)


def action_not_seen(instance: Instance, *, operation_id: str) -> Instance:
    """A look did not show what was sent: the call may be sent again, and the first one may still take effect for a
    while.
    """
    operation = instance.operation
    if operation.id != operation_id:
        return instance
    return with_operation(instance, doubted_at=operation.sent_at, sent_at=None, accepted_at=None)


def action_impossible(instance: Instance, *, operation_id: str, failure: ProviderFailure, at: float) -> Instance:
    """Novita refuses the start or restart for the state that the machine is in: it is asked again for a while, and
    people can see why it takes so long.
    """
    operation = instance.operation
    if operation.id != operation_id or not (operation.under_way and operation.makes_ready):
        return instance
    return with_fields(instance, last_error=LastError(code=failure.code, message=failure.message, at=at))


NO_GPU_ADVICE = (
    "Novita has no GPU free for this machine now. It is left as it is, with its disk: wait and start it again, "
    "or delete it and create a new one elsewhere."
)


def start_refused(instance: Instance, *, operation_id: str, failure: ProviderFailure, at: float) -> Change:
    """A start that Novita clearly refuses: the machine is left as it is, and the caller is told what can be done.

    A machine that runs (its restart was refused) goes on running; any other stays stopped, and that is what is wanted
    from now on.
    """
    if instance.operation.id != operation_id or not allows(instance.state, Observation.START_REFUSED):
        return Change(instance=instance)
    message = NO_GPU_ADVICE if failure.code is Code.NO_CAPACITY else failure.message
    refused = _start_failed(instance, code=failure.code, message=message, at=at)
    if not _runs(instance):
        word = Desired(state=DesiredState.STOPPED, by="novita", reason=f"start refused: {failure.code}", at=at)
        refused = with_fields(move(refused, Observation.START_REFUSED, at=at), desired=word)
    return _told_failed(refused, before=instance, at=at)


def start_given_up(instance: Instance, *, code: Code, message: str, at: float) -> Change:
    """A start that Novita goes on refusing for the machine's state: failed, and the machine is left as it is. One that
    runs (its restart was refused) goes on running. What is wanted does not change: should it come up, it is welcome.
    """
    given_up = _start_failed(instance, code=code, message=message, at=at)
    if not _runs(instance):
        given_up = move(given_up, Observation.GAVE_UP, at=at)
    return _told_failed(given_up, before=instance, at=at)


def _runs(instance: Instance) -> bool:
    return instance.machine is not None and instance.machine.status is MachineStatus.RUNNING


def _start_failed(instance: Instance, *, code: Code, message: str, at: float) -> Instance:
    ended = with_fields(
        instance,
        operation=failed(instance.operation, at=at),
        last_error=LastError(code=code, message=message, at=at),
    )
    return with_fields(move(ended, Observation.MACHINE_RUNNING, at=at), running_at=at) if _runs(instance) else ended


def _told_failed(instance: Instance, kind: FactType = FactType.FAILED, *, before: Instance, at: float) -> Change:
    """The failure that the instance holds now, told."""
    error = instance.last_error
    assert error is not None
    told = fact(
        kind,
        instance,
        before=before,
        at=at,
        actor=before.operation.by,
        reason=error.message,
        data={"error": {"code": str(error.code), "message": error.message}},
    )
    return Change(instance=instance, facts=(told,))


def discard_machine(instance: Instance, *, code: Code, message: str, at: float) -> Instance:
    """Our machine never ran: it is to be deleted, and another offer tried."""
    machine = instance.machine
    if machine is None:
        return instance
    refusal = Refusal(key=instance.offer.key, code=code, message=message, at=at)
    discarded = with_fields(
        instance,
        machine=None,
        health=None,
        running_at=None,
        discarded=(*instance.discarded, machine.id),
        refusals=(*instance.refusals, refusal),
        startup_retries=instance.startup_retries + 1,
    )
    return with_operation(discarded, sent_at=None, accepted_at=None)


def stray_found(instance: Instance, machine_id: MachineId, *, at: float) -> Change:
    """A second machine bears our marker: told, kept in sight, deleted only with the instance."""
    present = instance.machine is not None and instance.machine.id == machine_id
    if machine_id in instance.strays or machine_id in instance.discarded or moves.is_former(instance, machine_id):
        return Change(instance=instance)
    if present and instance.state is not State.DELETED:
        return Change(instance=instance)
    known = with_fields(instance, strays=(*instance.strays, machine_id))
    told = fact(
        FactType.ORPHAN_FOUND,
        known,
        before=instance,
        at=at,
        actor="observer",
        reason="a second machine bears this instance's marker",
        data={"machineId": machine_id, "action": "reported"},
    )
    return Change(instance=known, facts=(told,))


def delete_accepted(instance: Instance, machine_id: MachineId, *, at: float) -> Instance:
    """Novita accepted the delete of one of our machines; it counts as gone when a reading confirms it."""
    others = tuple(item for item in instance.delete_sent if item[0] != machine_id)
    return with_fields(instance, delete_sent=(*others, (machine_id, at)))


def machine_removed(instance: Instance, machine_id: MachineId) -> Instance:
    """A machine of ours is confirmed gone."""
    kept = {
        "discarded": tuple(other for other in instance.discarded if other != machine_id),
        "strays": tuple(other for other in instance.strays if other != machine_id),
        "delete_sent": tuple(item for item in instance.delete_sent if item[0] != machine_id),
    }
    if moves.is_former(instance, machine_id):
        return with_fields(instance, former=None, **kept)
    if instance.machine is not None and instance.machine.id == machine_id:
        return with_fields(
            instance, machine=msgspec.structs.replace(instance.machine, status=MachineStatus.REMOVED), **kept
        )
    return with_fields(instance, **kept)


def deleted(instance: Instance, *, at: float, actor: str, reason: str) -> Change:
    """Everything of the instance is gone."""
    if instance.state is State.DELETED:
        return Change(instance=instance)
    ended = moves.interrupted(_wanted_gone(instance, by=actor, reason=reason, at=at), at=at)
    gone = with_fields(ended, former=None, deleted_at=at)
    if gone.operation.under_way:
        status = OperationStatus.COMPLETED if gone.operation.verb is Verb.DELETE else OperationStatus.SUPERSEDED
        gone = with_operation(gone, status=status, completed_at=at)
    gone = move(gone, Observation.REMOVED, at=at)
    told = fact(FactType.DELETED, gone, before=instance, at=at, actor=actor, reason=reason)
    return Change(instance=gone, facts=(told,))


def machine_deleted_outside(instance: Instance, *, at: float) -> Change:
    """Somebody outside of us deleted the machine, which is their word that the instance is to be gone.

    Other machines of ours for it, and a create that is not resolved, are dealt with first.
    """
    reason = "the machine was deleted outside of Novitai"
    if not (instance.discarded or instance.strays or instance.open_attempt or instance.former):
        return deleted(instance, at=at, actor="outside", reason=reason)
    asked = _wanted_gone(instance, by="outside", reason=reason, at=at)
    if asked.operation.under_way:
        asked = with_operation(asked, status=OperationStatus.SUPERSEDED, completed_at=at)
    return Change(instance=move(asked, Request.DELETE, at=at))


def _wanted_gone(instance: Instance, *, by: str, reason: str, at: float) -> Instance:
    if instance.wants is DesiredState.DELETED:
        return instance
    return with_fields(instance, desired=Desired(state=DesiredState.DELETED, by=by, reason=reason, at=at))


def _closed(instance: Instance, number: int) -> Instance:
    attempt = instance.open_attempt
    if attempt is None or attempt.number != number:
        return instance
    return with_fields(instance, open_attempt=None)


def unsent_stop(instance: Instance, *, at: float) -> Change:
    """A stop of an instance that has no machine: nothing to do, it is stopped."""
    return stopped(
        instance, Observation.NOTHING_TO_STOP, at=at, reason=instance.operation.reason or "there is no machine"
    )


def stopped(instance: Instance, event: Observation, *, at: float, reason: str, actor: str | None = None) -> Change:
    """The machine stands still. An operation that wanted this is done. `actor`: who stopped it (None: whose word holds)."""
    operation = instance.operation
    still = move(instance, event, at=at)
    if still.state is not State.STOPPED:
        return Change(instance=still)
    still = with_fields(moves.interrupted(still, at=at), stopped_at=at, health=None)
    if operation.verb is Verb.STOP and operation.under_way:
        still = with_operation(still, status=OperationStatus.COMPLETED, completed_at=at)
    told = fact(FactType.STOPPED, still, before=instance, at=at, actor=actor or instance.desired.by, reason=reason)
    return Change(instance=still, facts=(told,))
