"""The third beat: one guarded commit of everything that a change means.

A change of an instance is written together with its facts (event log), their deliveries (outbox) and the follow-up
jobs. Nobody else writes an instance; operations and reconcilers both come through here, so that no fact can be told
without its change and no change without its facts.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from novitai.domain.audit import AuditEntry
from novitai.domain.change import Change
from novitai.domain.costs import Segment
from novitai.domain.delivery import GLOBAL_ENDPOINT, Endpoint
from novitai.domain.events import Event, Fact
from novitai.domain.instance import Instance, Verb
from novitai.domain.lifecycle import State
from novitai.operations import audit, records
from novitai.operations.requests import Context
from novitai.policies import fanout
from novitai.policies.decisions import explained
from novitai.ports.store import (
    Append,
    Check,
    Commit,
    Committed,
    Conflict,
    Delete,
    Finish,
    Lease,
    Priority,
    Put,
    Record,
    Store,
    StoreUnavailable,
    Wake,
)
from novitai.ports.world import Clock, Ids

STORE_AWAY_PAUSE_SECONDS = 0.5

Metered = Callable[[Instance, float], Instance]
"""The instance with its meter brought up to what its record says at a time (`policies/costs.py`)."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """An instance with the version it was read at: what a commit expects. Version 0: not yet stored."""

    instance: Instance
    version: int


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit of a change left behind."""

    snapshot: Snapshot
    events: tuple[Event, ...]


