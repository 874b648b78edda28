"""The read model: every live instance in memory, fed by the store's commits and its change feed.

Lists, details and the observer read from here; no reader of live instances waits for the disk or for Novita. A change
committed by this process is here before its caller goes on. Whoever waits for a change (`?wait=ready`, `Prefer: wait`)
waits here, too.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import structlog

from novitai.domain.errors import Code, Refusal
from novitai.domain.ids import InstanceId, MachineId
from novitai.domain.instance import Instance
from novitai.domain.lifecycle import State
from novitai.operations import records
from novitai.operations.ledger import Snapshot, snapshot_of
from novitai.ports.store import Commit, Committed, Record, Store
from novitai.ports.world import Clock

RESERVED_NAMES = frozenset(
    {"start", "stop", "delete", "sync", "stop-all", "bulk", "comprehensive", "auto-stop", "migration"}
)
GONE_REMEMBERED = 10_000
Listener = Callable[[Snapshot], None]

log = structlog.get_logger("novitai.reads")


class ReadModel:
    """Live instances by id, machine and name."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_id: dict[InstanceId, Snapshot] = {}
        self._revisions: dict[InstanceId, int] = {}
        self._by_machine: dict[MachineId, InstanceId] = {}
        self._by_name: dict[str, set[InstanceId]] = {}
        self._buying: set[InstanceId] = set()
        self._listeners: set[Listener] = set()
        self._last_used: dict[str, float] = {}
        self._revision = 0
        self._gone: deque[InstanceId] = deque()

    async def load(self) -> None:
        """Read every live instance once; later changes come by `committed` and `follow`."""
        self._revision = await self._store.revision()
        found: set[str] = set()
        cursor: str | None = None
        while True:
            page = await self._store.list(records.INSTANCES, "live", cursor=cursor, limit=500)
            found |= {record.id for record in page.records}
            self._apply(page.records)
            await self._load_activity([record.id for record in page.records])
            cursor = page.next_cursor
            if cursor is None:
                break
        for instance_id in [known for known in self._by_id if known not in found]:
            if self._revisions[instance_id] <= self._revision:
                self._forget(instance_id)  # it was deleted and forgotten while we could not follow

    def last_used(self, instance_id: str) -> float | None:
        """When the instance was last used, as its users told."""
        return self._last_used.get(instance_id)

    def committed(self, _commit: Commit, result: Committed) -> None:
        """Take in a commit of this process."""
        self._apply(result.records)

    async def follow(self) -> None:
        """Take in what other replicas wrote since the last time."""
        while True:
            changes = await self._store.changes(self._revision)
            if changes.truncated:
                await self.load()
                return
            self._apply(changes.records)
            self._revision = changes.revision
            if not changes.records:
                return

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each new state of an instance, deleted ones included; returns how to stop that."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def all(self) -> Sequence[Snapshot]:
        """Every live instance."""
        return tuple(self._by_id.values())

    def get(self, instance_id: str) -> Snapshot | None:
        """A live instance by our id."""
        return self._by_id.get(InstanceId(instance_id))

    def backlog(self) -> int:
        """How many creates wait for their machine to be bought; those that wait for capacity as asked take up no room."""
        return len(self._buying)

    def by_machine(self, machine_id: str) -> Snapshot | None:
        """The live instance whose machine this is (present, former, discarded or stray)."""
        found = self._by_machine.get(MachineId(machine_id))
        return self._by_id.get(found) if found is not None else None

    def named(self, name: str) -> tuple[Snapshot, ...]:
        """Live instances of a name, oldest first."""
        return tuple(self._by_id[instance_id] for instance_id in sorted(self._by_name.get(name, ())))

    def find(self, reference: str) -> Snapshot | None:
        """What a person means by `{id}`: our id, Novita's, or a name. Raises Refusal NAME_AMBIGUOUS with the ids."""
        found = self.get(reference) or self.by_machine(reference)
        return found or self.find_name(reference)

    def find_name(self, name: str) -> Snapshot | None:
        """The one live instance of this name. Raises Refusal NAME_AMBIGUOUS with the ids."""
        named = self.named(name)
        if len(named) > 1:
            ids = [snapshot.instance.id for snapshot in named]
            raise Refusal(
                Code.NAME_AMBIGUOUS,
                f"{len(ids)} instances are named {name!r}; use one of their ids: {', '.join(ids)}",
                details={"instanceIds": ids},
            )
        return named[0] if named else None

    async def wait_until(
        self, instance_id: str, done: Callable[[Instance], bool], *, seconds: float, clock: Clock
    ) -> Instance | None:
        """Wait for a state of an instance; the latest state when the time is over, None when there is no such live
        instance.
        """
        latest = self.get(instance_id)
        if latest is None or done(latest.instance) or seconds <= 0:
            return latest.instance if latest else None
        arrived = asyncio.Event()
        seen = [latest.instance]

        def take(snapshot: Snapshot) -> None:
            if snapshot.instance.id == instance_id:
                seen[0] = snapshot.instance
                if done(snapshot.instance):
                    arrived.set()

        stop = self.listen(take)
        timer = asyncio.ensure_future(clock.sleep(seconds))
        waiter = asyncio.ensure_future(arrived.wait())
        try:
            await asyncio.wait({timer, waiter}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop()
            timer.cancel()
            waiter.cancel()
        return seen[0]

    def _apply(self, changed: Iterable[Record]) -> None:
        for record in changed:
            if record.kind == records.ACTIVITY and not record.deleted:
                self._last_used[record.id] = records.read_activity(record).last_used_at
            if record.kind != records.INSTANCE:
                continue
            instance_id = InstanceId(record.id)
            if self._revisions.get(instance_id, 0) >= record.revision:
                continue
            self._revisions[instance_id] = record.revision
            self._forget(instance_id)
            if record.deleted:
                continue
            snapshot = snapshot_of(record)
            if snapshot.instance.state is not State.DELETED:
                self._remember(snapshot)
            else:
                self._remember_gone(instance_id)
                self._last_used.pop(instance_id, None)
            self._tell(snapshot)

    def _tell(self, snapshot: Snapshot) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(snapshot)
            except Exception:  # one who stumbles keeps neither the others nor the read model from going on
                log.exception("change_listener_failed", instanceId=snapshot.instance.id)

    async def _load_activity(self, instance_ids: Sequence[str]) -> None:
        found = await self._store.get_many(records.ACTIVITY, instance_ids)
        self._apply(found.values())

    def _remember(self, snapshot: Snapshot) -> None:
        instance = snapshot.instance
        self._by_id[instance.id] = snapshot
        self._by_name.setdefault(instance.name, set()).add(instance.id)
        if _is_bought(instance):
            self._buying.add(instance.id)
        for machine_id in machines_of(instance):
            self._by_machine[machine_id] = instance.id

    def _remember_gone(self, instance_id: InstanceId) -> None:
        """Keep for a while which revision ended an instance: an older reading must not bring it back."""
        self._gone.append(instance_id)
        if len(self._gone) > GONE_REMEMBERED:
            self._revisions.pop(self._gone.popleft(), None)

    def _forget(self, instance_id: InstanceId) -> None:
        old = self._by_id.pop(instance_id, None)
        if old is None:
            return
        self._buying.discard(instance_id)
        same_name = self._by_name.get(old.instance.name, set())
        same_name.discard(instance_id)
        if not same_name:
            self._by_name.pop(old.instance.name, None)
        for machine_id in machines_of(old.instance):
            self._by_machine.pop(machine_id, None)


def _is_bought(instance: Instance) -> bool:
    waits = instance.spec.wait_for_capacity_seconds is not None
    return instance.state is State.CREATING and instance.machine is None and not waits


def machines_of(instance: Instance) -> tuple[MachineId, ...]:
    """Every machine on Novita that belongs to an instance."""
    present = (instance.machine.id,) if instance.machine is not None else ()
    former = (instance.former.machine.id,) if instance.former is not None else ()
    return (*present, *former, *instance.discarded, *instance.strays)
