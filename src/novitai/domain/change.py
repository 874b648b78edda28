"""A change of one instance: its new content and the facts that tell of it. The two are only ever committed together."""

from typing import Any

import msgspec

from novitai.domain.events import Fact, FactType
from novitai.domain.explanation import Decision
from novitai.domain.instance import Instance, Operation, OperationStatus, Phase
from novitai.domain.lifecycle import Event, after
from novitai.domain.times import iso, iso_or_none

_PHASE_OF_FACT = {
    FactType.CREATING,
    FactType.CREATED,
    FactType.STARTUP_INITIATED,
    FactType.STARTUP_PROGRESS,
    FactType.RUNNING,
    FactType.HEALTH_CHECK_STARTED,
    FactType.READY,
    FactType.STARTUP_FAILED,
    FactType.FAILED,
}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance becomes, the facts to tell, in order, and why, when nobody asked us for it."""

    instance: Instance
    facts: tuple[Fact, ...] = ()
    decision: Decision | None = None

    def then(self, step: "Change") -> "Change":
        """This change and a later one that was computed from its instance, as one."""
        decision = step.decision or self.decision
        return Change(instance=step.instance, facts=(*self.facts, *step.facts), decision=decision)


def with_fields(instance: Instance, **fields: Any) -> Instance:
    """The instance with some fields replaced."""
    return msgspec.structs.replace(instance, **fields)


def with_operation(instance: Instance, **fields: Any) -> Instance:
    """The instance with some fields of its operation replaced."""
    return with_fields(instance, operation=msgspec.structs.replace(instance.operation, **fields))


def move(instance: Instance, event: Event, *, at: float) -> Instance:
    """The instance in the state that follows. Raises IllegalTransition; `state_since` changes only with the state."""
    state = after(instance.state, event)
    if state is instance.state:
        return instance
    return with_fields(instance, state=state, state_since=at)


def fact(
    kind: FactType,
    instance: Instance,
    *,
    before: Instance | None,
    at: float,
    actor: str,
    reason: str = "",
    data: dict[str, Any] | None = None,
) -> Fact:
    """A fact about an instance as it is now (`instance`) and was before. Start-up facts carry the operation's
    progress.
    """
    content = dict(data or {})
    if kind in _PHASE_OF_FACT and instance.operation.makes_ready:
        content.setdefault("startupOperation", startup_view(instance))
    return Fact(
        type=kind,
        at=at,
        actor=actor,
        reason=reason,
        before=before.state if before else None,
        after=instance.state,
        data=content,
    )


def startup_view(instance: Instance) -> dict[str, Any]:
    """`data.startupOperation` of the contract: how far a create, start or restart is."""
    operation = instance.operation
    view: dict[str, Any] = {
        "operationId": operation.id,
        "status": str(operation.status),
        "startedAt": iso(operation.requested_at),
        "phases": {str(phase): iso(at) for phase, at in operation.phases},
        "currentStatus": str(instance.state),
        "estimatedReadyTime": iso_or_none(operation.estimated_ready_at),
    }
    if operation.completed_at is not None:
        view["completedAt"] = iso(operation.completed_at)
    return view


def reach(instance: Instance, phase: Phase, *, at: float) -> Change:
    """The operation reaches a phase: told once, and only for operations that make an instance ready."""
    operation = instance.operation
    if not operation.makes_ready or not operation.under_way or operation.reached(phase) is not None:
        return Change(instance=instance)
    reached = with_operation(instance, phases=(*operation.phases, (phase, at)))
    told = fact(
        FactType.STARTUP_PROGRESS,
        reached,
        before=instance,
        at=at,
        actor=operation.by,
        reason=f"reached {phase}",
        data={"phase": str(phase)},
    )
    return Change(instance=reached, facts=(told,))


def completed(operation: Operation, *, at: float) -> Operation:
    """The operation, ended well."""
    return msgspec.structs.replace(operation, status=OperationStatus.COMPLETED, completed_at=at)


def failed(operation: Operation, *, at: float) -> Operation:
    """The operation, ended badly."""
    return msgspec.structs.replace(operation, status=OperationStatus.FAILED, completed_at=at)
