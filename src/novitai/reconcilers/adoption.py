"""What Novita has and we have not: shown within a poll, ours by marker taken back, the rest left alone.

The loop looks after each complete sweep of the observer. A machine of ours whose record is gone (an emptied store) is adopted when two
sweeps in a row show it; a sync, on start, every `SYNC_INTERVAL` or when asked, forces a sweep first and writes down what it found. What
the list alone claims of a machine that was just deleted, or of one that was there before, is believed only when a single read agrees.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import msgspec
import structlog

from novitai.domain.automation import Part
from novitai.domain.errors import ProviderFailure, Refusal
from novitai.domain.ids import InstanceId, MachineId, Marker
from novitai.domain.instance import Verb
from novitai.domain.keys import Actor, Scope
from novitai.domain.lifecycle import State
from novitai.domain.machine import Machine
from novitai.domain.orphan import Standing
from novitai.operations import records
from novitai.operations.automation import Automation
from novitai.operations.freshness import Freshness
from novitai.operations.instances import Verbs
from novitai.operations.ledger import Ledger, Snapshot
from novitai.operations.orphans import Orphans
from novitai.operations.reads import ReadModel, machines_of
from novitai.operations.receipts import Answer
from novitai.operations.requests import Context, VerbRequest
from novitai.operations.sync import REPORT_KEPT_SECONDS, Sync, SyncOptions, SyncReport
from novitai.policies import adoption
from novitai.ports.store import Claim, Commit, Finish, JobStatus, Lease, Put

LOOK_AGAIN_SECONDS = 0.5
SHORTEST_SWEEP_TIMEOUT = 45.0
"""A sync fails whose sweep does not come within this time, or within `PATIENCE` times what a sweep takes of the observer's calls."""
PATIENCE = 2.0
RETRY_SECONDS = 60.0
RESTORED_AT_ONCE = 20
"""Machines taken back in one look: each costs a call. The rest waits for the next sweep."""
ABSENT_SWEEPS = 2
LONGEST_LOOK_SECONDS = 30.0
CONFIRMED_AT_ONCE = 10
"""Machines read singly in one look because the list leaves them out."""
DELETED_REMEMBERED_SECONDS = 600.0
"""How long a list may still show a machine whose end was confirmed; longer than any was seen to lag."""

log = structlog.get_logger("novitai.adoption")


@dataclass(frozen=True)
class AdoptionSettings:
    """`interval` between syncs in seconds; `installation`: the one whose markers are ours."""

    installation: str
    interval: float = 1800.0


