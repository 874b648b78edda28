"""Instances as documented: the models by which a test checks every byte that `views` and `rendering` write."""

from typing import Any, Literal

from pydantic import Field

from novitai.api.listing import NEWEST_FIRST, SORTS
from novitai.api.schemas.common import Answer, Page, PageQuery, Query, Time
from novitai.domain.lifecycle import State

STATUSES = tuple(str(state) for state in State)
SORT_NAMES = tuple(sign + name for name in SORTS for sign in ("", "-"))


class DesiredAnswer(Answer):
    """What is wanted, who said so, why, since and until when."""

    state: Literal["running", "stopped", "deleted"]
    by: str
    reason: str
    at: Time
    until: Time | None


class OperationAnswer(Answer):
    """The latest thing asked, and how far it is."""

    id: str
    verb: Literal["create", "start", "stop", "restart", "delete"]
    status: Literal["in_progress", "completed", "failed", "superseded"]
    requested_at: Time
    accepted_at: Time | None
    completed_at: Time | None
    estimated_ready_time: Time | None


class PortAnswer(Answer):
    """A port; `endpoint` is null until Novita has told it."""

    port: int
    endpoint: str | None
    type: str


class ConnectionAnswer(Answer):
    """How to get in. `password` is there only for an admin key that asks `?reveal=credentials`."""

    host: str | None
    port: int | None
    username: str | None
    ssh: str | None
    jupyter: str | None
    web_terminal: str | None
    password: str | None = None


class EndpointAnswer(Answer):
    """The last answer of one endpoint; `responseTime` in milliseconds."""

    port: int
    endpoint: str
    type: str
    status: Literal["healthy", "unhealthy"]
    response_time: float | None
    error: str | None


class HealthAnswer(Answer):
    """What the health checks saw in this run of the machine."""

    status: Literal["pending", "healthy", "partial", "unhealthy"]
    checked_at: Time | None
    endpoints: list[EndpointAnswer]


class SpotAnswer(Answer):
    """What Novita says about taking a spot machine back."""

    status: str
    reclaim_at: Time | None


class PolicyAnswer(Answer):
    """A value that holds, and whether the request or the settings said so."""

    value: Any
    source: Literal["request", "default"]


class NextActionAnswer(Answer):
    """What the server will do by itself, at which time at the latest (null: as soon as it can be), and what would change that (null:
    nothing is known to).
    """

    what: str
    at: Time | None
    because: str
    unless: str | None


class RefusedOfferAnswer(Answer):
    """An offer that refused this instance, and how."""

    product_id: str
    cluster_id: str
    billing_mode: str
    code: str
    reason: str
    at: Time


class LastErrorAnswer(Answer):
    """Why the last thing failed."""

    code: str
    message: str
    at: Time
    offers: list[RefusedOfferAnswer]


class InstanceAnswer(Answer):
    """An instance. Prices are USD per hour for the whole instance.

    `costSoFar` is what all its runs and machines have cost, disks included, stopped or not; days that are over are adjusted to Novita's
    bill. `stale`: Novita's list was not read completely for two intervals.
    """

    id: str
    novita_instance_id: str | None
    name: str
    status: Literal[STATUSES]  # type: ignore[valid-type]  # the states of domain/lifecycle.py
    desired: DesiredAnswer
    operation: OperationAnswer
    gpu_num: int
    product_name: str
    product_id: str
    region: str
    cluster_id: str
    billing_mode: str
    price_per_hour: float
    image_url: str
    template_id: str | None
    labels: dict[str, str]
    port_mappings: list[PortAnswer]
    connection_details: ConnectionAnswer | None
    health_check: HealthAnswer | None
    spot: SpotAnswer | None
    policies: dict[str, PolicyAnswer | dict[str, PolicyAnswer]]
    next_action: NextActionAnswer | None
    created_at: Time
    started_at: Time | None
    ready_at: Time | None
    stopped_at: Time | None
    deleted_at: Time | None
    last_started_at: Time | None
    last_stopped_at: Time | None
    last_error: LastErrorAnswer | None
    links: dict[str, str]
    cost_so_far: float
    last_used_at: Time | None
    last_synced_at: Time | None
    stale: bool


