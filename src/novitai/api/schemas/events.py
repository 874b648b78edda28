"""The event log and deliveries."""

from typing import Any, Literal

from pydantic import Field

from novitai.api.schemas.common import Answer, Page, PageQuery, Time
from novitai.domain.events import FactType

TYPES = tuple(str(kind) for kind in FactType)


class EventAnswer(Answer):
    """Something that happened. `before` and `after` are states; `sequence` counts within the instance."""

    id: str
    sequence: int
    type: str
    instance_id: str | None
    novita_instance_id: str | None
    at: Time
    actor: str
    reason: str
    before: str | None
    after: str | None
    correlation_id: str
    elapsed_time: int
    data: dict[str, Any]


class EventListAnswer(Page):
    """Events, newest first."""

    events: list[EventAnswer]


class EventQuery(PageQuery):
    """Which events: all, those of a type, or those of an instance."""

    type: Literal[TYPES] | None = Field(default=None)  # type: ignore[valid-type]  # the types of domain/events.py
    instance_id: str | None = Field(default=None, min_length=1, max_length=100)


class AttemptAnswer(Answer):
    """One POST to an endpoint. `status` null: no answer came, and `error` says why."""

    at: Time
    duration_ms: float
    status: int | None
    error: str | None


class DeliveryAnswer(Answer):
    """One event for one endpoint, with its latest attempts. The address is shown without its query."""

    id: str
    event_id: str
    event_type: str
    endpoint_id: str
    url: str
    instance_id: str | None
    status: Literal["pending", "delivered", "dead"]
    failures: int
    attempts: list[AttemptAnswer]
    created_at: Time
    next_attempt_at: Time | None
    ended_at: Time | None
    correlation_id: str


class DeliveryListAnswer(Page):
    """Deliveries, newest first."""

    deliveries: list[DeliveryAnswer]


class WebhookSchemasAnswer(Answer):
    """By event type: what it means, and the JSON schema of the body that receivers get."""

    schemas: dict[str, dict[str, Any]]
    total: int
