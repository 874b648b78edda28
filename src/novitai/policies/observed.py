"""What a sighting of a machine means for its instance.

A sighting that the present operation explains is taken as it is; a surprise asks for a look (see `readings`), and only
that is taken. What is confirmed in this way and was not our doing is somebody's word outside of us (see `outside`). A
stop with a spot notice is a reclaim: what is desired does not change. Nothing here ever asks for a machine to be
destroyed.
"""

import msgspec

from novitai.domain.change import Change, fact, move, reach, with_fields, with_operation
from novitai.domain.errors import Code
from novitai.domain.events import Fact, FactType
from novitai.domain.ids import MachineId
from novitai.domain.instance import (
    ENOUGH_EVIDENCE,
    DesiredState,
    Former,
    Instance,
    LastError,
    OperationStatus,
    Phase,
    SeenMachine,
    Verb,
)
from novitai.domain.lifecycle import Observation, State, allows
from novitai.domain.machine import MachineStatus
from novitai.domain.times import iso_or_none
from novitai.policies import moves, outcomes, outside, readings
from novitai.policies.readings import Sighting

__all__ = [
    "EVIDENCE_APART_SECONDS",
    "RESTART_VISIBLE_SECONDS",
    "START_VISIBLE_SECONDS",
    "Seen",
    "Sighting",
    "begun_running",
    "missing",
    "see",
    "surely_stopped",
]

