"""Start, stop, restart, delete and last-used: each loads the instance, asks the arbiter, and commits the answer with
its receipt.

A commit that loses to another is thrown away and decided again from a fresh snapshot. Nothing here calls Novita; the
reconcilers do what was asked.
"""

from contextlib import AbstractContextManager, nullcontext

import msgspec

from novitai.domain.change import Change
from novitai.domain.errors import Code, Refusal, invalid
from novitai.domain.explanation import Explanation
from novitai.domain.idle import Activity
from novitai.domain.instance import DesiredState, Instance, Verb
from novitai.domain.times import iso, iso_or_none
from novitai.operations import records
from novitai.operations.creation import Creation
from novitai.operations.ledger import Ledger, Snapshot
from novitai.operations.optimism import until_committed
from novitai.operations.reads import ReadModel
from novitai.operations.requests import NOTHING_MORE, Accepted, AnswerTo, Context, Rider, VerbRequest
from novitai.policies.budget import counted
from novitai.policies.requests import Same, Wish, ask
from novitai.ports.store import Append, Commit, Conflict, Put

AHEAD_SECONDS = 60.0
"""How far in the future a use may lie: clocks differ."""
USE_NOTED_SECONDS = 3600.0
"""Programs tell of uses with each request they serve; written down is one an hour for each instance and caller."""


class Verbs:
    """What may be asked of existing instances."""

    def __init__(self, *, ledger: Ledger, reads: ReadModel, creation: Creation) -> None:
        self._ledger = ledger
        self._reads = reads
        self._creation = creation
        self._uses_noted: dict[tuple[str, str], float] = {}

    async def perform(
        self,
        instance_id: str,
        verb: Verb,
        request: VerbRequest,
        context: Context,
        answer: AnswerTo,
        *,
        judged: int | None = None,
        rider: Rider = NOTHING_MORE,
    ) -> Accepted:
        """Ask one instance for a verb. `answer` gives what an idempotent repeat will be told. Raises Refusal.

        `judged`: the version that a policy decided on; when the instance has another by now, the decision is refused (CONFLICT). So it is
        when what else it rested on (`rider`) has changed.
        """
        operation_id = self._ledger.ids.new("op")

        async def decide() -> Accepted:
            snapshot = await self.load(instance_id)
            if judged is not None and snapshot.version != judged:
                raise changed_since(instance_id)
            _check_port(snapshot.instance, request)
            self._check_until(request)
            wish = self._wish(snapshot.instance, verb, request, context, operation_id)
            decided = _told_of(ask(snapshot.instance, wish), wish)
            accepted = _accepted(decided)
            try:
                with self._room(snapshot.instance, accepted.instance, context):
                    return await self._commit(snapshot, decided, accepted, context, answer, request.explanation, rider)
            except Conflict:
                if rider.checks or rider.puts:
                    raise changed_since(instance_id) from None
                raise

        return await until_committed(decide, subject=f"instance {instance_id}")

    async def rehearse(self, instance_id: str, verb: Verb, request: VerbRequest, context: Context) -> Accepted:
        """What `perform` would answer now, with nothing written. Raises Refusal."""
        snapshot = await self.load(instance_id)
        accepted = _accepted(ask(snapshot.instance, self._wish(snapshot.instance, verb, request, context, "")))
        if _takes_room(snapshot.instance, accepted.instance):
            self._creation.room.check(accepted.instance, context.actor)
        return accepted

    async def last_used(self, instance_id: str, at: float | None, context: Context) -> float:
        """Note that an instance was used; gives the time that holds. Raises Refusal for a time more than 60 s in the
        future.
        """
        now = self._ledger.clock.now()
        moment = now if at is None else at
        if moment > now + AHEAD_SECONDS:
            raise invalid("lastUsedAt", "lies more than 60 s in the future")
        instance = (await self.load(instance_id)).instance

        async def decide() -> float:
            record = await self._ledger.store.get(records.ACTIVITY, instance_id)
            known = records.read_activity(record).last_used_at if record else None
            if known is not None and moment <= known <= now + AHEAD_SECONDS:
                return known  # one that lies further ahead was told by a clock that has been set back since
            activity = Activity(instance_id=instance.id, last_used_at=moment)
            put = records.put_activity(activity, expect=record.version if record else 0)
            noted = self._use(context, instance_id, moment)
            await self._ledger.store.commit(Commit(puts=(put,), appends=noted))
            self._uses_noted[instance_id, context.actor.by] = now
            return moment

        return await until_committed(decide, subject=f"instance {instance_id}")

    def _use(self, context: Context, instance_id: str, moment: float) -> tuple[Append, ...]:
        """The audit entry of a use, unless the same caller's last one is less than an hour old."""
        last = self._uses_noted.get((instance_id, context.actor.by))
        if last is not None and 0.0 <= self._ledger.clock.now() - last < USE_NOTED_SECONDS:
            return ()
        return (self._ledger.note(context, "instance.use", target=instance_id, lastUsedAt=iso(moment)),)

    async def load(self, instance_id: str) -> Snapshot:
        """The instance by our id, deleted ones included while they are kept. Raises Refusal INSTANCE_NOT_FOUND."""
        snapshot = await self._ledger.load(instance_id)
        if snapshot is None:
            raise not_found(instance_id)
        return snapshot

    async def resolve(self, reference: str) -> Snapshot:
        """What `{id}` means: our id, Novita's id, or an unambiguous name. Raises Refusal INSTANCE_NOT_FOUND or
        NAME_AMBIGUOUS.
        """
        snapshot = self._reads.find(reference)
        if snapshot is None and reference.startswith("inst_"):
            snapshot = await self._ledger.load(reference)
        if snapshot is None:
            raise not_found(reference)
        return snapshot

    async def _commit(
        self,
        snapshot: Snapshot,
        decided: Change | Same,
        accepted: Accepted,
        context: Context,
        answer: AnswerTo,
        explanation: Explanation | None,
        rider: Rider,
    ) -> Accepted:
        now = self._ledger.clock.now()
        puts: tuple[Put, ...] = ()
        if context.draft is not None:
            puts = (context.draft.put(answer(accepted), now=now),)
        if isinstance(decided, Same):
            if decided.instance != snapshot.instance:
                noted = self._noted_aside(snapshot.instance, decided.instance, context)
                change = Change(instance=decided.instance)
                await self._ledger.commit(snapshot.version, change, puts=puts, appends=(noted,))
            elif puts:
                await self._ledger.store.commit(Commit(puts=puts))
            return accepted
        wakes = (self._ledger.wake(decided.instance),)
        noted = self._noted(snapshot.instance, decided.instance, context, explanation)
        written = await self._ledger.commit(
            snapshot.version,
            decided,
            checks=rider.checks,
            puts=(*puts, *rider.puts),
            appends=(noted,),
            wakes=wakes,
            lease=rider.lease,
        )
        return msgspec.structs.replace(accepted, instance=written.snapshot.instance)

    def _noted_aside(self, before: Instance, after: Instance, context: Context) -> Append:
        """What is written down when nothing has to be done: another word, or another address to tell."""
        if after.desired == before.desired:
            return self._ledger.note(context, "instance.webhook", target=after.id)
        word = after.desired
        return self._ledger.note(
            context,
            "instance.word",
            target=after.id,
            state=str(word.state),
            instead_of=before.desired.by,
            until=iso_or_none(word.until),
            reason=word.reason,
        )

    def _noted(self, before: Instance, after: Instance, context: Context, explanation: Explanation | None) -> Append:
        """What is written down of a change that was asked for."""
        why = {} if explanation is None else {"because": explanation.because, "facts": explanation.facts}
        return self._ledger.note(
            context,
            f"instance.{after.operation.verb if after.operation is not before.operation else 'stop'}",
            target=after.id,
            before=str(before.state),
            after=str(after.state),
            reason=after.desired.reason,
            **why,
        )

    def _check_until(self, request: VerbRequest) -> None:
        if request.until is not None and request.until <= self._ledger.clock.now():
            raise invalid("until", "has passed already")

    def _wish(self, instance: Instance, verb: Verb, request: VerbRequest, context: Context, operation_id: str) -> Wish:
        now = self._ledger.clock.now()
        runs = verb in {Verb.START, Verb.RESTART}
        check_asked = request.health_check
        return Wish(
            verb=verb,
            operation_id=operation_id,
            by=context.actor.by,
            at=now,
            reason=request.reason,
            correlation_id=context.correlation_id,
            estimated_ready_at=self._creation.estimate(now, calls_ahead=0) if runs else None,
            health_check=self._creation.health_check(check_asked) if check_asked is not None else None,
            webhook=self._creation.target(request.webhook_url, request.webhook_secret),
            spoken_at=request.spoken_at,
            until=request.until,
            hold=self._creation.room.hold(instance) if runs else None,
        )

    def _room(self, before: Instance, after: Instance, context: Context) -> AbstractContextManager[None]:
        if not _takes_room(before, after):
            return nullcontext()
        return self._creation.room.taken(after, context.actor)


