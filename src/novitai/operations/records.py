"""Domain values ↔ stored documents: the kinds, their codecs and the declared lists. The only place that knows how a
noun is kept.
"""

from typing import Any

import msgspec

from novitai.domain.audit import AuditEntry, Seal
from novitai.domain.automation import Switch
from novitai.domain.budget import Budget, BudgetMemory
from novitai.domain.costs import BalanceSeen, Day, DaySums, Segment
from novitai.domain.delivery import Delivery
from novitai.domain.events import Event
from novitai.domain.idle import Activity, IdleMemory, IdleTotals
from novitai.domain.instance import Attempt, AttemptOutcome, Instance
from novitai.domain.keys import ApiKey
from novitai.domain.lifecycle import State
from novitai.domain.orphan import Orphan
from novitai.domain.prices import PriceEntry
from novitai.domain.standing import Standing
from novitai.domain.times import date
from novitai.ports.store import Append, ListEntry, Priority, Put, Record, Wake

INSTANCE, ATTEMPT, DELIVERY, RECEIPT, KEY, ACTIVITY = "instance", "attempt", "delivery", "receipt", "key", "activity"
ORPHAN, SEAL, AUTOMATION, SYNC_REPORT = "orphan", "audit_seal", "automation", "sync_report"
IDLE, IDLE_TOTALS = "idle", "idle_totals"
TRIGGER_REPORT = "trigger_report"
BUDGET, BUDGET_MEMORY, STANDING = "budget", "budget_memory", "standing"
BUDGETS, BUDGET_MEMORIES = "budgets", "budget_memories"
"""Declared lists, partition `all`."""
META = "meta"
"""What is made once with the store: the installation's id, the key of the seals, the box by which the right sealing key is known."""

INSTANCES, DELIVERIES, ATTEMPTS, KEYS, ORPHANS, SEALS, IDLES = (
    "instances",
    "deliveries",
    "attempts",
    "keys",
    "orphans",
    "audit_seals",
    "idles",
)
"""Declared lists. Partitions: instances `live` / `deleted`; deliveries by status and by `instance:<id>`; attempts by
instance; keys, orphans, seals and idle memories `all`.
"""

EVENTS, JOBS, AUDIT, PRICES = "events", "jobs", "audit", "prices"
"""Logs. Keys of events: `all`, `instance:<id>`, `type:<type>`; of audit entries: `all`, `by:<by>`, `target:<target>`; of prices:
`all`.
"""

PRICE_ALERTS, TOLD = "price_alerts", "told"
"""Kind and id of the document that says which price alerts have been told."""

COSTS = "costs"
"""Log of the charges that ended, by `all` and `instance:<id>`. What days came to: kinds COST_DAY (rows) and COST_SUMS (their sums,
listed in COST_SUMS under `all`), both by the day's date.
"""
COST_DAY, COST_SUMS, COST_BALANCE = "cost_day", "cost_sums", "cost_balance"

LANE_INSTANCES, LANE_DELIVERIES, LANE_MAINTENANCE = "instances", "deliveries", "maintenance"

_ENCODER = msgspec.json.Encoder()
_INSTANCE, _ATTEMPT, _DELIVERY, _EVENT, _KEY, _PRICES = (
    msgspec.json.Decoder(Instance),
    msgspec.json.Decoder(Attempt),
    msgspec.json.Decoder(Delivery),
    msgspec.json.Decoder(Event),
    msgspec.json.Decoder(ApiKey),
    msgspec.json.Decoder(PriceEntry),
)
_SEGMENT, _DAY, _SUMS = msgspec.json.Decoder(Segment), msgspec.json.Decoder(Day), msgspec.json.Decoder(DaySums)
DELIVERY_RETENTION_SECONDS = 30 * 86_400.0
EVIDENCE_RETENTION_SECONDS = 90 * 86_400.0
"""For attempts, from when they were sent, and last uses: as long as events, which tell of the same things."""


