"""Machines on the account that nobody has a record of: shown, and taken, ignored or deleted when a person says so.

Taking reads the machine singly first. A delete takes the machine into our records as one that is to be deleted, so that it goes the way of
every delete: durable, tried until it is confirmed, told of.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from novitai.domain.change import Change
from novitai.domain.errors import Code, Gone, Refusal
from novitai.domain.events import Fact, FactType
from novitai.domain.ids import InstanceId, MachineId
from novitai.domain.instance import HealthCheck, attempt_id
from novitai.domain.machine import Machine
from novitai.domain.money import dollars
from novitai.domain.orphan import Orphan, Standing
from novitai.domain.times import iso, iso_or_none
from novitai.operations import records
from novitai.operations.catalogue import CatalogueBook
from novitai.operations.freshness import Freshness
from novitai.operations.ledger import Ledger, Snapshot
from novitai.operations.optimism import until_committed
from novitai.operations.reads import ReadModel
from novitai.operations.requests import Context
from novitai.policies import adoption, strays
from novitai.policies.adoption import Taking
from novitai.policies.observed import Sighting
from novitai.ports.coordination import Share
from novitai.ports.provider import Call, Provider
from novitai.ports.store import Commit, Committed, Conflict, Delete, Lease
from novitai.ports.world import Sealer

LONGEST_WAIT = 10.0
Decide = Callable[[Sighting, Taking], Change]
TOLD_AT_ONCE = 50
"""Orphans in one commit: on an account full of foreign machines the first look finds them all."""


class Orphans:
    """Orphans in memory, fed by commits, and what may be asked about them."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        reads: ReadModel,
        freshness: Freshness,
        provider: Provider,
        catalogue: CatalogueBook,
        sealer: Sealer,
        installation: str,
        health: HealthCheck,
    ) -> None:
        self._ledger = ledger
        self._reads = reads
        self._freshness = freshness
        self._provider = provider
        self._catalogue = catalogue
        self._sealer = sealer
        self._installation = installation
        self._health = health
        self._by_id: dict[MachineId, Orphan] = {}

    async def load(self) -> None:
        """Read every orphan once; later changes come by `committed`."""
        cursor: str | None = None
        while True:
            page = await self._ledger.store.list(records.ORPHANS, "all", cursor=cursor, limit=500)
            for record in page.records:
                orphan = records.read_orphan(record)
                self._by_id[orphan.id] = orphan
            cursor = page.next_cursor
            if cursor is None:
                return

    def committed(self, _commit: Commit, result: Committed) -> None:
        """Take in a commit of this process."""
        for record in result.records:
            if record.kind != records.ORPHAN:
                continue
            if record.deleted:
                self._by_id.pop(MachineId(record.id), None)
            else:
                orphan = records.read_orphan(record)
                self._by_id[orphan.id] = orphan

    def all(self) -> Sequence[Orphan]:
        """Every orphan, the longest known first, ignored ones included."""
        return sorted(self._by_id.values(), key=lambda orphan: (orphan.first_seen_at, orphan.id))

    def get(self, machine_id: str) -> Orphan | None:
        """An orphan by Novita's id."""
        return self._by_id.get(MachineId(machine_id))

    def seen(self, orphan: Orphan) -> Machine | None:
        """The machine as the last sweeps showed it; None when they did not."""
        found = self._freshness.machines.get(orphan.id)
        return found[0] if found is not None else None

    # ── what people ask ───────────────────────────────────────────────────────────────────────────────────────────────

    async def adopt(self, reference: str, context: Context) -> Snapshot:
        """Take a machine under management, by Novita's id or an unambiguous name. Raises Refusal."""
        return await self._take(self.resolve(reference), context, adoption.adopted, "orphan.adopt", "adopted")

    async def delete(self, machine_id: str, context: Context) -> Snapshot:
        """Delete a machine that we have no record of, or a second one of an instance of ours. Raises Refusal."""
        holder = self._reads.by_machine(machine_id)
        if holder is not None and machine_id in holder.instance.strays:
            return await self._delete_extra(holder.instance.id, MachineId(machine_id), context)
        orphan = self._known(machine_id)
        return await self._take(orphan.id, context, adoption.doomed, "orphan.delete", "deleted as an orphan")

    async def _delete_extra(self, instance_id: InstanceId, machine_id: MachineId, context: Context) -> Snapshot:
        """The instance keeps its own machine; the second one is deleted by the instance's job."""

        async def decide() -> Snapshot:
            snapshot = await self._ledger.load(instance_id)
            if snapshot is None or machine_id not in snapshot.instance.strays:
                raise _not_found(machine_id)
            now = self._ledger.clock.now()
            change = strays.give_up(snapshot.instance, machine_id, by=context.actor.by, why="deleted as asked", at=now)
            noted = self._ledger.note(context, "orphan.delete", target=machine_id, instanceId=instance_id)
            wakes = (self._ledger.wake(change.instance),)
            return (await self._ledger.commit(snapshot.version, change, appends=(noted,), wakes=wakes)).snapshot

        return await until_committed(decide, subject=f"instance {instance_id}")

    async def ignore(self, machine_id: str, context: Context) -> Orphan:
        """Leave a machine alone and out of the usual list. Raises Refusal."""

        async def decide() -> Orphan:
            self._known(machine_id)
            record = await self._ledger.store.get(records.ORPHAN, machine_id)
            if record is None:
                raise _not_found(machine_id)
            orphan = records.read_orphan(record)
            if orphan.standing is Standing.IGNORED:
                return orphan
            at = self._ledger.clock.now()
            ignored = msgspec.structs.replace(orphan, standing=Standing.IGNORED, by=context.actor.by, said_at=at)
            put = records.put_orphan(ignored, expect=record.version)
            noted = self._ledger.note(context, "orphan.ignore", target=orphan.id, name=orphan.name)
            await self._ledger.store.commit(Commit(puts=(put,), appends=(noted,)))
            return ignored

        return await until_committed(decide, subject=f"machine {machine_id}")

    def resolve(self, reference: str) -> MachineId:
        """The unmanaged machine that a person means. Raises Refusal INSTANCE_NOT_FOUND, NAME_AMBIGUOUS, INVALID_STATE."""
        managed = self._reads.by_machine(reference) or self._reads.get(reference)
        if managed is not None:
            raise Refusal(
                Code.INVALID_STATE,
                f"{reference} is managed already, as instance {managed.instance.id}",
                details={"instanceId": managed.instance.id},
            )
        if reference in self._by_id:
            return MachineId(reference)
        named = [orphan.id for orphan in self._by_id.values() if orphan.name == reference]
        if len(named) > 1:
            raise Refusal(
                Code.NAME_AMBIGUOUS,
                f"{len(named)} unmanaged machines are named {reference!r}; use one of their ids: {', '.join(named)}",
                details={"novitaInstanceIds": named},
            )
        if not named:
            raise _not_found(reference)
        return named[0]

    # ── what the reconciler does ──────────────────────────────────────────────────────────────────────────────────────

    async def fresh(self, machines: Mapping[MachineId, Machine]) -> list[Orphan]:
        """Those of these unmanaged machines that have no orphan's record yet, with their price as far as it can be known."""
        if any(machine.price_per_hour is None for machine in machines.values() if machine.id not in self._by_id):
            with suppress(Refusal):  # without a catalogue they are told of without a price, and shown with it later
                await self._catalogue.for_acceptance()
        now, catalogue = self._ledger.clock.now(), self._catalogue.known
        return [
            adoption.orphan(machine, catalogue=catalogue, installation=self._installation, at=now)
            for machine in machines.values()
            if machine.id not in self._by_id
            and self._reads.by_machine(machine.id) is None  # somebody may just have taken it
        ]

    async def record(self, found: Sequence[Orphan], lease: Lease | None) -> None:
        """Write new orphans, and tell of each."""
        for start in range(0, len(found), TOLD_AT_ONCE):
            some = found[start : start + TOLD_AT_ONCE]
            puts = [records.put_orphan(orphan, expect=0) for orphan in some]
            await self._ledger.tell([found_fact(orphan) for orphan in some], puts=puts, lease=lease)

    async def forget(self, machine_ids: Sequence[MachineId], lease: Lease | None) -> None:
        """Drop orphans that are gone, or managed by now."""
        if machine_ids:
            deletes = tuple(Delete(kind=records.ORPHAN, id=machine_id) for machine_id in machine_ids)
            await self._ledger.store.commit(Commit(deletes=deletes, lease=lease))

    async def exists(self, machine_id: MachineId) -> bool:
        """Whether Novita has a machine, read singly: lists lag and lie. Raises a ProviderFailure when that cannot be known now."""
        try:
            machine = await self._provider.machine(machine_id, Call(share=Share.OBSERVE, longest_wait=LONGEST_WAIT))
        except Gone:
            return False
        return not machine.status.leaving

    async def is_to_be_restored(self, machine: Machine) -> bool:
        """Whether a machine bears our marker, nobody said to leave it alone, and we do not know how it came to be: then its record is
        lost. What we know to have bought outlives an instance that was deleted, and somebody wanted it gone.
        """
        marker, known = adoption.ours(machine.name, self._installation), self.get(machine.id)
        if marker is None or (known is not None and known.standing is Standing.IGNORED):
            return False
        bought = await self._ledger.store.get(records.ATTEMPT, attempt_id(marker.instance_id, marker.attempt))
        return bought is None and await self._ledger.load(marker.instance_id) is None

    async def restore(self, machine: Machine, instance_id: InstanceId, context: Context) -> Snapshot | None:
        """Take back a machine that bears our marker and whose record is gone, under its old id. None when it turns out to be gone, or
        its record to be there.
        """
        reason = "bears this installation's marker"
        try:
            return await self._adopt(machine.id, context, adoption.adopted, "orphan.adopt", reason, instance_id)
        except (Gone, Conflict):
            return None

    async def _take(
        self, machine_id: MachineId, context: Context, decide: Decide, action: str, reason: str
    ) -> Snapshot:
        instance_id = await self._id_for(self._known(machine_id))
        try:
            return await self._adopt(machine_id, context, decide, action, reason, instance_id)
        except Gone:
            raise _not_found(machine_id) from None
        except Conflict:
            raise Refusal(
                Code.CONFLICT, f"machine {machine_id} was just taken by somebody else", retry_after=1.0
            ) from None

    async def _id_for(self, orphan: Orphan) -> InstanceId:
        """The id in the machine's name when nobody has it any more, else a new one."""
        marker = adoption.ours(orphan.name, self._installation)
        if marker is not None and await self._ledger.load(marker.instance_id) is None:
            return marker.instance_id
        return InstanceId(self._ledger.ids.new("inst"))

    async def _adopt(
        self,
        machine_id: MachineId,
        context: Context,
        decide: Decide,
        action: str,
        reason: str,
        instance_id: InstanceId,
    ) -> Snapshot:
        """Read a machine singly and write its record. Raises Gone, Conflict, ProviderFailure."""
        kept = await self._ledger.store.get(records.ORPHAN, machine_id)
        if kept is None or self._reads.by_machine(machine_id) is not None:
            raise Conflict(f"{machine_id} is managed")
        read_at = self._ledger.clock.now()
        machine = await self._provider.machine(machine_id, Call(share=Share.ACT, longest_wait=LONGEST_WAIT))
        if machine.status.leaving:
            raise Gone(f"machine {machine_id} is being removed")
        password = self._sealer.seal(machine.password) if machine.password else None
        taking = Taking(
            instance_id=instance_id,
            operation_id=self._ledger.ids.new("op"),
            correlation_id=context.correlation_id,
            owner=context.actor.owner,
            by=context.actor.by,
            reason=reason,
            at=self._ledger.clock.now(),
            price=adoption.price_of(machine, self._catalogue.known),
            health_check=self._health,
        )
        change = decide(Sighting(machine=machine, at=read_at, confirmed=True, password=password), taking)
        detail = self._why(machine) if context.actor.policy else {}
        noted = self._ledger.note(
            context, action, target=machine_id, instanceId=instance_id, name=machine.name, **detail
        )
        # Guarded by the orphan's record, so that a machine is taken once, whoever asks at the same moment.
        taken = Delete(kind=records.ORPHAN, id=machine_id, expect=kept.version)
        wakes = (self._ledger.wake(change.instance),)
        written = await self._ledger.commit(0, change, deletes=(taken,), appends=(noted,), wakes=wakes)
        return written.snapshot

    def _why(self, machine: Machine) -> dict[str, Any]:
        why = adoption.restored(machine, adoption.ours(machine.name, self._installation))
        return {"because": why.because, "facts": why.facts}

    def _known(self, machine_id: str) -> Orphan:
        orphan = self.get(machine_id)
        if orphan is None:
            raise _not_found(machine_id)
        return orphan


def found_fact(orphan: Orphan) -> Fact:
    """That a machine runs, or lies, which nobody has a record of."""
    price = orphan.price_per_hour
    whose = (
        "It bears our marker: it is taken back if its record is lost, and left alone if its instance was deleted"
        if orphan.ours
        else "Nothing touches it"
    )
    return Fact(
        type=FactType.ORPHAN_FOUND,
        at=orphan.first_seen_at,
        actor="observer",
        reason=f"the account has a machine that no record knows of. {whose}",
        data={
            "machineId": orphan.id,
            "action": "found",
            "name": orphan.name,
            "machineStatus": str(orphan.status),
            "productName": orphan.product_name,
            "region": orphan.region,
            "gpuNum": orphan.gpu_num,
            "pricePerHour": dollars(price) if price is not None else None,
            "createdAt": iso_or_none(orphan.created_at or None),
            "firstSeenAt": iso(orphan.first_seen_at),
            "ours": orphan.ours,
        },
    )


def _not_found(reference: str) -> Refusal:
    return Refusal(Code.INSTANCE_NOT_FOUND, f"the account has no unmanaged machine {reference!r}")
