"""Sync: our records held against all of Novita's list, on start, now and then, and when somebody asks.

The observer takes in what it sees with every poll; a sync forces a reading of the whole list, adopts what is ours, forgets what is gone,
and says what it found. A rehearsal (`dryRun`) reads the list for itself and writes nothing.
"""

from collections.abc import Mapping

import msgspec

from novitai.domain.automation import Part
from novitai.domain.errors import Code, Refusal
from novitai.domain.explanation import Explanation
from novitai.domain.ids import InstanceId, MachineId
from novitai.domain.machine import Machine
from novitai.operations import records
from novitai.operations.automation import Automation
from novitai.operations.freshness import Freshness
from novitai.operations.ledger import Ledger
from novitai.operations.orphans import Orphans
from novitai.operations.reads import ReadModel, machines_of
from novitai.operations.requests import Context
from novitai.operations.sweep import read_pages
from novitai.policies import adoption
from novitai.policies.adoption import Comparison, Difference
from novitai.ports.coordination import Share
from novitai.ports.provider import Call, Provider
from novitai.ports.store import Commit, Job, JobStatus, Priority, Wake

KEY = "trigger:sync"
READ_WAIT = 20.0
REPORT_KEPT_SECONDS = 7 * 86_400.0


class SyncOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to sync. `force`: read the list anew even if that was just done. `obsolete`: forget what has been lost for the retention time."""

    force: bool = False
    obsolete: bool = True


class SyncReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a sync found and did (or, rehearsed, would do). Instances by our ids, machines by Novita's; times are Unix seconds."""

    began_at: float
    at: float
    read_at: float
    dry_run: bool
    options: SyncOptions
    managed_before: int
    managed_after: int
    machines: int
    matched: int
    missing: tuple[InstanceId, ...]
    differing: tuple[Difference, ...]
    orphans: tuple[MachineId, ...]
    adopted: tuple[MachineId, ...]
    forgotten: tuple[InstanceId, ...]

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.at - self.began_at