def sort_key(at: float) -> str:
    """A time as text that sorts like the number."""
    return f"{at:020.6f}"


def instance_key(instance_id: str) -> str:
    """The job key of an instance."""
    return f"instance:{instance_id}"


def delivery_key(delivery_id: str) -> str:
    """The job key of a delivery."""
    return f"delivery:{delivery_id}"


def put_instance(instance: Instance, *, expect: int | None, retention_seconds: float) -> Put:
    """An instance as a document; a deleted one is kept for the retention time."""
    gone = instance.state is State.DELETED
    partition = "deleted" if gone else "live"
    return Put(
        kind=INSTANCE,
        id=instance.id,
        body=_ENCODER.encode(instance),
        expect=expect,
        entries=(ListEntry(INSTANCES, partition, sort_key(instance.created_at)),),
        fed=True,
        expires_at=(instance.deleted_at or 0.0) + retention_seconds if gone else None,
    )


def read_instance(record: Record) -> Instance:
    """The instance in a document."""
    return _INSTANCE.decode(record.body)


def put_attempt(attempt: Attempt, *, expect: int | None = None) -> Put:
    """An attempt as a document, kept for a while after its outcome is known; an open one is never forgotten."""
    entry = ListEntry(ATTEMPTS, attempt.instance_id, f"{attempt.number:06d}")
    known = attempt.outcome is not AttemptOutcome.OPEN
    return Put(
        kind=ATTEMPT,
        id=attempt.id,
        body=_ENCODER.encode(attempt),
        expect=expect,
        entries=(entry,),
        expires_at=attempt.sent_at + EVIDENCE_RETENTION_SECONDS if known else None,
    )


def read_attempt(record: Record) -> Attempt:
    """The attempt in a document."""
    return _ATTEMPT.decode(record.body)


def put_delivery(delivery: Delivery, *, expect: int | None = None) -> Put:
    """A delivery as a document, listed by its status and by its instance."""
    at = sort_key(delivery.created_at)
    entries = [ListEntry(DELIVERIES, str(delivery.status), at)]
    if delivery.instance_id is not None:
        entries.append(ListEntry(DELIVERIES, f"instance:{delivery.instance_id}", at))
    return Put(
        kind=DELIVERY,
        id=delivery.id,
        body=_ENCODER.encode(delivery),
        expect=expect,
        entries=tuple(entries),
        expires_at=delivery.created_at + DELIVERY_RETENTION_SECONDS,
    )


def read_delivery(record: Record) -> Delivery:
    """The delivery in a document."""
    return _DELIVERY.decode(record.body)


def wake_delivery(delivery: Delivery, *, job_id: str, due: float) -> Wake:
    """The job that sends a delivery."""
    return Wake(
        key=delivery_key(delivery.id),
        id=job_id,
        type="send_webhook",
        lane=LANE_DELIVERIES,
        priority=Priority.NORMAL,
        due=due,
        payload=job_payload(correlation_id=delivery.correlation_id, instance_id=delivery.instance_id),
    )


def append_event(event: Event) -> Append:
    """An event as a log entry."""
    keys = ["all", f"type:{event.type}"]
    if event.instance_id is not None:
        keys.append(f"instance:{event.instance_id}")
    return Append(log=EVENTS, id=event.id, keys=tuple(keys), at=event.at, body=_ENCODER.encode(event))


def read_event(data: bytes) -> Event:
    """The event in a log entry."""
    return _EVENT.decode(data)


def put_key(key: ApiKey, *, expect: int | None) -> Put:
    """An API key as a document."""
    entry = ListEntry(KEYS, "all", sort_key(key.created_at))
    return Put(kind=KEY, id=key.id, body=_ENCODER.encode(key), expect=expect, entries=(entry,), fed=True)


def read_key(record: Record) -> ApiKey:
    """The key in a document."""
    return _KEY.decode(record.body)


