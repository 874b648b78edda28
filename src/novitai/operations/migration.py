"""Moves as they are begun, and what is known of them: the one door for the loop that brings reclaimed instances back and
for the repair of failed migrations.

A move begins in one commit with its evidence, guarded by the version that was judged; everything after that is the
lifecycle's. What is wanted of the instance is not touched. Whether another machine could be had is answered from the
catalogue in memory; nothing here calls Novita.
"""

from collections.abc import Iterator
from math import ceil
from statistics import median

import msgspec

from novitai.domain.automation import Part
from novitai.domain.change import Change, fact, with_fields
from novitai.domain.errors import Code, Refusal
from novitai.domain.events import Fact, FactType
from novitai.domain.explanation import Explanation, PolicyView
from novitai.domain.instance import DesiredState, Instance, Operation, Phase, Verb
from novitai.domain.keys import Actor, Scope
from novitai.domain.lifecycle import Request, State, allows
from novitai.domain.migration import Cause, Move, MoveOutcome, MoveRule, Said, Way, resolved
from novitai.domain.offers import Offer
from novitai.operations import ceilings
from novitai.operations.catalogue import CatalogueBook
from novitai.operations.creation import USUAL_BOOT_SECONDS
from novitai.operations.explanation import Policy
from novitai.operations.instances import changed_since, not_found
from novitai.operations.keys import Keys
from novitai.operations.ledger import Ledger, Snapshot
from novitai.operations.reads import ReadModel
from novitai.operations.requests import Context
from novitai.policies import migration, moves, successors
from novitai.policies.migration import Step, Verdict
from novitai.ports.store import Conflict, Lease