EVIDENCE_APART_SECONDS = 30.0
START_VISIBLE_SECONDS = 30.0
"""How long a machine may still be shown standing after a start was sent."""
RESTART_VISIBLE_SECONDS = 30.0
"""How long after an accepted restart a machine that was never seen restarting, and runs, counts as restarted."""
_TAKEN_BACK = "Novita took the spot machine back"


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a sighting changes, and whether the machine should be looked at singly before anything more is concluded."""

    change: Change
    look: bool = False


def see(instance: Instance, sighting: Sighting, *, now: float, operation_id: str) -> Seen:
    """Take a sighting of the instance's present machine. `operation_id` is fresh, for what turns out to be started
    outside of us.
    """
    seen = instance.machine
    machine = sighting.machine
    if instance.former is not None and instance.former.machine.id == machine.id:
        return _see_former(instance, instance.former, sighting, now=now)
    if seen is None or seen.id != machine.id or instance.state is State.DELETED:
        return Seen(change=Change(instance=instance))
    if sighting.at < seen.since:
        return Seen(change=Change(instance=instance))  # the reading is older than what is known
    if not sighting.confirmed and readings.surprising(instance, seen, machine.status):
        return Seen(change=Change(instance=readings.not_missing(instance, seen, at=sighting.at)), look=True)
    noted = readings.note(instance, seen, sighting, now=now)
    told = readings.spot_notice(instance, noted, at=now)
    look = readings.withdraws_notice(seen, sighting)
    if machine.status is MachineStatus.UNKNOWN:
        return Seen(change=told, look=look)
    moved = _move(told.instance, before=seen.status, now=now, operation_id=operation_id)
    return Seen(change=told.then(moved), look=look)


def _move(instance: Instance, *, before: MachineStatus, now: float, operation_id: str) -> Change:
    machine = instance.machine
    assert machine is not None
    if machine.status.going_down and moves.falls_back(instance):
        return _fallen_back(instance, why="stopped before it was ready", now=now)
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
    return begun_running(outside.why_it_runs(instance, before=before, now=now, operation_id=operation_id), at=now)


def _ours(instance: Instance) -> bool:
    """Whether something that was asked of us is still under way."""
    operation = instance.operation
    return operation.under_way and (operation.verb is Verb.STOP or operation.accepted_at is None)


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
    if state is State.MIGRATING and operation.verb is Verb.MIGRATE and operation.under_way:
        return _moved_in_vain(instance, now=now)
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
    said = outside.word_from_outside(instance, DesiredState.STOPPED, now=now)
    return _stopped(said, now=now, reason=said.desired.reason)


def surely_stopped(instance: Instance, *, now: float) -> bool:
    """Whether a machine that stands still does so for good, and not because a start that was sent before the stop
    has yet to show.
    """
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
    said = outside.word_from_outside(failed.instance, DesiredState.STOPPED, now=now)
    return failed.then(_stopped(said, now=now, reason="the machine stopped before it was ready"))


def _start_in_vain(instance: Instance, *, now: float, why: str) -> Change:
    """A create or start that is under way has come to nothing, since its machine is not up any more."""
    if not (instance.operation.makes_ready and instance.operation.under_way):
        return Change(instance=instance)
    error = instance.machine.error if instance.machine is not None else ""
    message = f"{why}: {error}" if error else why
    return outcomes.startup_failed(instance, code=Code.MACHINE_ERROR, message=message, at=now)


def _moved_in_vain(instance: Instance, *, now: float) -> Change:
    """It stands still although Novita was asked to move it: still, when that has not begun, or again."""
    if not _began_after_start(instance):
        return Change(instance=instance)
    message = "the machine stopped while Novita moved it"
    return moves.in_vain(instance, code=Code.MACHINE_ERROR, message=message, at=now)


def _fallen_back(instance: Instance, *, why: str, now: float) -> Change:
    """The new machine failed while the former one serves, which takes its place again."""
    machine = instance.machine
    assert machine is not None
    error = f": {machine.error}" if machine.error else ""
    message = f"the new machine {machine.id} {why}{error}"
    return moves.in_vain(instance, code=Code.MACHINE_ERROR, message=message, at=now)


def _reclaimed(instance: Instance) -> bool:
    return moves.taken_back(instance)


def _taken_back(instance: Instance, *, now: float) -> Change:
    failed = _start_in_vain(instance, now=now, why=_TAKEN_BACK)
    still = failed.then(
        outcomes.stopped(failed.instance, Observation.MACHINE_STOPPED, at=now, reason=_TAKEN_BACK, actor="novita")
    )
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


def _see_former(instance: Instance, former: Former, sighting: Sighting, *, now: float) -> Seen:
    """A sighting of the machine that is being replaced. Whatever becomes of it, the instance is not lost by it."""
    seen, status = former.machine, sighting.machine.status
    if sighting.at < seen.since:
        return Seen(change=Change(instance=instance))
    if not sighting.confirmed and status is not seen.status and status.going_down:
        return Seen(change=Change(instance=instance), look=True)
    noted = readings.as_read(seen, sighting, now=now)
    look = readings.withdraws_notice(seen, sighting)
    if noted is seen:
        return Seen(change=Change(instance=instance), look=look)
    kept = with_fields(instance, former=msgspec.structs.replace(former, machine=noted))
    fell = kept.former is not None and kept.former.ended and not former.ended
    facts = (_former_taken(kept, noted, before=instance, now=now),) if fell and noted.spot_status.taken else ()
    return Seen(change=Change(instance=kept, facts=facts), look=look)


def former_missing(instance: Instance, machine_id: MachineId, *, at: float) -> Change:
    """One piece of evidence that the machine that is being replaced is gone; on the second it is called gone."""
    former = instance.former
    if former is None or former.machine.id != machine_id:
        return Change(instance=instance)
    known = former.machine.missing
    if known and at - known[-1] < EVIDENCE_APART_SECONDS:
        return Change(instance=instance)
    machine = former.machine if former.gone else msgspec.structs.replace(former.machine, missing=(*known, at))
    kept = with_fields(instance, former=msgspec.structs.replace(former, machine=machine))
    if kept.former is not None and kept.former.gone and instance.wants is DesiredState.DELETED:
        return Change(instance=outcomes.machine_removed(instance, machine_id))
    fell = kept.former is not None and kept.former.ended and not former.ended
    facts = (_former_taken(kept, machine, before=instance, now=at),) if fell and machine.spot_status.taken else ()
    return Change(instance=kept, facts=facts)


def _former_taken(instance: Instance, machine: SeenMachine, *, before: Instance, now: float) -> Fact:
    return fact(
        FactType.RECLAIMED,
        instance,
        before=before,
        at=now,
        actor="novita",
        reason=f"{_TAKEN_BACK}, while it is being replaced",
        data={"reclaimAt": iso_or_none(machine.reclaim_at), "machineId": machine.id},
    )


def _stopping(instance: Instance, *, now: float) -> Change:
    if not allows(instance.state, Observation.STOP_SEEN):
        return Change(instance=instance)
    if instance.state is State.STARTING and not _began_after_start(instance):
        return Change(instance=instance)
    asked, before = instance, Change(instance=instance)
    reclaimed = _reclaimed(instance)
    if reclaimed:
        before = _start_in_vain(instance, now=now, why=_TAKEN_BACK)
        asked = before.instance
    elif not (instance.operation.verb is Verb.STOP and instance.operation.under_way):
        asked = outside.word_from_outside(instance, DesiredState.STOPPED, now=now)
    moved = move(asked, Observation.STOP_SEEN, at=now)
    actor, reason = ("novita", _TAKEN_BACK) if reclaimed else (moved.desired.by, moved.desired.reason)
    told = fact(FactType.STOPPING, moved, before=instance, at=now, actor=actor, reason=reason)
    return before.then(Change(instance=moved, facts=(told,)))


def _starting(instance: Instance, *, before: MachineStatus, now: float, operation_id: str) -> Change:
    state, operation = instance.state, instance.operation
    if instance.replacing:
        return Change(instance=instance)  # it comes up as one that was just bought
    if not allows(state, Observation.START_SEEN) or (operation.verb is Verb.STOP and operation.under_way):
        return Change(instance=instance)
    if state is State.STOPPING and _ours(instance):
        return Change(instance=instance)
    if state is State.FAILED and (before.coming_up or instance.wants is DesiredState.STOPPED):
        return Change(instance=instance)  # the start that was given up goes on, or never mattered
    asked = outside.why_it_comes_up(instance, before=before, now=now, operation_id=operation_id)
    moved = with_fields(move(asked, Observation.START_SEEN, at=now), health=None, running_at=None)
    goes_on = instance.operation.under_way  # what was asked of us begins again
    actor = moved.operation.by if goes_on or moved.operation.by == "novita" else "outside"
    told = fact(
        FactType.STARTUP_INITIATED,
        moved,
        before=instance,
        at=now,
        actor=actor,
        reason=moved.operation.reason,
    )
    return Change(instance=moved, facts=(told,)).then(reach(moved, Phase.INSTANCE_STARTING, at=now))


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


def missing(instance: Instance, *, at: float) -> Change:
    """One piece of evidence that the machine is gone: absent from a complete sweep, and a single read said not found.

    The second piece, at least 30 s after the first, makes the instance `lost` (or, while deleting, its machine
    removed).
    """
    machine = instance.machine
    if machine is None or instance.state in {State.DELETED, State.LOST}:
        return Change(instance=instance)
    if machine.missing and at - machine.missing[-1] < EVIDENCE_APART_SECONDS:
        return Change(instance=instance)
    evidence = (*machine.missing, at)
    noted = with_fields(instance, machine=msgspec.structs.replace(machine, missing=evidence))
    if len(evidence) < ENOUGH_EVIDENCE:
        return Change(instance=noted)
    if instance.state is State.DELETING:
        return Change(instance=outcomes.machine_removed(noted, machine.id))
    if moves.falls_back(noted):
        return _fallen_back(noted, why="vanished before it was ready", now=at)
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