def put_activity(activity: Activity, *, expect: int) -> Put:
    """A last use as a document. Once it is forgotten the instance counts as unused since it was ready, which comes to the
    same after so long.
    """
    return Put(
        kind=ACTIVITY,
        id=activity.instance_id,
        body=_ENCODER.encode(activity),
        expect=expect,
        fed=True,
        expires_at=activity.last_used_at + EVIDENCE_RETENTION_SECONDS,
    )


def read_activity(record: Record) -> Activity:
    """The last use in a document."""
    return msgspec.json.decode(record.body, type=Activity)


def append_audit(entry: AuditEntry) -> Append:
    """An audit entry as a log entry; one about a machine is found under its instance, too."""
    targets = dict.fromkeys((entry.target, entry.detail.get("instanceId") or entry.target))
    keys = ("all", f"by:{entry.by}", *(f"target:{target}" for target in targets))
    return Append(log=AUDIT, id=entry.id, keys=keys, at=entry.at, body=_ENCODER.encode(entry))


def read_audit(data: bytes) -> AuditEntry:
    """The audit entry in a log entry."""
    return msgspec.json.decode(data, type=AuditEntry)


def put_seal(seal: Seal) -> Put:
    """A new seal as a document; there is never a second one of its number."""
    entry = ListEntry(SEALS, "all", f"{seal.number:012d}")
    return Put(kind=SEAL, id=f"{seal.number:012d}", body=_ENCODER.encode(seal), expect=0, entries=(entry,))


def read_seal(record: Record) -> Seal:
    """The seal in a document."""
    return msgspec.json.decode(record.body, type=Seal)


def put_orphan(orphan: Orphan, *, expect: int | None) -> Put:
    """An orphan as a document."""
    entry = ListEntry(ORPHANS, "all", sort_key(orphan.first_seen_at))
    return Put(kind=ORPHAN, id=orphan.id, body=_ENCODER.encode(orphan), expect=expect, entries=(entry,), fed=True)


def read_orphan(record: Record) -> Orphan:
    """The orphan in a document."""
    return msgspec.json.decode(record.body, type=Orphan)


def put_switch(switch: Switch, *, expect: int) -> Put:
    """The automation's switch as the one document of its kind."""
    return Put(kind=AUTOMATION, id="switch", body=_ENCODER.encode(switch), expect=expect, fed=True)


def read_switch(record: Record) -> Switch:
    """The switch in its document."""
    return msgspec.json.decode(record.body, type=Switch)


def append_cost(segment: Segment, *, entry_id: str, at: float) -> Append:
    """A charge that ended, as a log entry."""
    keys = ("all", f"instance:{segment.instance}")
    return Append(log=COSTS, id=entry_id, keys=keys, at=at, body=_ENCODER.encode(segment))


def read_cost(data: bytes) -> Segment:
    """The ended charge in a log entry."""
    return _SEGMENT.decode(data)


def put_cost_day(day: Day, *, expires_at: float) -> Put:
    """What a day came to, row by row, as a document."""
    return Put(kind=COST_DAY, id=date(day.start), body=_ENCODER.encode(day), expires_at=expires_at)


def read_cost_day(record: Record) -> Day:
    """The day in its document."""
    return _DAY.decode(record.body)


def put_cost_sums(sums: DaySums, *, expect: int | None, expires_at: float) -> Put:
    """What a day came to, in sums, as a document."""
    key = date(sums.start)
    return Put(
        kind=COST_SUMS,
        id=key,
        body=_ENCODER.encode(sums),
        expect=expect,
        entries=(ListEntry(COST_SUMS, "all", key),),
        expires_at=expires_at,
        fed=True,
    )


def read_cost_sums(record: Record) -> DaySums:
    """The sums in their document."""
    return _SUMS.decode(record.body)


