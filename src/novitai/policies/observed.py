"""What a sighting of a machine means for its instance.

A sighting that the present operation explains is taken as it is. One that contradicts what we hold (a ready machine that stands still, a stopped one
that runs) is a *surprise*: from the list alone it is not believed, since lists lag and lie; it asks for a look (a single read), and only that
is taken. A start, stop or delete confirmed in this way without our doing is somebody's word outside of us and counts like a user's. A
stop with a spot notice is a reclaim: what is desired does not change. Nothing here ever asks for a machine to be destroyed.
"""

import msgspec

from novitai.domain.change import Change, fact, move, reach, with_fields, with_operation
from novitai.domain.errors import Code
from novitai.domain.events import Fact, FactType
from novitai.domain.instance import (
    Desired,
    DesiredState,
    Instance,
    LastError,
    Operation,
    OperationStatus,
    Phase,
    SeenMachine,
    Verb,
)
from novitai.domain.lifecycle import Observation, State, allows
from novitai.domain.machine import Machine, MachineStatus, PortMapping, SpotStatus
from novitai.domain.secrets import Sealed
from novitai.domain.times import iso_or_none
from novitai.policies import outcomes

EVIDENCE_APART_SECONDS = 30.0
START_VISIBLE_SECONDS = 30.0
"""How long a machine may still be shown standing after a start was sent."""
RESTART_VISIBLE_SECONDS = 30.0
"""How long after an accepted restart a machine that was never seen restarting, and runs, counts as restarted."""

_UP = {State.RUNNING, State.HEALTH_CHECKING, State.READY, State.FAILED}
_COMING_UP = {MachineStatus.PENDING, MachineStatus.PULLING, MachineStatus.STARTING, MachineStatus.RESTARTING}
_GOING_DOWN = {MachineStatus.STOPPED, MachineStatus.STOPPING, MachineStatus.REMOVED, MachineStatus.REMOVING}
_SPOT_TAKEN = {SpotStatus.NOTIFIED, SpotStatus.RECLAIMING, SpotStatus.TERMINATED}
_SPOT_FREE = {SpotStatus.NONE, SpotStatus.RUNNING}


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """A machine as read, with the time at which the reading began. `confirmed`: read singly, not from a list."""

    machine: Machine
    at: float
    confirmed: bool
    password: Sealed | None = None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a sighting changes, and whether the machine should be looked at singly before anything more is concluded."""

    change: Change
    look: bool = False


def see(instance: Instance, sighting: Sighting, *, now: float, operation_id: str) -> Seen:
    """Take a sighting of the instance's present machine. `operation_id` is fresh, for what turns out to be started outside of us."""
    seen = instance.machine
    machine = sighting.machine
    if seen is None or seen.id != machine.id or instance.state is State.DELETED:
        return Seen(change=Change(instance=instance))
    if sighting.at < seen.since:
        return Seen(change=Change(instance=instance))  # the reading is older than what is known
    if not sighting.confirmed and _surprising(instance, seen, machine.status):
        return Seen(change=Change(instance=_not_missing(instance, seen, at=sighting.at)), look=True)
    noted = _note(instance, seen, sighting, now=now)
    told = _spot_notice(instance, noted, at=now)
    look = _withdraws_notice(seen, sighting)
    if machine.status is MachineStatus.UNKNOWN:
        return Seen(change=told, look=look)
    moved = _move(told.instance, before=seen.status, now=now, operation_id=operation_id)
    return Seen(change=told.then(moved), look=look)


def _surprising(instance: Instance, seen: SeenMachine, status: MachineStatus) -> bool:
    """Whether neither what is known nor the present operation explains this status."""
    if status in {MachineStatus.UNKNOWN, MachineStatus.MIGRATING}:
        return False
    if status is seen.status and instance.state is not State.LOST:
        return False
    match instance.state:
        case State.STARTING if instance.operation.accepted_at is None:
            return True  # nothing was started yet, as far as we know
        case State.CREATING | State.STARTING | State.MIGRATING:
            return status in _GOING_DOWN
        case State.STOPPING:
            if status is MachineStatus.STOPPED:
                return instance.operation.accepted_at is None
            return status is MachineStatus.REMOVED or (seen.status is MachineStatus.STOPPING and status.going)
        case State.DELETING:
            return status is MachineStatus.REMOVED
        case _:
            return status is not MachineStatus.RUNNING or instance.state is State.STOPPED


