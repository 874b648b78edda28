"""One verb for many instances: each is asked by the same operation that people use for one, and each has a result of its own.

Only managed instances are meant, ever. A rehearsal asks the arbiter the same question and writes nothing.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from novitai.domain.errors import Code, Refusal
from novitai.domain.instance import DesiredState, Instance, Verb
from novitai.domain.lifecycle import State
from novitai.operations.instances import Verbs
from novitai.operations.reads import ReadModel
from novitai.operations.receipts import Answer
from novitai.operations.requests import Context, VerbRequest
from novitai.ports.store import StoreUnavailable

NO_RECEIPT = Answer(status=202, body="")
"""The request as a whole has one; its parts have none."""


class Outcome(StrEnum):
    """What came of one instance."""

    ACCEPTED = "accepted"
    ALREADY = "already"
    REFUSED = "refused"
    WOULD = "would"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One instance of a bulk request. `status`: its state after it; `code` and `message`: why it was refused."""

    reference: str
    instance_id: str | None
    name: str | None
    outcome: Outcome
    status: State | None
    operation_id: str | None = None
    code: Code | None = None
    message: str = ""


class Bulk:
    """Asks many."""

    def __init__(self, *, verbs: Verbs, reads: ReadModel) -> None:
        self._verbs = verbs
        self._reads = reads

    def labelled(self, labels: Sequence[tuple[str, str]]) -> list[str]:
        """Live instances that bear all of these labels, oldest first."""
        return [i.id for i in self._live() if all(i.spec.labels.get(key) == value for key, value in labels)]

    def running(self, labels: Sequence[tuple[str, str]]) -> list[str]:
        """Those of them that run or are to run: also one whose start waits for its stop, or whose lost machine may be seen again."""
        chosen = set(self.labelled(labels))
        return [i.id for i in self._live() if i.id in chosen and _up(i)]

    async def perform(
        self, references: Sequence[str], verb: Verb, request: VerbRequest, context: Context, *, dry_run: bool
    ) -> list[Result]:
        """Ask each for the verb, in this order; one that refuses does not keep the others from being asked.

        When the store goes away on the way, the rest is refused: what was accepted before has to be answered. Raises StoreUnavailable
        when nothing was.
        """
        plain = msgspec.structs.replace(context, draft=None)
        results: list[Result] = []
        for reference in references:
            try:
                results.append(await self._one(reference, verb, request, plain, dry_run=dry_run))
            except StoreUnavailable:
                if not any(result.outcome is Outcome.ACCEPTED for result in results):
                    raise
                return results + [_unasked(rest) for rest in references[len(results) :]]
        return results

    async def _one(
        self, reference: str, verb: Verb, request: VerbRequest, context: Context, *, dry_run: bool
    ) -> Result:
        instance: Instance | None = None
        try:
            instance = (await self._verbs.resolve(reference)).instance
            if dry_run:
                accepted = await self._verbs.rehearse(instance.id, verb, request, context)
            else:
                accepted = await self._verbs.perform(instance.id, verb, request, context, lambda _: NO_RECEIPT)
        except Refusal as refusal:
            return Result(
                reference=reference,
                instance_id=instance.id if instance is not None else None,
                name=instance.name if instance is not None else None,
                outcome=Outcome.REFUSED,
                status=instance.state if instance is not None else None,
                code=refusal.code,
                message=str(refusal),
            )
        changed = Outcome.WOULD if dry_run else Outcome.ACCEPTED
        return Result(
            reference=reference,
            instance_id=instance.id,
            name=instance.name,
            outcome=changed if accepted.changed else Outcome.ALREADY,
            status=instance.state if dry_run else accepted.instance.state,
            operation_id=None if dry_run else accepted.instance.operation.id,
        )

    def _live(self) -> list[Instance]:
        return sorted((snapshot.instance for snapshot in self._reads.all()), key=lambda instance: instance.id)


def _unasked(reference: str) -> Result:
    return Result(
        reference=reference,
        instance_id=None,
        name=None,
        outcome=Outcome.REFUSED,
        status=None,
        code=Code.STORE_UNAVAILABLE,
        message="the store cannot be written now; this one was not asked",
    )


def _up(instance: Instance) -> bool:
    return instance.wants is DesiredState.RUNNING and not (instance.state is State.FAILED and instance.machine is None)