def put_balance(seen: BalanceSeen) -> Put:
    """The balance as it was last told of, as the one document of its kind."""
    return Put(kind=COST_BALANCE, id="account", body=_ENCODER.encode(seen))


def read_balance(record: Record) -> BalanceSeen:
    """The balance in its document."""
    return msgspec.json.decode(record.body, type=BalanceSeen)


def append_prices(entry: PriceEntry, *, entry_id: str) -> Append:
    """What a reading of the catalogue changed, as a log entry."""
    return Append(log=PRICES, id=entry_id, keys=("all",), at=entry.at, body=_ENCODER.encode(entry))


def read_prices(data: bytes) -> PriceEntry:
    """What a reading changed, from its log entry."""
    return _PRICES.decode(data)


def put_told_alerts(texts: frozenset[str]) -> Put:
    """The price alerts that have been told, as the one document of its kind."""
    return Put(kind=PRICE_ALERTS, id=TOLD, body=_ENCODER.encode(sorted(texts)))


def read_told_alerts(record: Record) -> frozenset[str]:
    """The price alerts that have been told, from their document."""
    return msgspec.json.decode(record.body, type=frozenset[str])


def put_idle(memory: IdleMemory, *, expect: int) -> Put:
    """What is remembered of an instance's idleness as a document."""
    return Put(
        kind=IDLE,
        id=memory.instance_id,
        body=_ENCODER.encode(memory),
        expect=expect,
        entries=(ListEntry(IDLES, "all", memory.instance_id),),
        fed=True,
    )


def read_idle(record: Record) -> IdleMemory:
    """The memory in its document."""
    return msgspec.json.decode(record.body, type=IdleMemory)


def put_idle_totals(totals: IdleTotals, *, expect: int) -> Put:
    """What the idle stop did so far, as the one document of its kind."""
    return Put(kind=IDLE_TOTALS, id="all", body=_ENCODER.encode(totals), expect=expect)


def read_idle_totals(record: Record) -> IdleTotals:
    """The totals in their document."""
    return msgspec.json.decode(record.body, type=IdleTotals)


def put_budget(budget: Budget, *, expect: int) -> Put:
    """A budget as a document."""
    entry = ListEntry(BUDGETS, "all", sort_key(budget.created_at))
    return Put(kind=BUDGET, id=budget.id, body=_ENCODER.encode(budget), expect=expect, entries=(entry,), fed=True)


def read_budget(record: Record) -> Budget:
    """The budget in its document."""
    return msgspec.json.decode(record.body, type=Budget)


def put_budget_memory(memory: BudgetMemory, *, expect: int, expires_at: float | None) -> Put:
    """What has been told of a budget as a document."""
    return Put(
        kind=BUDGET_MEMORY,
        id=memory.id,
        body=_ENCODER.encode(memory),
        expect=expect,
        entries=(ListEntry(BUDGET_MEMORIES, "all", memory.id),),
        fed=True,
        expires_at=expires_at,
    )


def read_budget_memory(record: Record) -> BudgetMemory:
    """What has been told of a budget, from its document."""
    return msgspec.json.decode(record.body, type=BudgetMemory)


def put_standing(standing: Standing, *, expect: int) -> Put:
    """What Novita last said of our account, as the one document of its kind."""
    return Put(kind=STANDING, id="account", body=_ENCODER.encode(standing), expect=expect, fed=True)


def read_standing(record: Record) -> Standing:
    """The standing in its document."""
    return msgspec.json.decode(record.body, type=Standing)


def job_payload(*, correlation_id: str, instance_id: str | None) -> bytes:
    """What a job carries besides its subject: whose request it belongs to."""
    return _ENCODER.encode({"correlationId": correlation_id, "instanceId": instance_id})


def read_job_payload(payload: bytes) -> dict[str, Any]:
    """The content of a job's payload; empty when there is none."""
    return msgspec.json.decode(payload, type=dict[str, Any]) if payload else {}
