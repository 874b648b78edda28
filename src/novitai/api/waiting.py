"""Holding an answer: `Prefer: wait=N` after a change, `?wait=ready` on a read. Whoever waits is answered at once when the server stops."""

import asyncio
import re
from collections.abc import Callable, Mapping

from novitai.api.parts import ApiParts
from novitai.domain.errors import Code, Refusal
from novitai.domain.instance import DesiredState, Instance, OperationStatus, Verb
from novitai.domain.lifecycle import State

LONGEST_PREFERENCE = 60.0
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?(?=$|[,;\s])", re.IGNORECASE)


def preferred_wait(headers: Mapping[str, str]) -> float:
    """Seconds of `Prefer: wait=N`, at most 60; 0 without. A preference that cannot be read is none (RFC 7240)."""
    found = _WAIT.search(headers.get("prefer", ""))
    return min(float(found[1]), LONGEST_PREFERENCE) if found else 0.0


async def hold(
    parts: ApiParts, instance_id: str, done: Callable[[Instance], bool], *, seconds: float
) -> Instance | None:
    """Wait until an instance is as wished, the time is over, or the server stops; its latest state (None: it is not live)."""
    waiting = asyncio.ensure_future(parts.reads.wait_until(instance_id, done, seconds=seconds, clock=parts.clock))
    stopping = asyncio.ensure_future(parts.shutting_down.wait())
    try:
        await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
    finally:
        stopping.cancel()
        waiting.cancel()
    snapshot = parts.reads.get(instance_id)
    return snapshot.instance if snapshot else None


def settled(instance: Instance) -> bool:
    """Whether waiting for `ready` has an end: it is ready, or will not be without another word."""
    if instance.state is State.READY:
        return True
    if instance.state in {State.DELETED, State.LOST, State.DELETING}:
        return True
    if instance.state is State.FAILED:
        return not instance.operation.under_way
    return instance.wants is not DesiredState.RUNNING and instance.state is State.STOPPED


def created(instance: Instance) -> bool:
    """Whether Novita accepted a create, or every offer refused it."""
    return instance.machine is not None or not instance.operation.under_way or instance.state is State.FAILED


def answered(operation_id: str, verb: Verb) -> Callable[[Instance], bool]:
    """Whether Novita accepted or refused this operation, or something else took its place."""

    def judge(instance: Instance) -> bool:
        operation = instance.operation
        if operation.id != operation_id or not operation.under_way:
            return True
        if verb is Verb.DELETE:
            return bool(instance.delete_sent) or instance.state is State.DELETED
        return operation.accepted_at is not None

    return judge


def refusal_in(instance: Instance, operation_id: str, offers: list[dict[str, object]]) -> Refusal | None:
    """What Novita refused, as an error; None while nothing was refused."""
    operation, error = instance.operation, instance.last_error
    if error is None or operation.id != operation_id or operation.status is not OperationStatus.FAILED:
        return None
    code = error.code if error.code is not Code.INTERNAL_ERROR else Code.UPSTREAM_ERROR
    return Refusal(code, error.message, details={"instanceId": instance.id, "offers": offers})