class Ledger:
    """Builds and makes the commits. `global_url` is the endpoint of the settings, if there is one; `metered` knows what machines cost."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        ids: Ids,
        global_url: str | None,
        retention_seconds: float,
        metered: Metered = lambda instance, _: instance,
    ) -> None:
        self.store = store
        self.clock = clock
        self.ids = ids
        self._global_url = global_url
        self._retention = retention_seconds
        self._metered = metered

    async def load(self, instance_id: str) -> Snapshot | None:
        """The instance as the store has it now."""
        record = await self.store.get(records.INSTANCE, instance_id)
        return snapshot_of(record) if record is not None else None

    async def commit(
        self,
        version: int,
        change: Change,
        *,
        checks: Sequence[Check] = (),
        puts: Sequence[Put] = (),
        deletes: Sequence[Delete] = (),
        appends: Sequence[Append] = (),
        wakes: Sequence[Wake] = (),
        finish: Finish | None = None,
        lease: Lease | None = None,
    ) -> Written:
        """Write a change decided on the snapshot of this version (0: a new instance), with why it was decided, when nobody asked for it.
        Raises Conflict or LeaseLost and writes nothing.
        """
        now = self.clock.now()
        instance, segments = _drained(self._metered(change.instance, now))
        instance, events = fanout.number(instance, change.facts, new_id=self.ids.new)
        endpoints = fanout.endpoints_of(instance, global_url=self._global_url)
        deliveries = fanout.deliveries(events, endpoints, instance_id=instance.id, new_id=self.ids.new)
        costs = (records.append_cost(one, entry_id=self.ids.new("cst"), at=now) for one in segments)
        commit = Commit(
            checks=tuple(checks),
            puts=(
                records.put_instance(instance, expect=version, retention_seconds=self._retention),
                *puts,
                *(records.put_delivery(delivery, expect=0) for delivery in deliveries),
            ),
            deletes=tuple(deletes),
            appends=(*(records.append_event(event) for event in events), *costs, *self._decided(change, now), *appends),
            wakes=(
                *wakes,
                *(records.wake_delivery(d, job_id=self.ids.new("job"), due=now) for d in deliveries),
            ),
            finish=finish,
            lease=lease,
        )
        committed = await self.store.commit(commit)
        return Written(snapshot=Snapshot(instance=instance, version=_version(committed, instance)), events=events)

    async def apply(
        self,
        instance_id: str,
        decide: Callable[[Instance], Change],
        *,
        attempt: Callable[[Instance], Put | None] = lambda _: None,
        wake: bool = True,
    ) -> Snapshot | None:
        """Apply a fact (the answer of a call, a reading) to fresh snapshots until it is committed.

        `decide` must give an unchanged instance when there is nothing left to change. None: the instance is not kept
        any more. While the store is away this waits and goes on: an answer of Novita's is not forgotten because a disk
        was full.
        """
        losses = 0
        while True:
            try:
                snapshot = await self.load(instance_id)
                if snapshot is None:
                    return None
                change = explained(snapshot.instance, decide(snapshot.instance))
                put = attempt(change.instance)
                if change.instance == snapshot.instance and not change.facts and put is None:
                    return snapshot
                wakes = (self.wake(change.instance),) if wake else ()
                puts = (put,) if put is not None else ()
                return (await self.commit(snapshot.version, change, puts=puts, wakes=wakes)).snapshot
            except Conflict:
                losses += 1
                if losses % 10 == 0:
                    await self.clock.sleep(0.05)
            except StoreUnavailable:
                await self.clock.sleep(STORE_AWAY_PAUSE_SECONDS)

    def _decided(self, change: Change, now: float) -> tuple[Append, ...]:
        """Why, for the audit log, when nobody asked us for the change."""
        decision, instance = change.decision, change.instance
        if decision is None:
            return ()
        detail = {"because": decision.why.because, "facts": decision.why.facts, "state": str(instance.state)}
        entry = AuditEntry(
            id=self.ids.new("aud"),
            at=now,
            by=decision.by,
            action=decision.action,
            target=instance.id,
            detail=detail,
            correlation_id=instance.operation.correlation_id,
        )
        return (records.append_audit(entry),)

    async def tell(
        self,
        facts: Sequence[Fact],
        *,
        correlation_id: str = "",
        puts: Sequence[Put] = (),
        appends: Sequence[Append] = (),
        lease: Lease | None = None,
    ) -> tuple[Event, ...]:
        """Write facts that belong to no instance (the key refused, the breaker opened)."""
        events = tuple(
            Event(
                id=self.ids.new("evt"),
                sequence=0,
                type=fact.type,
                instance_id=None,
                machine_id=None,
                at=fact.at,
                actor=fact.actor,
                reason=fact.reason,
                before=None,
                after=None,
                correlation_id=correlation_id,
                elapsed_ms=0,
                data=fact.data,
            )
            for fact in facts
        )
        endpoints = (Endpoint(id=GLOBAL_ENDPOINT, url=self._global_url),) if self._global_url else ()
        deliveries = fanout.deliveries(events, endpoints, instance_id=None, new_id=self.ids.new)
        now = self.clock.now()
        await self.store.commit(
            Commit(
                puts=(*puts, *(records.put_delivery(delivery, expect=0) for delivery in deliveries)),
                appends=(*(records.append_event(event) for event in events), *appends),
                wakes=tuple(records.wake_delivery(d, job_id=self.ids.new("job"), due=now) for d in deliveries),
                lease=lease,
            )
        )
        return events

    def note(self, context: Context, action: str, *, target: str, **detail: Any) -> Append:
        """The audit entry of a change, for its commit."""
        new_id, now = self.ids.new("aud"), self.clock.now()
        return audit.entry(context, action, target=target, entry_id=new_id, at=now, detail=detail)

    async def write_down(self, context: Context, action: str, *, target: str, **detail: Any) -> None:
        """Commit the audit entry of a change that writes nothing else to the store."""
        await self.store.commit(Commit(appends=(self.note(context, action, target=target, **detail),)))

    def wake(self, instance: Instance, *, due: float | None = None) -> Wake:
        """The job that looks after an instance, with the type and priority that its state asks for."""
        kind, priority = work_of(instance)
        return Wake(
            key=records.instance_key(instance.id),
            id=self.ids.new("job"),
            type=kind,
            lane=records.LANE_INSTANCES,
            priority=priority,
            due=self.clock.now() if due is None else due,
            payload=records.job_payload(correlation_id=instance.operation.correlation_id, instance_id=instance.id),
        )


def snapshot_of(record: Record) -> Snapshot:
    """The snapshot in a stored document."""
    return Snapshot(instance=records.read_instance(record), version=record.version)


def _drained(instance: Instance) -> tuple[Instance, tuple[Segment, ...]]:
    """The instance as it is stored, and the charges that ended: they go to the log."""
    closed = instance.meter.closed
    if not closed:
        return instance, ()
    return msgspec.structs.replace(instance, meter=msgspec.structs.replace(instance.meter, closed=())), closed


def work_of(instance: Instance) -> tuple[str, Priority]:
    """Type and priority of the work that an instance needs now: stop and delete first, then starts, creates, the
    rest.
    """
    operation = instance.operation
    if instance.state is State.DELETING:
        return "delete_instance", Priority.CRITICAL
    if operation.under_way and operation.verb is Verb.STOP:
        return "stop_instance", Priority.CRITICAL
    if operation.under_way and operation.verb in {Verb.START, Verb.RESTART}:
        accepted = operation.accepted_at is not None
        return ("monitor_instance" if accepted else "start_instance"), Priority.HIGH
    if operation.under_way and operation.verb is Verb.MIGRATE:
        return ("monitor_instance" if operation.accepted_at is not None else "migrate_instance"), Priority.HIGH
    if operation.under_way and operation.verb is Verb.CREATE and instance.machine is None:
        return "create_instance", Priority.NORMAL
    return "monitor_instance", Priority.HIGH if operation.under_way else Priority.LOW


def _version(committed: Committed, instance: Instance) -> int:
    return next(r.version for r in committed.records if r.kind == records.INSTANCE and r.id == instance.id)
