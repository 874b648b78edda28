"""What may be asked of an instance, and what asking changes: the one arbiter between people, outside hands and
automation.

Each function takes the instance as it is and the wish, and gives a `Change` to commit, `Same` when that is already
under way or already so (no new facts, the same operation), or raises a `Refusal`. Delete wins over everything; who else
may override whom stands in the table of `precedence.py`.
"""

import msgspec

from novitai.domain.budget import Hold
from novitai.domain.change import Change, completed, fact, move, with_fields, with_operation
from novitai.domain.errors import Code, Refusal
from novitai.domain.events import FactType
from novitai.domain.instance import (
    Desired,
    DesiredState,
    HealthCheck,
    Instance,
    Operation,
    OperationStatus,
    Phase,
    Verb,
    WebhookTarget,
)
from novitai.domain.lifecycle import Request, State, allows
from novitai.domain.times import iso
from novitai.policies.budget import facts, refusal_words
from novitai.policies.precedence import PEOPLE, Voice, mask, may, voice_of


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A verb with who asks, why and when, and what may come with it.

    `spoken_at`: the moment whose word a policy brings (None: `at`). `until`: how long a stop holds. `hold`: the used-up budget that
    holds the instance down.
    """

    verb: Verb
    operation_id: str
    by: str
    at: float
    reason: str = ""
    correlation_id: str = ""
    estimated_ready_at: float | None = None
    health_check: HealthCheck | None = None
    webhook: WebhookTarget | None = None
    spoken_at: float | None = None
    until: float | None = None
    hold: Hold | None = None


class Same(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing to do. `under_way`: it is being done; else it is so already. Only the word may be another than before: a person's takes
    the place of a policy's.
    """

    instance: Instance
    under_way: bool


_UP = {State.STARTING, State.RUNNING, State.HEALTH_CHECKING, State.READY}


def ask(instance: Instance, wish: Wish) -> Change | Same:
    """Judge a wish. Raises Refusal (INVALID_STATE, INSTANCE_NOT_STARTABLE)."""
    if instance.state is State.DELETED:
        if wish.verb is Verb.DELETE:
            return Same(instance=instance, under_way=False)
        raise Refusal(Code.INVALID_STATE, f"instance {instance.id} is deleted; create a new one")
    if wish.verb is Verb.DELETE:
        return _delete(instance, wish)
    if instance.state is State.DELETING or instance.wants is DesiredState.DELETED:
        raise Refusal(Code.INVALID_STATE, f"instance {instance.id} is being deleted")
    _check_precedence(instance, wish)
    if wish.verb is Verb.STOP:
        return _heard(_stop(instance, wish), wish, DesiredState.STOPPED)
    if wish.verb is Verb.RESTART and instance.machine is not None and allows(instance.state, Request.RESTART):
        return _restart(instance, wish)
    return _heard(_start(instance, wish), wish, DesiredState.RUNNING)


def _check_precedence(instance: Instance, wish: Wish) -> None:
    """Raises Refusal when the word that stands does not give way to this wish."""
    state = DesiredState.STOPPED if wish.verb is Verb.STOP else DesiredState.RUNNING
    spoken_at = wish.at if wish.spoken_at is None else wish.spoken_at
    if may(voice_of(wish.by), state, instance, spoken_at=spoken_at, now=wish.at, held=wish.hold is not None):
        return
    if wish.hold is not None and state is DesiredState.RUNNING:
        raise held_down(wish.hold)
    ends = instance.ttl_ends_at
    if ends is not None and mask(instance, now=wish.at) is Voice.TTL:
        raise Refusal(
            Code.INSTANCE_NOT_STARTABLE,
            f"the ttl of instance {instance.id} ended at {iso(ends)}; PATCH it with a new ttl, or with null for none",
        )
    held = instance.desired
    raise Refusal(
        Code.INVALID_STATE, f"the word of {held.by}, {held.state} since {iso(held.at)}, stands above {wish.by}"
    )


def held_down(burst: Hold) -> Refusal:
    """The refusal of what a budget does not allow, with its figures."""
    return Refusal(Code.BUDGET_EXCEEDED, refusal_words(burst), details=facts(burst))


def _heard(decided: Change | Same, wish: Wish, state: DesiredState) -> Change | Same:
    """A person who says what a policy said already makes it a person's word; and a stop has the `until` that was said last."""
    held = decided.instance.desired
    if isinstance(decided, Change) or held.state is not state or voice_of(wish.by) not in PEOPLE:
        return decided
    if voice_of(held.by) in PEOPLE and held.until == wish.until:
        return decided
    said = with_fields(decided.instance, desired=_desired(wish, state))
    return msgspec.structs.replace(decided, instance=said)


def _delete(instance: Instance, wish: Wish) -> Change | Same:
    if instance.wants is DesiredState.DELETED:
        return Same(instance=instance, under_way=True)
    asked = _asked(instance, wish, DesiredState.DELETED)
    return Change(instance=move(asked, Request.DELETE, at=wish.at))


