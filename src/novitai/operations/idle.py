"""What is known of idleness, in memory as it is stored, and what the rule makes of it.

The loop acts on it, the API shows it. Announcements and postponements are records of their own (`idle:<id>`), so that a
restart neither forgets nor repeats them.
"""

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from novitai.domain.idle import IdleMemory, IdleRule, IdleTotals, resolved
from novitai.domain.ids import InstanceId, MachineId
from novitai.domain.instance import DesiredState, Instance
from novitai.domain.lifecycle import State
from novitai.domain.money import Usd, cost
from novitai.operations import records
from novitai.operations.ledger import Ledger, Snapshot
from novitai.operations.metering import Metering
from novitai.operations.optimism import until_committed
from novitai.operations.reads import ReadModel
from novitai.policies import idle
from novitai.policies.idle import Known, Step, Verdict
from novitai.policies.usage import window
from novitai.ports.store import Commit, Committed, Conflict, Delete, Put

POLICY = "idle"
"""The word for `desired.by`."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """An instance with the rule that holds for it, and what that says now."""

    snapshot: Snapshot
    rule: IdleRule
    verdict: Verdict


class IdleStats(msgspec.Struct, frozen=True, kw_only=True):
    """What the idle stop did so far. `saved` includes stops that still hold. Counts of checks are this process's own."""

    checks: int
    checked: int
    last_check_at: float | None
    warned: int
    postponed: int
    stopped: int
    deleted: int
    saved: Usd