class Sync:
    """Asks for syncs and remembers the last."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        reads: ReadModel,
        freshness: Freshness,
        orphans: Orphans,
        automation: Automation,
        provider: Provider,
        installation: str,
        retention: float,
    ) -> None:
        self._ledger = ledger
        self._reads = reads
        self._freshness = freshness
        self._orphans = orphans
        self._automation = automation
        self._provider = provider
        self._installation = installation
        self._retention = retention
        self.last: SyncReport | None = None
        self.running = False
        self.error: str | None = None

    async def rehearse(self, options: SyncOptions, context: Context) -> SyncReport:
        """What a sync would find and do; nothing is written. Raises ProviderFailure, Refusal."""
        began = self._ledger.clock.now()
        machines, read_at = await self._listing(options, context)
        adopted = await self._would_adopt(machines, read_at=read_at)
        forgotten = self.obsolete(options)
        return self.report(
            options, machines, read_at=read_at, began=began, adopted=adopted, forgotten=forgotten, before=None
        )

    async def _would_adopt(self, machines: Mapping[MachineId, Machine], *, read_at: float) -> tuple[MachineId, ...]:
        if self._automation.paused(Part.ADOPTION):
            return ()
        marked = self.compare(machines, read_at=read_at).adoptable
        return tuple([key for key in marked if await self._orphans.is_to_be_restored(machines[key])])

    async def request(self, options: SyncOptions, context: Context) -> str:
        """Have a sync made by whoever leads; the id of its job."""
        payload = msgspec.json.encode(
            {"options": options, "correlationId": context.correlation_id, "by": context.actor.by, "instanceId": None}
        )
        wake = Wake(
            key=KEY,
            id=self._ledger.ids.new("job"),
            type="sync_instances",
            lane=records.LANE_MAINTENANCE,
            priority=Priority.HIGH,
            due=self._ledger.clock.now(),
            payload=payload,
        )
        noted = self._ledger.note(
            context, "sync.request", target="instances", force=options.force, obsolete=options.obsolete
        )
        await self._ledger.store.commit(Commit(wakes=(wake,), appends=(noted,)))
        live = await self._ledger.store.live_job(KEY)
        return live.id if live is not None else wake.id

    async def outcome(self, job_id: str, *, asked_at: float) -> SyncReport | None:
        """The report of a sync's job that began after `asked_at`; None while there is none. Raises Refusal when it failed or was
        cancelled. Who asks while a sync runs gets the next one, under the same job: what runs began before they asked.
        """
        record = await self._ledger.store.get(records.SYNC_REPORT, job_id)
        report = msgspec.json.decode(record.body, type=SyncReport) if record is not None else None
        if report is not None and report.began_at >= asked_at:
            return report
        log = await self._ledger.store.read_log(records.JOBS, f"id:{job_id}", limit=1, descending=True)
        ended = msgspec.json.decode(log.entries[0].body, type=Job) if log.entries else None
        if ended is None or (ended.completed_at or 0.0) < asked_at:
            return None
        if ended.status is JobStatus.CANCELLED:
            raise Refusal(Code.CONFLICT, f"the sync was cancelled (job {job_id})")
        if ended.status is JobStatus.FAILED:
            why = ended.error or self.error or "Novita's list could not be read whole in time"
            raise Refusal(Code.UPSTREAM_ERROR, f"the sync failed (job {job_id}): {why}", retry_after=5.0)
        return None

    def report(
        self,
        options: SyncOptions,
        machines: Mapping[MachineId, Machine],
        *,
        read_at: float,
        began: float,
        before: int | None,
        adopted: tuple[MachineId, ...],
        forgotten: tuple[InstanceId, ...],
    ) -> SyncReport:
        """Our records beside a reading. `before` None: nothing was done, and `adopted` is what would be."""
        found = self.compare(machines, read_at=read_at)
        managed = len(self._reads.all())
        return SyncReport(
            began_at=began,
            at=self._ledger.clock.now(),
            read_at=read_at,
            dry_run=before is None,
            options=options,
            managed_before=managed if before is None else before,
            managed_after=managed,
            machines=found.machines,
            matched=found.managed,
            missing=found.missing,
            differing=found.differing,
            orphans=found.unknown,
            adopted=adopted,
            forgotten=forgotten,
        )

    def compare(self, machines: Mapping[MachineId, Machine], *, read_at: float) -> Comparison:
        """Our records beside these machines, as a reading that began at `read_at` showed them."""
        instances = [snapshot.instance for snapshot in self._reads.all()]
        managed = frozenset(machine for instance in instances for machine in machines_of(instance))
        return adoption.compare(instances, machines, managed=managed, installation=self._installation, read_at=read_at)

    def obsolete(self, options: SyncOptions) -> tuple[InstanceId, ...]:
        """Instances whose machine has been lost for longer than the retention time."""
        horizon = self._ledger.clock.now() - self._retention
        lost = (snapshot.instance for snapshot in self._reads.all())
        return tuple(i.id for i in lost if adoption.obsolete(i, before=horizon)) if options.obsolete else ()

    def why_forgotten(self, instance_id: InstanceId) -> Explanation:
        """Why the record of an obsolete instance is deleted."""
        lost = self._reads.get(instance_id)
        return adoption.forgotten(lost.instance if lost is not None else None, retention=self._retention)

    async def _listing(self, options: SyncOptions, context: Context) -> tuple[dict[MachineId, Machine], float]:
        """The list as the last complete sweep had it when that is fresh enough, else read now and not taken in."""
        last = self._freshness.last_complete_at
        if not options.force and last is not None and not self._freshness.stale:
            return {key: machine for key, (machine, _) in self._freshness.machines.items()}, last
        call = Call(share=Share.ACT, longest_wait=READ_WAIT, correlation_id=context.correlation_id)
        found: dict[MachineId, Machine] = {}

        async def take(machine: Machine, _read_at: float) -> None:
            found[machine.id] = machine

        sweep = await read_pages(self._provider, call, clock=self._ledger.clock, take=take)
        if sweep.complete:
            return found, sweep.began
        raise Refusal(Code.UPSTREAM_ERROR, "Novita's list could not be read whole; try again", retry_after=5.0)