def _not_missing(instance: Instance, seen: SeenMachine, *, at: float) -> Instance:
    """What stands in a list is not missing, whatever else is to be thought of it."""
    missing = _still_missing(seen, at=at)
    if missing == seen.missing:
        return instance
    return with_fields(instance, machine=msgspec.structs.replace(seen, missing=missing))


def _still_missing(seen: SeenMachine, *, at: float) -> tuple[float, ...]:
    """The evidence of absence that a reading begun at `at` leaves standing: only what is newer."""
    return tuple(evidence for evidence in seen.missing if evidence > at)


def _withdraws_notice(seen: SeenMachine, sighting: Sighting) -> bool:
    """A list that lags may not know of a spot notice yet; only a single read can take one back."""
    return not sighting.confirmed and seen.spot_status in _SPOT_TAKEN and sighting.machine.spot_status in _SPOT_FREE


def _note(instance: Instance, seen: SeenMachine, sighting: Sighting, *, now: float) -> Instance:
    """The instance with the machine's fields as read; the same object when nothing differs."""
    machine = sighting.machine
    keeps = _withdraws_notice(seen, sighting)
    fields: dict[str, object] = {
        "name": machine.name or seen.name,
        "provider_status": machine.provider_status,
        "error": machine.error,
        "cluster_id": machine.cluster_id or seen.cluster_id,
        "region": machine.region or seen.region,
        "product_id": machine.product_id or seen.product_id,
        "product_name": machine.product_name or seen.product_name,
        "billing_mode": machine.billing_mode or seen.billing_mode,
        "ports": _ports(seen, machine),
        "spot_status": seen.spot_status if keeps else machine.spot_status,
        "reclaim_at": seen.reclaim_at if keeps else machine.reclaim_at,
        "missing": _still_missing(seen, at=sighting.at),
    }
    if not _same_run(seen, machine):
        fields["connection"] = None
    if machine.detailed and machine.connection is not None and machine.connection.has_ssh:
        fields["connection"] = machine.connection
        fields["password"] = sighting.password if machine.password else seen.password
    if machine.status is not seen.status and machine.status is not MachineStatus.UNKNOWN:
        fields |= {"status": machine.status, "since": now, **_pulling(seen, machine.status, now=now)}
    noted = msgspec.structs.replace(seen, **fields)
    if _without_box(noted) == _without_box(seen):
        return instance
    return with_fields(instance, machine=noted)


def _same_run(seen: SeenMachine, machine: Machine) -> bool:
    """Whether addresses that were read earlier still hold: after a stop or a move the machine may be elsewhere."""
    return machine.status in {MachineStatus.UNKNOWN, seen.status}


def _ports(seen: SeenMachine, machine: Machine) -> tuple[PortMapping, ...]:
    """As read; lists may leave endpoints out, so those of the present run are kept until others are told."""
    if any(port.endpoint for port in machine.ports):
        return machine.ports
    if _same_run(seen, machine):
        return seen.ports or machine.ports
    return machine.ports or tuple(PortMapping(port=port.port, type=port.type, endpoint="") for port in seen.ports)


def _without_box(seen: SeenMachine) -> SeenMachine:
    """A password sealed twice differs each time; it counts as changed only when there was none."""
    return msgspec.structs.replace(seen, password=None if seen.password is None else Sealed("set"))


def _pulling(seen: SeenMachine, status: MachineStatus, *, now: float) -> dict[str, float | None]:
    if status is MachineStatus.PULLING:
        return {"pulling_since": now}
    if seen.pulling_since is not None:
        return {"pulling_since": None, "pulled_seconds": seen.pulled_seconds + now - seen.pulling_since}
    return {}


def _spot_notice(before: Instance, noted: Instance, *, at: float) -> Change:
    old, new = before.machine, noted.machine
    if (
        old is None
        or new is None
        or new.spot_status is not SpotStatus.NOTIFIED
        or old.spot_status in {SpotStatus.NOTIFIED, SpotStatus.RECLAIMING}
    ):
        return Change(instance=noted)
    told = fact(
        FactType.SPOT_NOTICE,
        noted,
        before=before,
        at=at,
        actor="novita",
        reason="Novita announced that it takes the spot machine back",
        data={"reclaimAt": iso_or_none(new.reclaim_at)},
    )
    return Change(instance=noted, facts=(told,))