class EnvAnswer(Answer):
    """An environment variable; the value is `***` unless an admin key asks `?reveal=envs`."""

    key: str
    value: str


class InstanceDetailsAnswer(InstanceAnswer):
    """One instance, with what lists leave out."""

    envs: list[EnvAnswer]


class InstancePage(Page):
    """A page of instances."""

    instances: list[InstanceAnswer]


class ListQuery(PageQuery):
    """Which instances, and in which order. Deleted ones are listed only by `status=deleted`.

    `source`, `includeNovitaOnly` and `syncLocalState` are taken from clients of the earlier service and change nothing.
    """

    status: list[Literal[STATUSES]] = Field(default=[])  # type: ignore[valid-type]  # as above
    name: str = Field(default="", max_length=100, description="Part of the name.")
    label: list[str] = Field(default=[], max_length=32, description="`key=value`, repeatable; all must match.")
    region: str = Field(default="", max_length=100, description="Id, code or name.")
    billing_mode: Literal["", "spot", "onDemand"] = ""
    sort: Literal[SORT_NAMES] = Field(default=NEWEST_FIRST)  # type: ignore[valid-type]  # the keys of listing.SORTS
    source: Literal["all", "local", "novita"] | None = None
    include_novita_only: bool | None = None
    sync_local_state: bool | None = None


class OneQuery(Query):
    """How one instance is read."""

    wait: Literal["ready"] | None = Field(default=None, description="Hold the answer until it is ready, or cannot be.")
    timeout: float = Field(default=60.0, ge=0, le=300, description="Seconds that `wait` holds at most.")
    reveal: list[Literal["credentials", "envs"]] = Field(default=[], description="Needs an admin key.")


class ComprehensiveQuery(ListQuery):
    """What to merge: the list's conditions hold for machines that are not managed, too, as far as they have what is asked for.

    `source` and `syncLocalState` are taken from clients of the earlier service: records are always in step.
    """

    include_novita_only: bool = Field(default=True, description="Machines of the account that are not managed, too.")


class ComprehensiveInstanceAnswer(InstanceAnswer):
    """Ours, theirs, or both. What only we know is null for a machine that is not managed, and the other way round.

    `dataConsistency`: whether our state agrees with the machine's status as last read, and whose is the newer one if not.
    """

    status: str
    desired: DesiredAnswer | None  # type: ignore[assignment]  # a machine that is not managed has none, as below
    operation: OperationAnswer | None  # type: ignore[assignment]
    price_per_hour: float | None  # type: ignore[assignment]
    cost_so_far: float | None  # type: ignore[assignment]
    created_at: Time | None  # type: ignore[assignment]
    source: Literal["local", "novita", "merged"]
    data_consistency: Literal["consistent", "local-newer", "novita-newer"]
    novita_status: str | None
    status_error: str | None
    cluster_name: str | None
    cpu_num: int | None
    memory: int | None
    rootfs_size: int | None
    spot_status: str | None
    spot_reclaim_time: Time | None
    auto_migrate: bool | None = Field(description="Whether Novita moves it by itself; null when it does not say.")


class SourcesAnswer(Answer):
    """How many came from where."""

    local: int
    novita: int
    merged: int


class PerformanceAnswer(Answer):
    """Milliseconds. Novita is not asked: what its list said last is in memory."""

    total_request_time: float
    novita_api_time: float
    local_data_time: float
    merge_processing_time: float
    cache_hit_ratio: float


class ComprehensivePage(Page):
    """Managed instances and unknown machines of the account side by side."""

    instances: list[ComprehensiveInstanceAnswer]
    sources: SourcesAnswer
    performance: PerformanceAnswer
