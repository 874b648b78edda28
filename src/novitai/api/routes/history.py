"""What happened: the event log, its stream, deliveries of webhooks, and the schemas of what receivers get."""

from typing import Annotated
from urllib.parse import urlsplit, urlunsplit

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from novitai.api.access import Here, Parts
from novitai.api.event_schemas import schemas_by_type
from novitai.api.events_view import event_answer
from novitai.api.paging import not_a_cursor, number, pack, unpack
from novitai.api.parts import ApiParts
from novitai.api.routing import Routes, json_answer
from novitai.api.schemas.common import PageQuery
from novitai.api.schemas.events import (
    AttemptAnswer,
    DeliveryAnswer,
    DeliveryListAnswer,
    EventListAnswer,
    EventQuery,
    WebhookSchemasAnswer,
)
from novitai.api.streams import EventStream, Hub
from novitai.domain.delivery import Delivery
from novitai.domain.errors import invalid
from novitai.domain.keys import Scope
from novitai.domain.times import iso, iso_or_none
from novitai.operations import history, records
from novitai.operations.history import History

ROUTES = Routes("events")
_NOT_FOUND = {404: "There is no such instance"}
LONGEST_POSITION = 19  # digits; fewer always fit into 64 bits
EVENT_PREFIX = "evt_"


@ROUTES.add("GET", "/api/events", needs=Scope.READ, answer=EventListAnswer)
async def list_events(parts: Parts, query: Annotated[EventQuery, Query()]) -> Response:
    """The event log, newest first: all of it, one type, or one instance."""
    if query.type is not None and query.instance_id is not None:
        raise invalid("type", "cannot be combined with instanceId")
    key = history.ALL
    if query.type is not None:
        key = f"type:{query.type}"
    if query.instance_id is not None:
        key = records.instance_key(query.instance_id)
    return await _events(parts, key, query)


@ROUTES.add("GET", "/api/events/stream", needs=Scope.READ, media="text/event-stream")
async def stream_events(request: Request, parts: Parts, visit: Here) -> Response:
    """Events as they happen, as server-sent events. `Last-Event-ID` goes on after that one: an id of the stream, or an event's own;
    without it the stream begins now.

    The stream's ids are places in the log. A reader that cannot keep up is let go, and can come back with its last id.
    """
    visit.held = True
    hub: Hub = request.app.state.hub
    return EventStream(
        hub,
        after=await _place(parts, request.headers.get("last-event-id")),
        allowed=lambda: parts.keys.actor(visit.key_text) is not None,
        shutting_down=parts.shutting_down,
    )


async def _place(parts: Parts, last: str | None) -> int | None:
    """The place in the log that a reader has reached."""
    if not last:
        return None
    if last.isascii() and last.isdigit() and len(last) < LONGEST_POSITION:
        return int(last)
    place = await History(parts.store).position_of(last) if last.startswith(EVENT_PREFIX) else None
    if place is None:
        raise invalid("Last-Event-ID", "must be the id of an event that is still in the log")
    return place


@ROUTES.add(
    "GET", "/api/instances/{instance_id:reference}/events", needs=Scope.READ, answer=EventListAnswer, others=_NOT_FOUND
)
async def list_instance_events(instance_id: str, parts: Parts, query: Annotated[PageQuery, Query()]) -> Response:
    """What happened to an instance, newest first."""
    instance = (await parts.verbs.resolve(instance_id)).instance
    return await _events(parts, records.instance_key(instance.id), query)


@ROUTES.add(
    "GET",
    "/api/instances/{instance_id:reference}/deliveries",
    needs=Scope.READ,
    answer=DeliveryListAnswer,
    others=_NOT_FOUND,
)
async def list_instance_deliveries(instance_id: str, parts: Parts, query: Annotated[PageQuery, Query()]) -> Response:
    """Webhooks of an instance, newest first, each with its latest attempts."""
    instance = (await parts.verbs.resolve(instance_id)).instance
    try:
        page = await History(parts.store).deliveries(instance.id, cursor=query.cursor, limit=query.limit)
    except ValueError:
        raise not_a_cursor() from None
    deliveries = [_delivery(delivery) for delivery in page.deliveries]
    return json_answer(DeliveryListAnswer(deliveries=deliveries, total=page.total, next_cursor=page.next_cursor))


@ROUTES.add("GET", "/api/webhooks/schemas", needs=Scope.READ, answer=WebhookSchemasAnswer)
async def list_webhook_schemas() -> Response:
    """The JSON schema of each type of webhook body."""
    schemas = schemas_by_type()
    return json_answer(WebhookSchemasAnswer(schemas=schemas, total=len(schemas)))


async def _events(parts: ApiParts, key: str, query: PageQuery) -> Response:
    before = number(unpack(f"events:{key}", query.cursor, length=1)[0]) if query.cursor is not None else None
    page = await History(parts.store).events(key=key, before=before, limit=query.limit)
    cursor = None if page.next_position is None else pack(f"events:{key}", page.next_position)
    return json_answer(
        EventListAnswer(events=[event_answer(event) for event in page.events], total=page.total, next_cursor=cursor)
    )


def _delivery(delivery: Delivery) -> DeliveryAnswer:
    return DeliveryAnswer.model_validate(
        {
            "id": delivery.id,
            "eventId": delivery.event_id,
            "eventType": delivery.event_type,
            "endpointId": delivery.endpoint.id,
            "url": shown_address(delivery.endpoint.url),
            "instanceId": delivery.instance_id,
            "status": str(delivery.status),
            "failures": delivery.failures,
            "attempts": [
                AttemptAnswer(
                    at=iso(attempt.at),
                    duration_ms=attempt.duration_ms,
                    status=attempt.status,
                    error=attempt.error or None,
                )
                for attempt in delivery.attempts
            ],
            "createdAt": iso(delivery.created_at),
            "nextAttemptAt": iso_or_none(delivery.next_at),
            "endedAt": iso_or_none(delivery.ended_at),
            "correlationId": delivery.correlation_id,
        }
    )


def shown_address(url: str) -> str:
    """An address without its query, where receivers keep tokens."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "…" if parts.query else "", ""))