def _move(instance: Instance, *, before: MachineStatus, now: float, operation_id: str) -> Change:
    machine = instance.machine
    assert machine is not None
    match machine.status:
        case MachineStatus.RUNNING:
            return _running(instance, before=before, now=now, operation_id=operation_id)
        case MachineStatus.STOPPED:
            return _standing(instance, before=before, now=now)
        case MachineStatus.STOPPING:
            return _stopping(instance, now=now)
        case MachineStatus.STARTING | MachineStatus.RESTARTING | MachineStatus.PULLING | MachineStatus.PENDING:
            return _starting(instance, before=before, now=now, operation_id=operation_id)
        case MachineStatus.MIGRATING:
            return _migrating(instance, now=now)
        case MachineStatus.REMOVED:
            return _removed(instance, now=now)
        case _:
            return Change(instance=instance)


def _running(instance: Instance, *, before: MachineStatus, now: float, operation_id: str) -> Change:
    match instance.state:
        case State.DELETING | State.RUNNING | State.HEALTH_CHECKING | State.READY:
            return Change(instance=instance)
        case State.STOPPING if _ours(instance):
            return Change(instance=instance)
        case State.STARTING if not _started(instance, before=before, now=now):
            return Change(instance=instance)
        case State.FAILED if instance.running_at is not None or instance.wants is not DesiredState.RUNNING:
            return Change(instance=instance)
    return begun_running(_why_it_runs(instance, before=before, now=now, operation_id=operation_id), at=now)


def _ours(instance: Instance) -> bool:
    """Whether something that was asked of us is still under way."""
    operation = instance.operation
    return operation.under_way and (operation.verb is Verb.STOP or operation.accepted_at is None)


def _why_it_runs(instance: Instance, *, before: MachineStatus, now: float, operation_id: str) -> Instance:
    """The instance with the operation that explains that its machine runs, or comes up."""
    if instance.operation.under_way:
        return instance
    if instance.state is State.LOST and instance.wants is DesiredState.STOPPED and before.going:
        word = instance.desired
        reason = "seen again after it was lost; it is to be stopped"
        return _new_run(instance, now=now, operation_id=operation_id, by=word.by, reason=reason, verb=Verb.STOP)
    if instance.wants is DesiredState.STOPPED:
        return _outside(instance, Verb.START, now=now, operation_id=operation_id)
    match instance.state:
        case State.MIGRATING:
            reason = "moved by Novita"
        case State.LOST:
            reason = "seen again after it was lost"
        case State.FAILED:
            return instance  # a late success of the start that was given up
        case _:
            return _outside(instance, Verb.START, now=now, operation_id=operation_id)
    return _new_run(instance, now=now, operation_id=operation_id, by="novita", reason=reason)


def begun_running(instance: Instance, *, at: float) -> Change:
    """Novita says that the machine runs: the next thing is to ask its application."""
    running = with_fields(
        move(instance, Observation.MACHINE_RUNNING, at=at), running_at=at, health=None, ready_at=None, stopped_at=None
    )
    reached = reach(running, Phase.INSTANCE_RUNNING, at=at)
    told = fact(FactType.RUNNING, reached.instance, before=instance, at=at, actor=reached.instance.operation.by)
    return Change(instance=reached.instance, facts=(told, *reached.facts))


def _started(instance: Instance, *, before: MachineStatus, now: float) -> bool:
    """Whether a running machine is the result of the start or restart that was asked, and not its earlier run."""
    operation = instance.operation
    if operation.verb is not Verb.RESTART:
        return True
    if operation.accepted_at is None:
        return False
    return before is not MachineStatus.RUNNING or now - operation.accepted_at >= RESTART_VISIBLE_SECONDS


def _standing(instance: Instance, *, before: MachineStatus, now: float) -> Change:
    state, operation = instance.state, instance.operation
    if not allows(state, Observation.MACHINE_STOPPED):
        return Change(instance=instance)
    if state is State.STARTING and not _began_after_start(instance):
        return Change(instance=instance)  # still standing from before the start
    if state is State.FAILED and before is MachineStatus.STOPPED:
        return Change(instance=instance)  # it never came up, which is told already
    if operation.verb is Verb.STOP and operation.under_way:
        if not surely_stopped(instance, now=now):
            return Change(instance=instance)
        return _stopped(instance, now=now, reason=operation.reason or "stopped as asked")
    if state in {State.STOPPING, State.MIGRATING} and _ours(instance):
        return _stopped(instance, now=now, reason="stopped, before the start that was asked meanwhile")
    if state is not State.MIGRATING and _reclaimed(instance):
        return _taken_back(instance, now=now)
    if operation.makes_ready and operation.under_way:
        return _exited_in_startup(instance, now=now)
    if state is State.MIGRATING:
        return _stopped(instance, now=now, reason="the machine stopped after its move")
    outside = _word_from_outside(instance, DesiredState.STOPPED, now=now)
    return _stopped(outside, now=now, reason=outside.desired.reason)