def _stop(instance: Instance, wish: Wish) -> Change | Same:
    if instance.wants is DesiredState.STOPPED and instance.operation.verb is Verb.STOP and instance.operation.under_way:
        return Same(instance=instance, under_way=True)
    if instance.state in {State.STOPPED, State.LOST} or (instance.state is State.FAILED and instance.machine is None):
        if instance.wants is DesiredState.STOPPED:
            return Same(instance=instance, under_way=False)
        quiet = instance if instance.operation.verb is Verb.STOP else _superseded(instance, at=wish.at)
        return Change(instance=with_fields(quiet, desired=_desired(wish, DesiredState.STOPPED)))
    if instance.state is State.STOPPING and instance.wants is DesiredState.STOPPED:
        return Same(instance=instance, under_way=True)
    asked = _asked(instance, wish, DesiredState.STOPPED)
    moved = move(asked, Request.STOP, at=wish.at) if instance.state is not State.STOPPING else asked
    told = fact(FactType.STOPPING, moved, before=instance, at=wish.at, actor=wish.by, reason=wish.reason)
    return Change(instance=moved, facts=(told,))


def _restart(instance: Instance, wish: Wish) -> Change | Same:
    if instance.operation.verb is Verb.RESTART and instance.operation.under_way:
        return Same(instance=instance, under_way=True)
    return _begin(instance, wish, Request.RESTART)


def _start(instance: Instance, wish: Wish) -> Change | Same:
    operation = instance.operation
    if instance.wants is DesiredState.RUNNING:
        if operation.makes_ready and operation.under_way:
            return Same(instance=instance, under_way=True)
        if instance.state in _UP:
            return Same(instance=instance, under_way=False)
        if instance.state is State.MIGRATING:
            return Same(instance=instance, under_way=True)
    if instance.state is State.LOST:
        raise Refusal(
            Code.INSTANCE_NOT_STARTABLE,
            f"the machine of instance {instance.id} is lost; delete the instance and create a new one",
        )
    if instance.machine is None and instance.state in {State.STOPPED, State.FAILED}:
        return _begin(instance, wish, Request.CREATE_AGAIN)
    if instance.state in _UP:
        return _go_on(instance, wish)
    if not allows(instance.state, Request.START):
        raise Refusal(Code.INSTANCE_NOT_STARTABLE, f"instance {instance.id} is {instance.state} and cannot be started")
    return _begin(instance, wish, Request.START)


def _begin(instance: Instance, wish: Wish, request: Request) -> Change:
    asked = _asked(instance, wish, DesiredState.RUNNING)
    asked = with_fields(asked, last_error=None, refusals=(), startup_retries=0)
    moved = move(asked, request, at=wish.at)
    if moved.state in {State.STARTING, State.CREATING}:
        moved = with_fields(moved, health=None, running_at=None)
    told = fact(FactType.STARTUP_INITIATED, moved, before=instance, at=wish.at, actor=wish.by, reason=wish.reason)
    return Change(instance=moved, facts=(told,))


def _overtakes(instance: Instance, verb: Verb) -> float | None:
    """Since when the opposite of a verb may be on its way, for whose effect it has to wait; None when that was never
    sent.
    """
    operation = instance.operation
    sent = next((at for at in (operation.sent_at, operation.accepted_at, operation.doubted_at) if at is not None), None)
    if verb is Verb.STOP:
        return sent if instance.state is State.STARTING else None
    if instance.state is not State.STOPPING:
        return None
    return sent if operation.verb is Verb.STOP else instance.state_since


def _go_on(instance: Instance, wish: Wish) -> Change:
    """A stop that was recorded has not begun: it is called off, and nothing needs to be sent."""
    asked = _asked(instance, wish, DesiredState.RUNNING)
    asked = with_operation(asked, sent_at=wish.at, accepted_at=wish.at)
    if instance.state is State.READY:
        asked = with_fields(asked, operation=completed(asked.operation, at=wish.at))
    told = fact(FactType.STARTUP_INITIATED, asked, before=instance, at=wish.at, actor=wish.by, reason=wish.reason)
    return Change(instance=asked, facts=(told,))


def _asked(instance: Instance, wish: Wish, state: DesiredState) -> Instance:
    operation = Operation(
        id=wish.operation_id,
        verb=wish.verb,
        by=wish.by,
        reason=wish.reason,
        requested_at=wish.at,
        correlation_id=wish.correlation_id,
        overtakes=_overtakes(instance, wish.verb),
        estimated_ready_at=wish.estimated_ready_at,
        health_check=wish.health_check,
        phases=((Phase.START_REQUESTED, wish.at),) if wish.verb in {Verb.START, Verb.RESTART} else (),
    )
    spec = instance.spec
    if wish.webhook is not None:
        spec = msgspec.structs.replace(spec, webhook=wish.webhook)
    return with_fields(instance, operation=operation, desired=_desired(wish, state), spec=spec)


def _superseded(instance: Instance, *, at: float) -> Instance:
    operation = instance.operation
    if not operation.under_way:
        return instance
    ended = msgspec.structs.replace(operation, status=OperationStatus.SUPERSEDED, completed_at=at)
    return with_fields(instance, operation=ended)


def _desired(wish: Wish, state: DesiredState) -> Desired:
    return Desired(state=state, by=wish.by, reason=wish.reason, at=wish.at, until=wish.until)