POLICY = "migration"
"""Who moves instances, in audit entries and events."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """An instance with the rule that holds for it, and what that says now."""

    snapshot: Snapshot
    rule: MoveRule
    verdict: Verdict


class MigrationStats(msgspec.Struct, frozen=True, kw_only=True):
    """Moves of live instances in the last week. `last_seconds`, `median_seconds`, `p95_seconds` (95 of 100 took no longer) and
    `worst_seconds`: from the notice or the reclaim to ready.
    """

    under_way: int
    begun: int
    moved: int
    failed: int
    last_at: float | None
    last_seconds: float | None
    median_seconds: float | None
    p95_seconds: float | None
    worst_seconds: float | None


class Migrations:
    """See the module's text. `usual`: the settings; `most`: how many instances may be moving at once."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        reads: ReadModel,
        catalogue: CatalogueBook,
        room: ceilings.Room,
        keys: Keys,
        usual: MoveRule,
        most: int,
    ) -> None:
        self._ledger = ledger
        self._reads = reads
        self._catalogue = catalogue
        self._room = room
        self._keys = keys
        self.usual = usual
        self.most = most

    def rule(self, instance: Instance) -> MoveRule:
        """What holds for an instance."""
        return resolved(instance.spec.migration, self.usual)

    def judge(self, snapshot: Snapshot) -> Judged:
        """What the rule says about an instance now."""
        instance, rule = snapshot.instance, self.rule(snapshot.instance)
        room, held = self.mark(instance)
        verdict = migration.judge(instance, rule, now=self._ledger.clock.now(), room=room, held=held)
        return Judged(snapshot=snapshot, rule=rule, verdict=verdict)

    def mark(self, instance: Instance) -> tuple[bool, bool]:
        """What the rule rests on beside the instance and the time: that one more may move, and that a budget holds it down.
        Not asked for what Novita leaves alone, so that a long list is shown quickly.
        """
        if not concerned(instance):
            return True, False
        return self.busy() < self.most, self._room.hold(instance) is not None

    def policy(self) -> Policy:
        """The rule as it is explained."""

        def view(snapshot: Snapshot, _now: float) -> PolicyView:
            judged = self.judge(snapshot)
            return migration.explained(snapshot.instance, judged.rule, judged.verdict)

        return Policy(view=view, part=Part.MIGRATION, mark=self.mark)

    def all(self) -> list[Judged]:
        """Every live instance that Novita takes back or may take back, judged now."""
        return [self.judge(snapshot) for snapshot in self._reads.all() if concerned(snapshot.instance)]

    def busy(self) -> int:
        """How many instances are moving by our doing."""
        return sum(snapshot.instance.move is not None for snapshot in self._reads.all())

    async def begin(self, judged: Judged, context: Context, *, lease: Lease | None = None) -> Snapshot:
        """Begin the move that was judged. Raises Refusal CONFLICT when the instance has changed since."""
        verdict = judged.verdict
        assert verdict.step.acts, "only what acts is begun"
        assert verdict.cause is not None, "what is done has a cause"
        why = Explanation(because=verdict.because, facts=verdict.facts)
        return await self._begin(
            judged.snapshot,
            way=verdict.way,
            cause=verdict.cause,
            since=verdict.since,
            why=why,
            context=context,
            lease=lease,
        )

    async def replace(
        self,
        instance_id: str,
        *,
        judged: int,
        explanation: Explanation,
        context: Context,
        since: float,
        lease: Lease | None = None,
    ) -> Snapshot:
        """Begin to buy another machine in the place of the present one, whatever state that is in; `since`: when what is
        repaired was first seen. The present one is deleted once the other is ready.

        Raises Refusal: INSTANCE_NOT_FOUND; CONFLICT when the instance is not as it was judged any more; INVALID_STATE when
        it is not to be running, is protected, has no machine, or is being replaced already.
        """
        snapshot = await self._ledger.load(instance_id)
        if snapshot is None:
            raise not_found(instance_id)
        if snapshot.version != judged:
            raise changed_since(instance_id)
        instance = snapshot.instance
        why_not = _not_replaceable(instance)
        if why_not is not None:
            raise Refusal(Code.INVALID_STATE, f"instance {instance_id} is not replaced: {why_not}")
        cause = Cause.REPAIR if instance.state is State.MIGRATING else Cause.RECLAIM
        return await self._begin(
            snapshot, way=Way.REPLACE, cause=cause, since=since, why=explanation, context=context, lease=lease
        )

    def would_fit(self, instance: Instance) -> Offer | Refusal:
        """The offer that a replacement would be bought at now, under its cap and all ceilings, or why there is none.
        Nothing is bought and nobody is asked; the catalogue is as old as it is.
        """
        catalogue = self._catalogue.known
        if catalogue is None:
            return Refusal(Code.UPSTREAM_ERROR, "Novita's catalogue has not been read yet")
        now = self._ledger.clock.now()
        ranked = successors.ranked(catalogue, instance, now=now, cooling=self._catalogue.cooling())
        if not ranked or not ranked[0].fits:
            why = ranked[0].reason if ranked else "nothing like it is on offer"
            return Refusal(Code.NO_CAPACITY, f"no other machine can be had: {why}")
        offer = ranked[0].offer
        try:
            self._room.check(with_fields(instance, offer=offer), self.actor(instance))
        except Refusal as refusal:
            return refusal
        return offer

    async def say(self, judged: Judged, what: str, context: Context, *, lease: Lease | None = None) -> None:
        """Write down once for each cause what is not done (`leave`), or would be (`dry_run`); what is left is told, too."""
        instance, verdict = judged.snapshot.instance, judged.verdict
        said = Said(what=what, since=verdict.since)
        if instance.said == said:
            return
        noted = self._ledger.note(
            context, f"instance.{what}", target=instance.id, because=verdict.because, facts=verdict.facts
        )
        told = with_fields(instance, said=said)
        facts = (self._left(told, verdict),) if verdict.step is Step.LEAVE else ()
        try:
            change = Change(instance=told, facts=facts)
            await self._ledger.commit(judged.snapshot.version, change, appends=(noted,), lease=lease)
        except Conflict as conflict:
            if type(conflict) is not Conflict:
                raise
            raise changed_since(instance.id) from None

    def actor(self, instance: Instance) -> Actor:
        """Who moves an instance: the policy, within the limits of the key that the instance belongs to."""
        limits = self._keys.limits_of(instance.owner)
        return Actor(owner=instance.owner, scope=Scope.ADMIN, limits=limits, policy=POLICY)

    def stats(self) -> MigrationStats:
        """What moves came to."""
        known = list(self._moves())
        times = sorted(seconds for one in known if (seconds := one.recovery_seconds) is not None)
        arrived = max((one for one in known if one.outcome is MoveOutcome.MOVED), key=_ended, default=None)
        return MigrationStats(
            under_way=sum(one.under_way for one in known),
            begun=len(known),
            moved=sum(one.outcome is MoveOutcome.MOVED for one in known),
            failed=sum(one.outcome is MoveOutcome.FAILED for one in known),
            last_at=arrived.ended_at if arrived is not None else None,
            last_seconds=arrived.recovery_seconds if arrived is not None else None,
            median_seconds=median(times) if times else None,
            p95_seconds=times[ceil(0.95 * len(times)) - 1] if times else None,
            worst_seconds=times[-1] if times else None,
        )

    async def _begin(
        self,
        snapshot: Snapshot,
        *,
        way: Way,
        cause: Cause,
        since: float,
        why: Explanation,
        context: Context,
        lease: Lease | None,
    ) -> Snapshot:
        now, instance = self._ledger.clock.now(), snapshot.instance
        operation = Operation(
            id=self._ledger.ids.new("op"),
            verb=Verb.MIGRATE,
            by=context.actor.by,
            reason=why.because,
            requested_at=now,
            correlation_id=context.correlation_id,
            estimated_ready_at=now + USUAL_BOOT_SECONDS,
            phases=((Phase.START_REQUESTED, now),),
        )
        change = moves.begin(instance, way=way, cause=cause, since=since, operation=operation, at=now)
        noted = self._ledger.note(
            context,
            f"instance.{way}",
            target=instance.id,
            before=str(instance.state),
            after=str(change.instance.state),
            because=why.because,
            facts=why.facts,
        )
        wakes = (self._ledger.wake(change.instance),)
        try:
            written = await self._ledger.commit(snapshot.version, change, appends=(noted,), wakes=wakes, lease=lease)
        except Conflict as conflict:
            if type(conflict) is not Conflict:
                raise  # another process leads
            raise changed_since(instance.id) from None
        return written.snapshot

    def _left(self, instance: Instance, verdict: Verdict) -> Fact:
        message = verdict.because
        return fact(
            FactType.MIGRATION_FAILED,
            instance,
            before=instance,
            at=self._ledger.clock.now(),
            actor=POLICY,
            reason=message,
            data={
                "way": None,
                "cause": str(verdict.cause) if verdict.cause is not None else None,
                "machineId": instance.machine.id if instance.machine is not None else None,
                "error": {"code": str(Code.INVALID_STATE), "message": message},
                "offers": [],
            },
        )

    def _moves(self) -> Iterator[Move]:
        for snapshot in self._reads.all():
            yield from snapshot.instance.moves


def concerned(instance: Instance) -> bool:
    """Whether Novita takes its machine back, so that the rule has something to say. Quick: asked of every change."""
    machine = instance.machine
    return machine is not None and machine.spot_status.taken and instance.wants is DesiredState.RUNNING


def _not_replaceable(instance: Instance) -> str | None:
    if instance.wants is not DesiredState.RUNNING:
        return f"it is to be {instance.wants}"
    if instance.spec.protect:
        return "it is protected"
    if instance.spec.adopted:
        return "it was adopted, and nobody knows with which environment another machine would have to be made"
    if instance.machine is None or instance.former is not None:
        return "another machine is being bought for it already"
    if instance.open_attempt is not None:
        return "what became of a create is not known yet"
    return None if allows(instance.state, Request.MOVE) else f"it is {instance.state}"


def _ended(one: Move) -> float:
    return one.ended_at or 0.0