def surely_stopped(instance: Instance, *, now: float) -> bool:
    """Whether a machine that stands still does so for good, and not because a start that was sent before the stop has yet to show."""
    machine, overtaken = instance.machine, instance.operation.overtakes
    if machine is None or overtaken is None:
        return True
    return machine.since > overtaken or now >= overtaken + START_VISIBLE_SECONDS


def _stopped(instance: Instance, *, now: float, reason: str) -> Change:
    return outcomes.stopped(instance, Observation.MACHINE_STOPPED, at=now, reason=reason)


def _began_after_start(instance: Instance) -> bool:
    machine, operation = instance.machine, instance.operation
    assert machine is not None
    return not operation.under_way or (operation.accepted_at is not None and machine.since > operation.accepted_at)


def _exited_in_startup(instance: Instance, *, now: float) -> Change:
    failed = _start_in_vain(instance, now=now, why="the machine stopped before it was ready")
    outside = _word_from_outside(failed.instance, DesiredState.STOPPED, now=now)
    return failed.then(_stopped(outside, now=now, reason="the machine stopped before it was ready"))


def _start_in_vain(instance: Instance, *, now: float, why: str) -> Change:
    """A create or start that is under way has come to nothing, since its machine is not up any more."""
    if not (instance.operation.makes_ready and instance.operation.under_way):
        return Change(instance=instance)
    error = instance.machine.error if instance.machine is not None else ""
    message = f"{why}: {error}" if error else why
    return outcomes.startup_failed(instance, code=Code.MACHINE_ERROR, message=message, at=now)


def _reclaimed(instance: Instance) -> bool:
    machine = instance.machine
    return machine is not None and instance.wants is DesiredState.RUNNING and machine.spot_status in _SPOT_TAKEN


_TAKEN_BACK = "Novita took the spot machine back"


def _taken_back(instance: Instance, *, now: float) -> Change:
    failed = _start_in_vain(instance, now=now, why=_TAKEN_BACK)
    still = failed.then(_stopped(failed.instance, now=now, reason=_TAKEN_BACK))
    return Change(
        instance=still.instance, facts=(*still.facts, _reclaim_fact(still.instance, before=instance, now=now))
    )


def _reclaim_fact(instance: Instance, *, before: Instance, now: float) -> Fact:
    reclaim_at = instance.machine.reclaim_at if instance.machine is not None else None
    return fact(
        FactType.RECLAIMED,
        instance,
        before=before,
        at=now,
        actor="novita",
        reason=_TAKEN_BACK,
        data={"reclaimAt": iso_or_none(reclaim_at)},
    )


def _stopping(instance: Instance, *, now: float) -> Change:
    if not allows(instance.state, Observation.STOP_SEEN):
        return Change(instance=instance)
    if instance.state is State.STARTING and not _began_after_start(instance):
        return Change(instance=instance)
    asked, before = instance, Change(instance=instance)
    if _reclaimed(instance):
        before = _start_in_vain(instance, now=now, why=_TAKEN_BACK)
        asked = before.instance
    elif not (instance.operation.verb is Verb.STOP and instance.operation.under_way):
        asked = _word_from_outside(instance, DesiredState.STOPPED, now=now)
    moved = move(asked, Observation.STOP_SEEN, at=now)
    told = fact(FactType.STOPPING, moved, before=instance, at=now, actor=moved.desired.by, reason=moved.desired.reason)
    return before.then(Change(instance=moved, facts=(told,)))


def _starting(instance: Instance, *, before: MachineStatus, now: float, operation_id: str) -> Change:
    state, operation = instance.state, instance.operation
    if not allows(state, Observation.START_SEEN) or (operation.verb is Verb.STOP and operation.under_way):
        return Change(instance=instance)
    if state is State.STOPPING and _ours(instance):
        return Change(instance=instance)
    if state is State.FAILED and (before in _COMING_UP or instance.wants is DesiredState.STOPPED):
        return Change(instance=instance)  # the start that was given up goes on, or never mattered
    asked = _why_it_comes_up(instance, before=before, now=now, operation_id=operation_id)
    moved = with_fields(move(asked, Observation.START_SEEN, at=now), health=None, running_at=None)
    told = fact(
        FactType.STARTUP_INITIATED,
        moved,
        before=instance,
        at=now,
        actor="novita" if moved.operation.by == "novita" else "outside",
        reason=moved.operation.reason,
    )
    return Change(instance=moved, facts=(told,)).then(reach(moved, Phase.INSTANCE_STARTING, at=now))