def _takes_room(before: Instance, after: Instance) -> bool:
    """A start takes up room like a create."""
    return after.wants is DesiredState.RUNNING and not counted(before)


def _accepted(decided: Change | Same) -> Accepted:
    if isinstance(decided, Same):
        return Accepted(instance=decided.instance, changed=False, under_way=decided.under_way)
    return Accepted(instance=decided.instance, changed=True, under_way=True)


def _told_of(decided: Change | Same, wish: Wish) -> Change | Same:
    """Whoever asks for what is so already, and says where to tell, is told of all that follows (api.md 7.3)."""
    if not isinstance(decided, Same) or wish.webhook is None or not decided.instance.state.live:
        return decided
    spec = msgspec.structs.replace(decided.instance.spec, webhook=wish.webhook)
    return msgspec.structs.replace(decided, instance=msgspec.structs.replace(decided.instance, spec=spec))


def _check_port(instance: Instance, request: VerbRequest) -> None:
    """Raises Refusal when the check names a port that the instance does not have: it could never pass."""
    wanted = request.health_check.port if request.health_check is not None else None
    served = instance.machine.ports if instance.machine is not None else ()
    ports = {port.port for port in instance.spec.ports} | {port.port for port in served}
    if wanted is not None and wanted not in ports:
        have = ", ".join(map(str, sorted(ports))) or "none"
        raise invalid("healthCheck.port", f"{wanted} is not among the ports of the instance ({have})")


def changed_since(instance_id: str) -> Refusal:
    """What a decision rested on is no longer so."""
    return Refusal(Code.CONFLICT, f"instance {instance_id} changed since it was judged", retry_after=1.0)


def not_found(reference: str) -> Refusal:
    """No instance is meant by this reference."""
    return Refusal(Code.INSTANCE_NOT_FOUND, f"there is no instance {reference!r}")
