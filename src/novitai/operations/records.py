"""Domain values ↔ stored documents: the kinds, their codecs and the declared lists. The only place that knows how a
noun is kept.
"""

from typing import Any

import msgspec

from novitai.domain.delivery import Delivery
from novitai.domain.events import Event
from novitai.domain.instance import Activity, Attempt, Instance
from novitai.domain.keys import ApiKey
from novitai.domain.lifecycle import State
from novitai.ports.store import Append, ListEntry, Priority, Put, Record, Wake

INSTANCE, ATTEMPT, DELIVERY, RECEIPT, KEY, ACTIVITY = "instance", "attempt", "delivery", "receipt", "key", "activity"

INSTANCES, DELIVERIES, ATTEMPTS, KEYS = "instances", "deliveries", "attempts", "keys"
"""Declared lists. Partitions: instances `live` / `deleted`; deliveries by status and by `instance:<id>`; attempts by
instance; keys `all`.
"""

EVENTS, JOBS = "events", "jobs"
"""Logs. Keys of events: `all`, `instance:<id>`, `type:<type>`."""

LANE_INSTANCES, LANE_DELIVERIES, LANE_MAINTENANCE = "instances", "deliveries", "maintenance"

_ENCODER = msgspec.json.Encoder()
_INSTANCE, _ATTEMPT, _DELIVERY, _EVENT, _KEY = (
    msgspec.json.Decoder(Instance),
    msgspec.json.Decoder(Attempt),
    msgspec.json.Decoder(Delivery),
    msgspec.json.Decoder(Event),
    msgspec.json.Decoder(ApiKey),
)
DELIVERY_RETENTION_SECONDS = 30 * 86_400.0


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
    """An attempt as a document."""
    entry = ListEntry(ATTEMPTS, attempt.instance_id, f"{attempt.number:06d}")
    return Put(kind=ATTEMPT, id=attempt.id, body=_ENCODER.encode(attempt), expect=expect, entries=(entry,))


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
    """A last use as a document."""
    return Put(kind=ACTIVITY, id=activity.instance_id, body=_ENCODER.encode(activity), expect=expect, fed=True)


def read_activity(record: Record) -> Activity:
    """The last use in a document."""
    return msgspec.json.decode(record.body, type=Activity)


def job_payload(*, correlation_id: str, instance_id: str | None) -> bytes:
    """What a job carries besides its subject: whose request it belongs to."""
    return _ENCODER.encode({"correlationId": correlation_id, "instanceId": instance_id})


def read_job_payload(payload: bytes) -> dict[str, Any]:
    """The content of a job's payload; empty when there is none."""
    return msgspec.json.decode(payload, type=dict[str, Any]) if payload else {}
