"""The event log, the account on Novita, and the server itself."""

from typing import Any

from novitai_client.models.base import Shape, Time
from novitai_client.models.instances import Port


class Event(Shape, frozen=True, kw_only=True):
    """One entry of the event log. `sequence` counts up within an instance; `before` and `after` are states; `data` is what
    the webhook of this event carries.
    """

    id: str
    type: str
    sequence: int = 0
    instance_id: str | None = None
    at: Time | None = None
    actor: str | None = None
    reason: str | None = None
    before: Any = None
    after: Any = None
    correlation_id: str | None = None
    data: dict[str, Any] = {}


class EventPage(Shape, frozen=True, kw_only=True):
    """One page of the event log."""

    events: tuple[Event, ...]
    total: int | None = None
    next_cursor: str | None = None


class Template(Shape, frozen=True, kw_only=True):
    """A template of the Novita account."""

    id: str | int
    name: str | None = None
    image_url: str | None = None
    image_auth_id: str | None = None
    ports: tuple[Port, ...] = ()
    description: str | None = None


class Region(Shape, frozen=True, kw_only=True):
    """A region in which machines can be had."""

    id: str
    name: str | None = None
    code: str | None = None
    available: bool | None = None


class RegistryAuth(Shape, frozen=True, kw_only=True):
    """A registry credential of the Novita account, by id; never its password."""

    id: str
    name: str | None = None
    username: str | None = None


class Job(Shape, frozen=True, kw_only=True):
    """A durable piece of work of the server's. `status` is pending, processing, completed, failed or cancelled."""

    id: str
    type: str
    status: str
    key: str | None = None
    priority: str | None = None
    attempts: int = 0
    max_attempts: int | None = None
    created_at: Time | None = None
    processed_at: Time | None = None
    completed_at: Time | None = None
    next_retry_at: Time | None = None
    error: Any = None
    instance_id: str | None = None
    correlation_id: str | None = None


class JobPage(Shape, frozen=True, kw_only=True):
    """One page of jobs."""

    jobs: tuple[Job, ...]
    total: int | None = None
    next_cursor: str | None = None


class Health(Shape, frozen=True, kw_only=True):
    """How the server is: healthy, degraded or unhealthy, and each of its services. `uptime` is in seconds."""

    status: str
    timestamp: Time | None = None
    uptime: float | None = None
    services: dict[str, Any] = {}


class KeyLimits(Shape, frozen=True, kw_only=True, omit_defaults=True):
    """What a key may use at most; None: no limit of its own. `usd_per_hour` is USD."""

    requests_per_minute: int | None = None
    gpus: int | None = None
    usd_per_hour: float | None = None


class Key(Shape, frozen=True, kw_only=True):
    """An API key of the server's. `scope` is read, write or admin; each may do what the one before may."""

    id: str
    name: str
    scope: str | None = None
    created_at: Time | None = None
    expires_at: Time | None = None
    revoked_at: Time | None = None
    limits: KeyLimits | None = None


class CreatedKey(Key, frozen=True, kw_only=True):
    """A new key; `key` is its text, shown this one time.

    None when the first answer was lost on its way: the server keeps no copy. Revoke the key by its `id` and make another.
    """

    key: str | None = None
