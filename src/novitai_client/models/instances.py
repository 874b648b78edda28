"""Instances: what they are, what is asked of them, what could be bought."""

from typing import Any

from novitai_client.models.base import Shape, Time


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
    """What the server will do next by itself, and what would change that (a clause; None: nothing is known to)."""

    what: str
    at: Time | None = None
    because: str | None = None
    unless: str | None = None


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
    auto_migrate: bool | None = None


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


class OfferList(Shape, frozen=True, kw_only=True):
    """Ranked offers, best first; `catalogue_age_seconds` says how old prices and stock are."""

    offers: tuple[Offer, ...]
    total: int | None = None
    next_cursor: str | None = None
    catalogue_age_seconds: float | None = None
