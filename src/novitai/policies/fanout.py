"""From facts to what is told: numbering, the body that receivers read, and one delivery for each endpoint that wants
it.
"""

from collections.abc import Callable, Sequence

import msgspec

from novitai.domain.delivery import GLOBAL_ENDPOINT, Delivery, Endpoint
from novitai.domain.events import Event, Fact
from novitai.domain.ids import InstanceId
from novitai.domain.instance import Instance
from novitai.domain.times import iso

_ENCODER = msgspec.json.Encoder()


def number(
    instance: Instance, facts: Sequence[Fact], *, new_id: Callable[[str], str]
) -> tuple[Instance, tuple[Event, ...]]:
    """The instance with its sequence moved on, and its facts as events."""
    first = instance.sequence + 1
    operation, machine = instance.operation, instance.machine or (instance.former and instance.former.machine)
    events = tuple(
        Event(
            id=new_id("evt"),
            sequence=first + index,
            type=fact.type,
            instance_id=instance.id,
            machine_id=machine.id if machine else None,
            at=fact.at,
            actor=fact.actor,
            reason=fact.reason,
            before=fact.before,
            after=fact.after,
            correlation_id=operation.correlation_id,
            elapsed_ms=max(0, round((fact.at - operation.requested_at) * 1000)),
            data=fact.data,
        )
        for index, fact in enumerate(facts)
    )
    return msgspec.structs.replace(instance, sequence=instance.sequence + len(events)), events


def body(event: Event) -> bytes:
    """The webhook's body: the contract's fields in the contract's order."""
    return _ENCODER.encode(
        {
            "id": event.id,
            "type": str(event.type),
            "sequence": event.sequence,
            "instanceId": event.instance_id,
            "novitaInstanceId": event.machine_id,
            "status": str(event.after) if event.after else None,
            "timestamp": iso(event.at),
            "elapsedTime": event.elapsed_ms,
            "reason": event.reason,
            "data": event.data,
        }
    )


def endpoints_of(instance: Instance, *, global_url: str | None) -> tuple[Endpoint, ...]:
    """Who is told of an instance: the global endpoint and the request's own; one address is told once, with the
    request's secret.
    """
    own = instance.spec.webhook
    found = []
    if own is not None:
        found.append(Endpoint(id=f"instance:{instance.id}", url=own.url, secret=own.secret))
    if global_url is not None and (own is None or own.url != global_url):
        found.append(Endpoint(id=GLOBAL_ENDPOINT, url=global_url))
    return tuple(found)


def deliveries(
    events: Sequence[Event],
    endpoints: Sequence[Endpoint],
    *,
    instance_id: InstanceId | None,
    new_id: Callable[[str], str],
) -> tuple[Delivery, ...]:
    """One delivery for each event and endpoint; every endpoint gets the same body and event id."""
    made = []
    for event in events:
        text = body(event).decode()
        made += [
            Delivery(
                id=new_id("dlv"),
                event_id=event.id,
                event_type=str(event.type),
                endpoint=endpoint,
                body=text,
                correlation_id=event.correlation_id,
                created_at=event.at,
                instance_id=instance_id,
                next_at=event.at,
            )
            for endpoint in endpoints
        ]
    return tuple(made)