def _why_it_comes_up(instance: Instance, *, before: MachineStatus, now: float, operation_id: str) -> Instance:
    """As `_why_it_runs`; a machine that was up is restarted by somebody, and a start that is under way begins again."""
    if instance.operation.under_way:
        return with_operation(instance, sent_at=now, accepted_at=now)
    if instance.state in _UP:
        return _outside(instance, Verb.RESTART, now=now, operation_id=operation_id)
    return _why_it_runs(instance, before=before, now=now, operation_id=operation_id)


def _removed(instance: Instance, *, now: float) -> Change:
    if instance.wants is DesiredState.DELETED:
        return Change(instance=instance)
    if not _reclaimed(instance):
        return outcomes.machine_deleted_outside(instance, at=now)
    return _vanished(instance, now=now) if instance.state is not State.LOST else Change(instance=instance)


def _migrating(instance: Instance, *, now: float) -> Change:
    if not allows(instance.state, Observation.MIGRATION_SEEN):
        return Change(instance=instance)
    moved = with_fields(move(instance, Observation.MIGRATION_SEEN, at=now), health=None, running_at=None)
    told = fact(
        FactType.MIGRATING, moved, before=instance, at=now, actor="novita", reason="Novita is moving the machine"
    )
    return Change(instance=moved, facts=(told,))


def _outside(instance: Instance, verb: Verb, *, now: float, operation_id: str) -> Instance:
    said = _word_from_outside(instance, DesiredState.RUNNING, now=now)
    reason = f"{verb} seen outside of Novitai"
    return _new_run(said, now=now, operation_id=operation_id, by="outside", reason=reason, verb=verb)


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


def _word_from_outside(instance: Instance, state: DesiredState, *, now: float) -> Instance:
    if instance.wants is state:
        return instance
    reason = f"seen {state} without our doing"
    said = with_fields(instance, desired=Desired(state=state, by="outside", reason=reason, at=now))
    if said.operation.under_way:
        said = with_operation(said, status=OperationStatus.SUPERSEDED, completed_at=now)
    return said


def missing(instance: Instance, *, at: float) -> Change:
    """One piece of evidence that the machine is gone: absent from a complete sweep, and a single read said not found.

    The second piece, at least 30 s after the first, makes the instance `lost` (or, while deleting, its machine removed).
    """
    machine = instance.machine
    if machine is None or instance.state in {State.DELETED, State.LOST}:
        return Change(instance=instance)
    if machine.missing and at - machine.missing[-1] < EVIDENCE_APART_SECONDS:
        return Change(instance=instance)
    evidence = (*machine.missing, at)
    noted = with_fields(instance, machine=msgspec.structs.replace(machine, missing=evidence))
    if len(evidence) < 2:
        return Change(instance=noted)
    if instance.state is State.DELETING:
        return Change(instance=outcomes.machine_removed(noted, machine.id))
    if machine.status is MachineStatus.REMOVING and not _reclaimed(noted):
        return outcomes.machine_deleted_outside(outcomes.machine_removed(noted, machine.id), at=at)
    return _vanished(noted, now=at)


def _vanished(instance: Instance, *, now: float) -> Change:
    """Gone without our doing: lost; and with a spot notice or status, taken back by Novita."""
    reclaimed = _reclaimed(instance)
    message = _TAKEN_BACK if reclaimed else "the machine vanished from Novita; nobody told us why"
    lost = move(instance, Observation.VANISHED, at=now)
    if lost.operation.under_way:
        lost = with_operation(lost, status=OperationStatus.FAILED, completed_at=now)
    lost = with_fields(lost, last_error=LastError(code=Code.MACHINE_LOST, message=message, at=now))
    told = fact(FactType.LOST, lost, before=instance, at=now, actor="observer", reason=message)
    facts = (told, _reclaim_fact(lost, before=instance, now=now)) if reclaimed else (told,)
    return Change(instance=lost, facts=facts)
