"""The shapes of the server's answers, as frozen values.

Field names are the API's in snake_case; times are aware datetimes; money is USD. Fields that a newer server adds are
ignored, and what a server may leave out has a default, so a client can be older or newer than its server. Words such as
`status` are plain strings for the same reason.
"""

from datetime import datetime
from typing import Annotated, Any

import msgspec

Time = Annotated[datetime, msgspec.Meta(tz=True)]


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Root of all shapes: immutable, camelCase outside, tolerant of fields it does not know."""


class Port(Shape, frozen=True, kw_only=True):
    """A port of the machine and the address at which it is reached (None until known). `type` is `http` or `tcp`."""

    port: int
    type: str = "http"
    endpoint: str | None = None


class ConnectionDetails(Shape, frozen=True, kw_only=True):
    """How to reach the machine; never a password."""

    host: str | None = None
    port: int | None = None
    username: str | None = None
    ssh: str | None = None
    jupyter: str | None = None
    web_terminal: str | None = None


class Endpoint(Shape, frozen=True, kw_only=True):
    """What one health check saw. `response_time` is in milliseconds."""

    port: int | None = None
    endpoint: str | None = None
    type: str | None = None
    status: str | None = None
    response_time: float | None = None
    error: str | None = None


class HealthCheck(Shape, frozen=True, kw_only=True):
    """The last look at the application on the machine."""

    status: str | None = None
    checked_at: Time | None = None
    endpoints: tuple[Endpoint, ...] = ()


class HealthCheckSpec(Shape, frozen=True, kw_only=True, omit_defaults=True):
    """How the application is to be asked whether it answers; None: the server's setting.

    `type` is http, tcp or none; times are in milliseconds; `expect_status` is what counts as an answer.
    """

    type: str | None = None
    port: int | None = None
    path: str | None = None
    expect_status: int | tuple[int, ...] | None = None
    expect_body: str | None = None
    timeout_ms: int | None = None
    retry_attempts: int | None = None
    retry_delay_ms: int | None = None
    max_wait_time_ms: int | None = None


class Spot(Shape, frozen=True, kw_only=True):
    """What Novita says about taking the machine back."""

    status: str | None = None
    reclaim_at: Time | None = None


class Desired(Shape, frozen=True, kw_only=True):
    """What was asked last, by whom and why."""

    state: str
    by: str | None = None
    reason: str | None = None
    at: Time | None = None
    until: Time | None = None


class NextAction(Shape, frozen=True, kw_only=True):
    """What the server will do next by itself."""

    what: str
    at: Time | None = None
    because: str | None = None


class Offer(Shape, frozen=True, kw_only=True):
    """Something that can be bought: a product in a region and billing mode. `price_per_hour` is USD for all GPUs."""

    rank: int | None = None
    product_id: str | None = None
    product_name: str | None = None
    region: str | None = None
    cluster_id: str | None = None
    billing_mode: str | None = None
    gpu_num: int | None = None
    price_per_hour: float | None = None
    inventory: int | str | None = None
    fits: bool | None = None
    reason: str | None = None


class LastError(Shape, frozen=True, kw_only=True):
    """Why an instance failed."""

    code: str
    message: str
    at: Time | None = None
    offers: tuple[Offer, ...] = ()


class Instance(Shape, frozen=True, kw_only=True):
    """An instance: what was asked and what is seen. `price_per_hour` and `cost_so_far` are USD.

    `status` is one of creating, starting, running, health_checking, ready, stopping, stopped, migrating, deleting,
    deleted, failed, lost. `stale`: the server has not seen Novita lately.
    """

    id: str
    name: str
    status: str
    novita_instance_id: str | None = None
    desired: Desired | None = None
    gpu_num: int | None = None
    product_name: str | None = None
    product_id: str | None = None
    region: str | None = None
    cluster_id: str | None = None
    billing_mode: str | None = None
    price_per_hour: float | None = None
    cost_so_far: float | None = None
    image_url: str | None = None
    template_id: str | int | None = None
    labels: dict[str, str] = {}
    port_mappings: tuple[Port, ...] = ()
    connection_details: ConnectionDetails | None = None
    health_check: HealthCheck | None = None
    spot: Spot | None = None
    policies: dict[str, Any] = {}
    next_action: NextAction | None = None
    created_at: Time | None = None
    started_at: Time | None = None
    ready_at: Time | None = None
    stopped_at: Time | None = None
    last_used_at: Time | None = None
    last_synced_at: Time | None = None
    last_error: LastError | None = None
    stale: bool | None = None


class ComprehensiveInstance(Instance, frozen=True, kw_only=True):
    """An instance with the provider's own words. `source` is local, novita or merged."""

    source: str | None = None
    data_consistency: str | None = None
    cluster_name: str | None = None
    cpu_num: float | str | None = None
    memory: float | str | None = None
    spot_status: str | None = None
    spot_reclaim_time: str | int | None = None


class InstancePage(Shape, frozen=True, kw_only=True):
    """One page of instances; `next_cursor` asks for the next one, None on the last."""

    instances: tuple[Instance, ...]
    total: int = 0
    next_cursor: str | None = None


class ComprehensiveList(Shape, frozen=True, kw_only=True):
    """Instances of ours and machines of the account side by side; how many came from where, and how long it took."""

    instances: tuple[ComprehensiveInstance, ...]
    total: int = 0
    next_cursor: str | None = None
    sources: dict[str, int] = {}
    performance: dict[str, float] = {}


class Choice(Shape, frozen=True, kw_only=True):
    """The offer that was chosen: its place among how many candidates, and why."""

    rank: int | None = None
    candidates: int | None = None
    reason: str | None = None


class Created(Shape, frozen=True, kw_only=True):
    """The answer to a create: the instance is on its way, not ready. `spot_price` and `price_per_hour` are USD.

    A dry run has no instance, so its `instance_id` is empty; its `offers` are all that were compared, best first.
    """

    name: str
    status: str
    instance_id: str = ""
    novita_instance_id: str | None = None
    message: str | None = None
    product_id: str | None = None
    product_name: str | None = None
    region: str | None = None
    billing_mode: str | None = None
    price_per_hour: float | None = None
    spot_price: float | None = None
    estimated_ready_time: Time | None = None
    offer: Choice | None = None
    offers: tuple[Offer, ...] = ()
    links: dict[str, Any] = {}


class Accepted(Shape, frozen=True, kw_only=True):
    """The answer to start, stop, restart and delete. Repeating what is under way has the same `operation_id`."""

    instance_id: str
    status: str
    novita_instance_id: str | None = None
    message: str | None = None
    operation_id: str | None = None
    estimated_ready_time: Time | None = None


class LastUsed(Shape, frozen=True, kw_only=True):
    """When the instance was used last, as the server now believes."""

    instance_id: str
    last_used_at: Time | None = None
    message: str | None = None


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


class OfferList(Shape, frozen=True, kw_only=True):
    """Ranked offers, best first; `catalogue_age_seconds` says how old prices and stock are."""

    offers: tuple[Offer, ...]
    total: int | None = None
    next_cursor: str | None = None
    catalogue_age_seconds: float | None = None


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
