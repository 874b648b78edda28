"""What was done or concluded without anybody asking, and has no reason: looked for in what was told, and in the words that stand.

    assert await unexplained(house.store) == []

The event log says what happened, the audit log why. Everything that nobody asked for needs an entry with `because` and `facts`, written
about when it happened.
"""

from collections.abc import Iterable, Iterator

from novitai.domain.audit import AuditEntry
from novitai.domain.events import Event
from novitai.domain.instance import Instance
from novitai.operations import records
from novitai.ports.store import Store

CONCLUDED = frozenset(
    {"failed", "startup_failed", "lost", "reclaimed", "migrating", "migration_failed", "orphan_found"}
)
"""What is told of only because something was concluded or decided by itself."""
BEGUN = frozenset({"startup_initiated", "stopping", "idle_warning"})
"""What is told of when somebody's word is taken; whoever is no user of ours has to say why."""
WRITTEN_WITHIN = 200.0
"""News bears the time of its reading, and a reason that of its commit; in between the disk may have been away."""


def reasons_in(bodies: Iterable[bytes]) -> list[AuditEntry]:
    """The decisions among audit entries."""
    return [entry for body in bodies if "because" in (entry := records.read_audit(body)).detail]


def without_reason(instance: Instance, events: Iterable[Event], reasons: list[AuditEntry]) -> Iterator[str]:
    """What of one instance has none, or one that says nothing."""
    for entry in reasons:
        if not entry.detail["because"] or "None" in entry.detail["because"] or "facts" not in entry.detail:
            yield f"{entry.action} of {instance.id} says nothing: {entry.detail}"
    unasked = [(event.at, str(event.type)) for event in events if _by_itself(event)]
    if not instance.desired.by.startswith("user:"):
        unasked.append((instance.desired.at, f"the word of {instance.desired.by}"))
    for at, what in unasked:
        if not any(at - 1.0 <= entry.at <= at + WRITTEN_WITHIN for entry in reasons):
            yield f"{what} of {instance.id} at {at:.3f} has no reason"


async def unexplained(store: Store) -> list[str]:
    """The same for everything in a store."""
    found: list[str] = []
    for partition in ("live", "deleted"):
        cursor: str | None = None
        while True:
            page = await store.list(records.INSTANCES, partition, cursor=cursor, limit=500)
            for record in page.records:
                instance = records.read_instance(record)
                events = map(records.read_event, await _log(store, records.EVENTS, f"instance:{instance.id}"))
                reasons = reasons_in(await _log(store, records.AUDIT, f"target:{instance.id}"))
                found += without_reason(instance, events, reasons)
            cursor = page.next_cursor
            if cursor is None:
                break
    return found


async def _log(store: Store, log: str, key: str) -> list[bytes]:
    bodies: list[bytes] = []
    after: int | None = None
    while True:
        page = await store.read_log(log, key, after=after, limit=500)
        bodies += [entry.body for entry in page.entries]
        after = page.next_position
        if after is None:
            return bodies


def _by_itself(event: Event) -> bool:
    kind = str(event.type).removeprefix("instance.")
    return kind in CONCLUDED or (kind in BEGUN and not event.actor.startswith("user:"))