class Idleness:
    """See the module's text. `usual`: the settings."""

    def __init__(self, *, ledger: Ledger, reads: ReadModel, metering: Metering, usual: IdleRule) -> None:
        self._ledger = ledger
        self._reads = reads
        self._memories: dict[str, tuple[IdleMemory, int]] = {}
        self.metering = metering
        self.usual = usual
        self.trusted_since = 0.0
        self.checks = 0
        self.checked = 0
        self.last_check_at: float | None = None

    async def load(self) -> None:
        """Read every memory once; later changes come by `committed`."""
        cursor: str | None = None
        while True:
            page = await self._ledger.store.list(records.IDLES, "all", cursor=cursor, limit=500)
            for record in page.records:
                self._memories[record.id] = (records.read_idle(record), record.version)
            cursor = page.next_cursor
            if cursor is None:
                break
        totals, _ = await self.totals()
        self.trusted_since = max(self.trusted_since, min(totals.trusted_since, self._ledger.clock.now()))

    async def distrust(self) -> None:
        """The clock was set: what happened before now was dated by another, and a restart does not make that any truer."""
        self.trusted_since = now = self._ledger.clock.now()
        self.metering.keep_only(set())

        async def keep() -> None:
            totals, expect = await self.totals()
            put = records.put_idle_totals(msgspec.structs.replace(totals, trusted_since=now), expect=expect)
            await self._ledger.store.commit(Commit(puts=(put,)))

        await until_committed(keep, subject="what the idle stop did")

    def committed(self, _commit: Commit, result: Committed) -> None:
        """Take in a commit of this process."""
        for record in result.records:
            if record.kind != records.IDLE:
                continue
            if record.deleted:
                self._memories.pop(record.id, None)
            else:
                self._memories[record.id] = (records.read_idle(record), record.version)

    def memory(self, instance_id: str) -> tuple[IdleMemory, int]:
        """What is remembered of an instance, and the version of that record (0: nothing is)."""
        found = self._memories.get(instance_id)
        return found if found is not None else (IdleMemory(instance_id=InstanceId(instance_id)), 0)

    def memories(self) -> Sequence[tuple[IdleMemory, int]]:
        """Everything that is remembered."""
        return tuple(self._memories.values())

    def rule(self, instance: Instance) -> IdleRule:
        """What holds for an instance."""
        return resolved(instance.spec.auto_stop, self.usual)

    def known(self, instance: Instance) -> Known:
        """What is known of an instance beside its record."""
        memory, _ = self.memory(instance.id)
        return Known(
            last_used_at=self._reads.last_used(instance.id),
            reading=self.metering.reading(instance.machine.id) if instance.machine is not None else None,
            warned=memory.warned,
            postponed_at=memory.postponed_at,
            trusted_since=self.trusted_since,
        )

    def mark(self, instance: Instance) -> object:
        """What a judgement goes by beside the record and the time: as long as it is the same, the next step is."""
        if not self.rule(instance).enabled:
            return None
        reading = self.metering.reading(instance.machine.id) if instance.machine is not None else None
        return (
            self._reads.last_used(instance.id),
            self.memory(instance.id)[1],
            None if reading is None else reading.at,
            self.trusted_since,
        )

    def judge(self, snapshot: Snapshot, known: Known | None = None) -> Judged:
        """What the rule says about an instance now."""
        instance, rule = snapshot.instance, self.rule(snapshot.instance)
        if rule.dry_run:  # who announces nothing has nothing to wait for between the announcement and the deed
            rule = msgspec.structs.replace(rule, warn_seconds=0.0)
        now = self._ledger.clock.now()
        verdict = idle.judge(instance, rule, known or self.known(instance), now=now)
        return Judged(snapshot=snapshot, rule=rule, verdict=verdict)

    def all(self) -> list[Judged]:
        """Every live instance, judged now."""
        return [self.judge(snapshot) for snapshot in self._reads.all()]

    async def read(self, judged: Judged) -> Judged | None:
        """Read the use of an instance's machine and judge again; None when nothing new could be read."""
        instance, now = judged.snapshot.instance, self._ledger.clock.now()
        assert instance.machine is not None, "only what has a machine is read"
        # From before the last use on, too: a hole that began before it must be seen as one.
        floor = idle.evidence_begins(instance, Known(trusted_since=self.trusted_since), now=now)
        wanted = window(floor=floor, idle_seconds=judged.rule.idle_seconds, now=now)
        if not await self.metering.read(instance.machine.id, wanted):
            return None
        latest = self._reads.get(instance.id)
        return self.judge(latest) if latest is not None else None

    async def look(self) -> list[Judged]:
        """Every live instance, after reading what the cap allows of those that told uses say to be idle."""
        wanted = sorted((one for one in self.all() if self._unread(one)), key=lambda one: one.verdict.acts_at or 0.0)
        for one in wanted[: max(0, self.metering.budget.left(self._ledger.clock.now()))]:
            await self.read(one)
        return self.all()

    def forget_machines(self) -> None:
        """Drop readings of machines that are no more."""
        held = {one.instance.machine.id for one in self._reads.all() if one.instance.machine is not None}
        self.metering.keep_only({MachineId(machine_id) for machine_id in held})

    async def totals(self) -> tuple[IdleTotals, int]:
        """What was done so far, and the version of that record."""
        record = await self._ledger.store.get(records.IDLE_TOTALS, "all")
        return (records.read_idle_totals(record), record.version) if record is not None else (IdleTotals(), 0)

    async def stats(self) -> IdleStats:
        """What was done so far, with what is being saved now."""
        totals, _ = await self.totals()
        now = self._ledger.clock.now()
        saving = [memory.saving for memory, _ in self.memories() if memory.saving is not None]
        return IdleStats(
            checks=self.checks,
            checked=self.checked,
            last_check_at=self.last_check_at,
            warned=totals.warned,
            postponed=totals.postponed,
            stopped=totals.stopped,
            deleted=totals.deleted,
            saved=Usd(totals.saved + sum(cost(one.price_per_hour, max(0.0, now - one.since)) for one in saving)),
        )

    async def settle(self) -> None:
        """Close the books of stops that no longer hold."""
        for memory, version in self.memories():
            live = self._reads.get(memory.instance_id)
            if live is not None and memory.saving is None:
                continue
            ended = _ended(live or await self._ledger.load(memory.instance_id), now=self._ledger.clock.now())
            if ended is not None:
                await self._close(memory, version, ended, forget=live is None)

    async def _close(self, memory: IdleMemory, version: int, ended: float, *, forget: bool) -> None:
        puts: list[Put] = []
        if memory.saving is not None:
            totals, expect = await self.totals()
            saved = cost(memory.saving.price_per_hour, max(0.0, ended - memory.saving.since))
            more = msgspec.structs.replace(totals, saved=Usd(totals.saved + saved))
            puts.append(records.put_idle_totals(more, expect=expect))
        deletes = (Delete(kind=records.IDLE, id=memory.instance_id, expect=version),) if forget else ()
        if not forget:
            closed = msgspec.structs.replace(memory, saving=None, warned=None)
            puts.append(records.put_idle(closed, expect=version))
        with suppress(Conflict):  # the next pass does it
            await self._ledger.store.commit(Commit(puts=tuple(puts), deletes=deletes))

    def _unread(self, judged: Judged) -> bool:
        verdict = judged.verdict
        if verdict.step is Step.READ:
            return True
        asks = any(signal.name.measured and signal.idle is None for signal in verdict.signals)
        return verdict.step is Step.WAIT and asks


def _ended(snapshot: Snapshot | None, *, now: float) -> float | None:
    """When a stop by this policy ceased to hold; None while it does."""
    if snapshot is None:
        return now
    instance = snapshot.instance
    if instance.state is State.DELETED:
        return instance.deleted_at or now
    if instance.desired.by == POLICY and instance.wants is DesiredState.STOPPED:
        return None
    return instance.desired.at