class Adoption:
    """Work of the loop `adoption`, and of the job `trigger:sync`."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        reads: ReadModel,
        freshness: Freshness,
        orphans: Orphans,
        sync: Sync,
        verbs: Verbs,
        automation: Automation,
        sweep: Callable[[], None],
        settings: AdoptionSettings,
    ) -> None:
        self._ledger = ledger
        self._reads = reads
        self._freshness = freshness
        self._orphans = orphans
        self._sync = sync
        self._verbs = verbs
        self._automation = automation
        self._sweep = sweep
        self._settings = settings
        self._clock = ledger.clock
        self._looked_at: float | None = None
        self._absent: dict[MachineId, int] = {}
        self._seen_before: frozenset[MachineId] = frozenset()
        self._sync_due = 0.0
        self._syncs = 0
        self._taken: dict[MachineId, float] = {}
        self._tried: dict[MachineId, float] = {}
        self._deleted: dict[MachineId, float] = {}
        self._look_ends = 0.0
        reads.listen(self._note_deleted)
        self._one_at_a_time = asyncio.Lock()

    # ── the loop, and what is asked for ──────────────────────────────────────────────────────────────────────────────

    async def run(self, lease: Lease) -> float:
        """Look at what the last complete sweep showed, and sync when that is due; gives the seconds until the next look."""
        ahead = self._sync_due - self._clock.now()
        if 0.0 < ahead <= self._settings.interval:  # further ahead: the clock was set back
            async with self._one_at_a_time:
                await self._look(lease)
            return max(0.01, self._sync_due - self._clock.now())
        done = await self._sync_once(SyncOptions(), lease)
        pause = self._settings.interval if done is not None else min(self._settings.interval, RETRY_SECONDS)
        self._sync_due = self._clock.now() + pause
        return pause

    async def handle(self, claim: Claim) -> None:
        """Run the job `trigger:sync`: sync, and leave the report under the job's id."""
        options = msgspec.json.decode(claim.payload, type=_Asked).options
        report = await self._sync_once(options, None)
        if report is None:
            finish = Finish(claim=claim, status=JobStatus.FAILED, error=self._sync.error)
            await self._ledger.store.commit(Commit(finish=finish))
            return
        body, kept = msgspec.json.encode(report), self._clock.now() + REPORT_KEPT_SECONDS
        put = Put(kind=records.SYNC_REPORT, id=claim.id, body=body, expires_at=kept)
        await self._ledger.store.commit(Commit(puts=(put,), finish=Finish(claim=claim)))

    async def _sync_once(self, options: SyncOptions, lease: Lease | None) -> SyncReport | None:
        """Sync; None when Novita's list could not be read whole in time, with the reason in `sync.error`."""
        began, before = self._clock.now(), len(self._reads.all())
        self._syncs += 1
        self._sync.running = True
        try:
            read_at = await self._swept(since=began if options.force else None)
            await self._taken_in(lease)
            forgotten = await self._forget_what_is_gone(options)
        except TimeoutError:
            self._sync.error = self._freshness.last_error or "Novita's list could not be read whole in time"
            log.warning("sync_failed", error=self._sync.error)
            return None
        finally:
            self._syncs -= 1
            self._sync.running = self._syncs > 0
        machines = {key: machine for key, (machine, at) in self._freshness.machines.items() if at >= read_at}
        adopted = tuple(machine_id for machine_id, at in self._taken.items() if at >= began)
        report = self._sync.report(
            options, machines, read_at=read_at, began=began, before=before, adopted=adopted, forgotten=forgotten
        )
        self._sync.last, self._sync.error = report, None
        log.info("sync_done", machines=report.machines, orphans=len(report.orphans), adopted=len(adopted))
        return report

    async def _swept(self, *, since: float | None) -> float:
        """When a complete sweep began that is as young as asked; None: not stale. Raises TimeoutError."""
        asked_at = self._clock.now()
        deadline = asked_at + max(SHORTEST_SWEEP_TIMEOUT, PATIENCE * self._freshness.sweep_interval)
        while True:
            swept = self._freshness.last_complete_at
            if swept is not None and (swept >= since if since is not None else not self._freshness.stale):
                return swept
            if self._clock.now() >= deadline:
                raise TimeoutError
            if (self._freshness.last_poll_at or 0.0) < asked_at:
                self._sweep()  # until one begins: the end of a sweep that was under way when this was asked forgets the wish
            await self._clock.sleep(LOOK_AGAIN_SECONDS)

    async def _taken_in(self, lease: Lease | None) -> None:
        """Take in what the last sweep showed; what is ours by its marker is taken back when another sweep shows it again."""
        async with self._one_at_a_time:
            await self._look(lease)
        ours = [orphan for orphan in self._orphans.all() if orphan.ours and orphan.standing is Standing.OPEN]
        if ours and not self._automation.paused(Part.ADOPTION):
            await self._swept(since=self._clock.now())
            async with self._one_at_a_time:
                await self._look(lease)

    async def _forget_what_is_gone(self, options: SyncOptions) -> tuple[InstanceId, ...]:
        """Delete the records of what was lost long ago, by the operation that people use."""
        gone = self._sync.obsolete(options)
        forgotten = []
        for instance_id in gone:
            with suppress(Refusal):
                why = self._sync.why_forgotten(instance_id)
                request, context = VerbRequest(reason=why.because, explanation=why), self._context("retention")
                await self._verbs.perform(
                    instance_id, Verb.DELETE, request, context, lambda _: Answer(status=202, body="")
                )
                forgotten.append(instance_id)
        return tuple(forgotten)

    # ── what a complete sweep shows ───────────────────────────────────────────────────────────────────────────────────

    async def _look(self, lease: Lease | None) -> None:
        """Show what is new, drop what is gone, take back what is ours."""
        swept = self._freshness.last_complete_at
        if swept is None or swept == self._looked_at:
            return
        self._look_ends = self._clock.now() + LONGEST_LOOK_SECONDS
        machines = {key: machine for key, (machine, at) in self._freshness.machines.items() if at >= swept}
        unmanaged = await self._unmanaged(machines)
        self._looked_at = swept
        found = await self._orphans.fresh(unmanaged)
        for orphan in found:
            log.warning("orphan_found", novitaId=orphan.id, name=orphan.name, ours=orphan.ours)
        await self._orphans.record(found, lease)
        await self._drop_what_is_gone(unmanaged, lease)
        again = self._seen_before & unmanaged.keys()
        self._seen_before = frozenset(unmanaged)
        await self._take_back(unmanaged, again)

    async def _unmanaged(self, machines: Mapping[MachineId, Machine]) -> dict[MachineId, Machine]:
        """Machines that no instance of ours holds, and that the observer does not settle: those of an instance of ours are its business
        while the instance lives.
        """
        found: dict[MachineId, Machine] = {}
        for machine in machines.values():
            if machine.status.leaving or self._reads.by_machine(machine.id) is not None:
                continue
            marker = adoption.ours(machine.name, self._settings.installation)
            if marker is not None and self._reads.get(marker.instance_id) is not None:
                continue
            if not await self._is_just_deleted(machine, marker):
                found[machine.id] = machine
        return found

    def _note_deleted(self, snapshot: Snapshot) -> None:
        if snapshot.instance.state is not State.DELETED:
            return
        now = self._clock.now()
        self._deleted |= dict.fromkeys(machines_of(snapshot.instance), now)
        self._deleted = {key: at for key, at in self._deleted.items() if at > now - DELETED_REMEMBERED_SECONDS}

    async def _is_just_deleted(self, machine: Machine, marker: Marker | None) -> bool:
        """Whether a machine whose instance is deleted is only in the list because that lags. What is shown already is not asked for
        again; what cannot be asked now is asked for after the next sweep.
        """
        if self._orphans.get(machine.id) is not None:
            return False
        known = marker is not None and await self._ledger.load(marker.instance_id) is not None
        if not known and machine.id not in self._deleted:
            return False
        return await self._exists(machine.id) is not True

    async def _exists(self, machine_id: MachineId) -> bool | None:
        """Whether Novita has a machine, read singly; None: not known."""
        if self._takes_too_long():
            return None
        try:
            return await self._orphans.exists(machine_id)
        except ProviderFailure as failure:
            log.warning("look_failed", novitaId=machine_id, error=failure.message)
            return None

    def _takes_too_long(self) -> bool:
        """Whether this look should leave the rest to the next: with a Novita that hangs it would last minutes."""
        return self._clock.now() >= self._look_ends

    async def _drop_what_is_gone(self, unmanaged: Mapping[MachineId, Machine], lease: Lease | None) -> None:
        """What two lists in a row leave out, and a single read does not find either, is gone: what a person said of it goes with it."""
        missing = [orphan.id for orphan in self._orphans.all() if orphan.id not in unmanaged]
        self._absent = {key: self._absent.get(key, 0) + 1 for key in missing}
        gone = [key for key in missing if self._reads.by_machine(key) is not None]
        doubtful = [key for key in missing if key not in gone and self._absent[key] >= ABSENT_SWEEPS]
        for machine_id in doubtful[:CONFIRMED_AT_ONCE]:
            exists = await self._exists(machine_id)
            if exists:
                self._absent[machine_id] = 0
            elif exists is False:
                gone.append(machine_id)
        await self._orphans.forget(gone, lease)

    async def _take_back(self, machines: Mapping[MachineId, Machine], again: frozenset[MachineId]) -> None:
        """Adopt those that were seen `again`, bear our marker, and whose instance nobody knows any more; who waits longest comes first."""
        self._tried = {key: at for key, at in self._tried.items() if key in machines}
        ours = adoption.latest(machines.values(), self._settings.installation)
        ours.sort(key=lambda found: self._tried.get(found[0].id, 0.0))
        tried = 0
        for machine, marker in ours:
            if self._takes_too_long() or tried == RESTORED_AT_ONCE or self._automation.paused(Part.ADOPTION):
                return
            if machine.id in again and await self._orphans.is_to_be_restored(machine):
                tried += 1
                self._tried[machine.id] = self._clock.now()
                await self._restore(machine, marker.instance_id)

    async def _restore(self, machine: Machine, instance_id: InstanceId) -> None:
        try:
            snapshot = await self._orphans.restore(machine, instance_id, self._context("adoption"))
        except ProviderFailure as failure:
            log.warning("adoption_put_off", novitaId=machine.id, error=failure.message)
            return
        if snapshot is not None:
            log.info("machine_adopted", instanceId=instance_id, novitaId=machine.id)
            self._taken[machine.id] = self._clock.now()

    def _context(self, policy: str) -> Context:
        """A policy acts in its own name."""
        actor = Actor(owner=policy, scope=Scope.ADMIN, policy=policy)
        return Context(actor=actor, correlation_id=self._ledger.ids.new("corr"))


class _Asked(msgspec.Struct, frozen=True):
    """The payload of a sync's job."""

    options: SyncOptions
