"""What a machine in the list means, and a machine that is not in it.

What the present operation explains is taken as it is. Everything else is a *doubt*: a surprising status, a machine that
should be there and is not, a machine with our marker that nobody asked for. Lists lag and lie, so a doubt is settled by
reading the machine singly, and a machine counts as absent only on two such readings.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import msgspec
import structlog

from novitai.domain.change import Change
from novitai.domain.errors import Gone
from novitai.domain.ids import MachineId, Marker, marker_of
from novitai.domain.instance import ENOUGH_EVIDENCE, AttemptOutcome, DesiredState, Instance, SeenMachine, attempt_id
from novitai.domain.lifecycle import State
from novitai.domain.machine import Machine, MachineStatus
from novitai.operations import records
from novitai.operations.costs import Costs
from novitai.operations.freshness import Freshness
from novitai.operations.ledger import Ledger, Snapshot
from novitai.operations.reads import ReadModel, machines_of
from novitai.operations.sweep import Sweep
from novitai.policies import observed, outcomes, strays, unclear
from novitai.policies.costs import beside
from novitai.policies.observed import Sighting
from novitai.policies.strays import ExtraMachines
from novitai.ports.provider import Call, Provider
from novitai.ports.store import Put
from novitai.ports.world import Sealer

log = structlog.get_logger("novitai.observer")

_UNWATCHED = {State.LOST, State.DELETED, State.DELETING}


def _outlives(instance: Instance, machine_id: MachineId) -> bool:
    """Whether a machine of a deleted instance should not be there any more. What somebody else was seen to delete is
    none of that: nobody asked us to.
    """
    present = instance.machine is not None and instance.machine.id == machine_id
    deleted = instance.state is State.DELETED and instance.desired.by != "outside"
    return deleted and present and machine_id not in instance.strays


@dataclass(frozen=True)
class Doubt:
    """Something that only a single read can settle. `settle` tells whether the machine exists; `absent`: the list
    claims that it does not.
    """

    machine_id: MachineId
    settle: Callable[[], Awaitable[bool]]
    absent: bool = False


class Sightings:
    """Takes what is seen into our records."""

    def __init__(
        self,
        *,
        provider: Provider,
        ledger: Ledger,
        reads: ReadModel,
        freshness: Freshness,
        sealer: Sealer,
        costs: Costs,
        installation: str,
        settle_time: float,
        extra_machines: ExtraMachines,
        call: Call,
    ) -> None:
        self._provider = provider
        self._ledger = ledger
        self._reads = reads
        self._freshness = freshness
        self._sealer = sealer
        self._costs = costs
        self._installation = installation
        self._settle_time = settle_time
        self._extra_machines = extra_machines
        self._call = call
        self._clock = ledger.clock
        self._strays_read: dict[MachineId, float] = {}  # when each was first read singly, since it is seen without gap

    # ── what is there ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def take(self, machine: Machine, read_at: float) -> Doubt | None:
        """A machine of the list; the doubt that it leaves, if any."""
        self._freshness.saw(machine, read_at)
        snapshot = self._reads.by_machine(machine.id)
        if snapshot is not None and beside(snapshot.instance, machine.id):
            await self._meter(snapshot.instance, lambda now: self._costs.sighted(now, machine, at=read_at))
        if snapshot is not None and machine.id in snapshot.instance.strays:
            return self._doubt_stray(snapshot.instance, machine)
        if snapshot is not None:
            return await self._take_ours(snapshot, machine, read_at)
        marker = marker_of(machine.name)
        if marker is None or marker.installation != self._installation:
            return None
        owner = self._reads.get(marker.instance_id) or await self._ledger.load(marker.instance_id)
        if owner is None or (machine.id in machines_of(owner.instance) and not _outlives(owner.instance, machine.id)):
            return None
        attempt = owner.instance.open_attempt
        if attempt is not None and attempt.number == marker.attempt:
            await self._adopt(owner.instance, marker, machine)
            return None
        if machine.status.leaving:
            return None
        return Doubt(machine.id, lambda: self._report_stray(owner.instance, marker, machine))

    async def _take_ours(self, snapshot: Snapshot, machine: Machine, read_at: float) -> Doubt | None:
        sighting = Sighting(machine=machine, at=read_at, confirmed=False)
        now = self._clock.now()
        seen = observed.see(snapshot.instance, sighting, now=now, operation_id=self._ledger.ids.new("op"))
        if seen.change.instance is not snapshot.instance or seen.change.facts:
            await self._commit(snapshot.instance, sighting)
        return Doubt(machine.id, lambda: self.look(snapshot, machine.id)) if seen.look else None

    async def _commit(self, instance: Instance, sighting: Sighting) -> None:
        operation_id = self._ledger.ids.new("op")

        def take(now: Instance) -> Change:
            return observed.see(now, sighting, now=self._clock.now(), operation_id=operation_id).change

        await self._ledger.apply(instance.id, take)

    async def _adopt(self, owner: Instance, marker: Marker, machine: Machine) -> None:
        """The result of a create whose answer is not known."""
        now = self._clock.now()
        attempt = owner.open_attempt
        assert attempt is not None
        log.info("machine_adopted", instanceId=owner.id, novitaId=machine.id)
        put = await self._adopted(owner, marker.attempt, machine.id)
        await self._ledger.apply(
            owner.id,
            lambda i: outcomes.create_accepted(
                i, number=marker.attempt, offer=attempt.offer, machine_id=machine.id, machine_name=machine.name, at=now
            ),
            attempt=lambda _: put,
        )

    async def _adopted(self, instance: Instance, number: int, machine_id: MachineId) -> Put | None:
        record = await self._ledger.store.get(records.ATTEMPT, attempt_id(instance.id, number))
        if record is None:
            return None
        attempt = records.read_attempt(record)
        if attempt.outcome is not AttemptOutcome.OPEN:
            return None
        ended = msgspec.structs.replace(
            attempt, outcome=AttemptOutcome.ADOPTED, machine_id=machine_id, resolved_at=self._clock.now()
        )
        return records.put_attempt(ended)

    async def _report_stray(self, owner: Instance, marker: Marker, machine: Machine) -> bool:
        """A second machine with the marker of one instance, unless the list only lagged behind its end, or this view of
        the instance behind its beginning.
        """
        try:
            found = await self._provider.machine(machine.id, self._call)
        except Gone:
            return False
        if found.status.leaving:
            return False
        latest = await self._ledger.load(owner.id)
        attempt = latest.instance.open_attempt if latest is not None else None
        if latest is not None and attempt is not None and attempt.number == marker.attempt:
            await self._adopt(latest.instance, marker, machine)
            return True
        log.error("leak_suspected", instanceId=owner.id, novitaId=machine.id)
        at = self._clock.now()
        await self._ledger.apply(owner.id, lambda now: outcomes.stray_found(now, machine.id, at=at))
        self._strays_read[machine.id] = at
        return True

    def _doubt_stray(self, owner: Instance, machine: Machine) -> Doubt | None:
        """A known stray: to be read again when it may be deleted and enough time has passed since the first reading."""
        if self._extra_machines is not ExtraMachines.DELETE:
            return None
        if not strays.may_go(owner, machine, installation=self._installation):
            return None
        first = self._strays_read.get(machine.id)
        if first is not None and not strays.confirmed(first, self._clock.now()):
            return None
        return Doubt(machine.id, lambda: self._confirm_stray(owner, machine.id))

    async def _confirm_stray(self, owner: Instance, machine_id: MachineId) -> bool:
        """The first reading is remembered, the second one lets it be deleted."""
        try:
            found = await self._provider.machine(machine_id, self._call)
        except Gone:
            self._strays_read.pop(machine_id, None)
            return False
        at = self._clock.now()
        first = self._strays_read.setdefault(machine_id, at)
        if strays.confirmed(first, at):
            log.warning("extra_machine_discarded", instanceId=owner.id, novitaId=machine_id)
            await self._ledger.apply(
                owner.id, lambda now: strays.discard(now, found, installation=self._installation, at=at)
            )
        return True

    # ── what is not there ─────────────────────────────────────────────────────────────────────────────────────────────

    def absent(self, sweep: Sweep) -> list[Doubt]:
        """Machines that this complete sweep should have shown and did not."""
        self._strays_read = {known: at for known, at in self._strays_read.items() if known in sweep.seen}
        live = self._reads.all()
        missing = [self._doubt_absence(snapshot) for snapshot in live if self._absent(snapshot.instance, sweep)]
        return missing + [doubt for snapshot in live if (doubt := self._doubt_former(snapshot, sweep)) is not None]

    def _absent(self, instance: Instance, sweep: Sweep) -> bool:
        machine = instance.machine
        if machine is None or machine.id in sweep.seen or instance.state in _UNWATCHED:
            return False
        return sweep.began >= self._surely_shown(instance, machine)

    def _doubt_former(self, snapshot: Snapshot, sweep: Sweep) -> Doubt | None:
        """The machine that is being replaced, when this sweep should have shown it."""
        former, wanted = snapshot.instance.former, snapshot.instance.wants is not DesiredState.DELETED
        if former is None or not wanted or former.machine.id in sweep.seen or sweep.began < former.machine.since:
            return None
        if former.machine.status is MachineStatus.REMOVED or len(former.machine.missing) >= ENOUGH_EVIDENCE:
            return None
        return Doubt(former.machine.id, lambda: self.look(snapshot, former.machine.id), absent=True)

    def _surely_shown(self, instance: Instance, machine: SeenMachine) -> float:
        """From when on Novita shows this machine if it is there: one just created may lag by the settle time."""
        accepted = instance.operation.accepted_at if instance.operation.makes_ready else None
        lag = self._settle_time if instance.buys else 0.0
        return max(machine.since, accepted or 0.0) + lag

    def _doubt_absence(self, snapshot: Snapshot) -> Doubt:
        assert snapshot.instance.machine is not None
        return Doubt(snapshot.instance.machine.id, lambda: self.look(snapshot), absent=True)

    async def meter_missing(self, sweep: Sweep) -> None:
        """Machines of instances beside their present ones cost nothing any more when a trustworthy sweep does not show them."""
        for snapshot in self._reads.all():
            missing = [one.machine for one in snapshot.instance.meter.running if one.machine not in sweep.seen]
            for machine_id in dict.fromkeys(missing):
                if beside(snapshot.instance, machine_id):
                    gone = partial(self._costs.unseen, machine_id=machine_id, at=sweep.began)
                    await self._meter(snapshot.instance, gone)

    async def _meter(self, instance: Instance, metered: Callable[[Instance], Instance]) -> None:
        if metered(instance) is not instance:
            await self._ledger.apply(instance.id, lambda now: Change(instance=metered(now)), wake=False)

    async def disprove(self, sweep: Sweep) -> None:
        """A trustworthy sweep that began after the settle time does not show the marker: those attempts made no
        machine.
        """
        for snapshot in self._reads.all():
            attempt = snapshot.instance.open_attempt
            if attempt is not None and unclear.provable(attempt, began=sweep.began, settle_time=self._settle_time):
                await self._disprove(snapshot.instance.id, attempt.number, sweep.began)

    async def _disprove(self, instance_id: str, number: int, began: float) -> None:
        def disprove(now: Instance) -> Change:
            return Change(instance=unclear.disprove(now, number=number, began=began, settle_time=self._settle_time))

        log.info("attempt_disproved", instanceId=instance_id, attempt=number)
        await self._ledger.apply(instance_id, disprove)

    # ── one machine ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def look(self, snapshot: Snapshot, machine_id: MachineId | None = None) -> bool:
        """Read one machine singly, the present one unless another is named: what it shows is believed, and "not found" is
        a piece of evidence. Tells whether it exists.
        """
        present = snapshot.instance.machine
        wanted = machine_id or (present.id if present is not None else None)
        if wanted is None:
            return False
        read_at = self._clock.now()
        try:
            found = await self._provider.machine(wanted, self._call)
        except Gone:
            await self._ledger.apply(snapshot.instance.id, lambda now: self._missing(now, wanted, at=read_at))
            return False
        self._freshness.saw(found, read_at)
        password = self._sealer.seal(found.password) if found.password else None
        await self._commit(snapshot.instance, Sighting(machine=found, at=read_at, confirmed=True, password=password))
        return True

    def _missing(self, now: Instance, machine_id: MachineId, *, at: float) -> Change:
        """Evidence counts against the machine that was read, not against one that took its place meanwhile, nor one that
        Novita may not show yet.
        """
        if now.former is not None and now.former.machine.id == machine_id:
            return observed.former_missing(now, machine_id, at=at)
        if now.machine is None or now.machine.id != machine_id or at < self._surely_shown(now, now.machine):
            return Change(instance=now)
        return observed.missing(now, at=at)

    def count_unknown(self) -> None:
        """How many machines of the account are not ours."""
        self._freshness.unknown = sum(
            1 for machine_id in self._freshness.machines if self._reads.by_machine(machine_id) is None
        )
