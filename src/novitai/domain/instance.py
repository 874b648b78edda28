"""An instance: what was asked of it (`spec`, `desired`, `operation`) and what is seen of it (`state`, `machine`,
health, evidence).

One document per instance, written whole under its version. Operations change the first half, reconcilers the second;
`sequence` numbers its facts. Nothing here changes by itself: costs so far, staleness and next actions are computed when
they are read. All times are Unix seconds.
"""

from enum import StrEnum

import msgspec

from novitai.domain.budget import InstanceBudget
from novitai.domain.costs import Meter
from novitai.domain.errors import Code
from novitai.domain.idle import AutoStop
from novitai.domain.ids import InstanceId, MachineId
from novitai.domain.lifecycle import State
from novitai.domain.machine import BillingMode, Connection, MachineStatus, Port, PortMapping, SpotStatus
from novitai.domain.migration import Migration, Move, Said
from novitai.domain.money import Usd
from novitai.domain.offers import Offer, OfferKey, Requirement
from novitai.domain.schedule import Schedule, Ttl
from novitai.domain.secrets import Sealed


class CheckType(StrEnum):
    """How an application is asked whether it answers."""

    HTTP = "http"
    TCP = "tcp"
    NONE = "none"


class HealthCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How and how long to ask. `type` None: http ports by http, tcp ports by connecting only when named. Durations in
    milliseconds.

    A round is `retry_attempts` tries, `retry_delay_ms` apart; rounds follow one another until `max_wait_time_ms` after
    the machine runs.
    """

    type: CheckType | None = None
    port: int | None = None
    path: str = "/"
    expect_status: tuple[int, ...] = ()  # empty: 200 to 399
    expect_body: str = ""
    timeout_ms: int = 10_000
    retry_attempts: int = 3
    retry_delay_ms: int = 2_000
    max_wait_time_ms: int = 300_000


class WebhookTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request wants its events sent, beside the global endpoint."""

    url: str
    secret: Sealed | None = None


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked when the instance was made, and what a change of it said since."""

    requirement: Requirement
    image_url: str
    template_id: str | None = None
    ports: tuple[Port, ...] = ()
    envs: tuple[tuple[str, Sealed], ...] = ()
    command: str = ""
    entrypoint: str = ""
    image_auth_id: str = ""
    network_storages: tuple[tuple[str, str], ...] = ()
    labels: dict[str, str] = {}
    health_check: HealthCheck = HealthCheck()
    webhook: WebhookTarget | None = None
    wait_for_capacity_seconds: float | None = None
    protect: bool = False
    adopted: bool = False  # read off a machine that was found: environment, command and credentials are not known
    auto_stop: AutoStop | None = None
    migration: Migration | None = None
    ttl: Ttl | None = None
    schedule: Schedule | None = None
    budget: InstanceBudget | None = None


class DesiredState(StrEnum):
    """What an instance should be."""

    RUNNING = "running"
    STOPPED = "stopped"
    DELETED = "deleted"


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """The one word that holds: what is wanted, who said it (`user:<key>`, `outside`, a policy's name), why, since
    and until when (None: until the next word). After `until` the schedule's word counts again.
    """

    state: DesiredState
    by: str
    reason: str
    at: float
    until: float | None = None


class Verb(StrEnum):
    """What an operation does."""

    CREATE = "create"
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    DELETE = "delete"
    MIGRATE = "migrate"  # never asked by people: a move, whichever way


class Phase(StrEnum):
    """Steps of a create, start or restart, in order."""

    START_REQUESTED = "startRequested"
    INSTANCE_STARTING = "instanceStarting"
    INSTANCE_RUNNING = "instanceRunning"
    HEALTH_CHECK_STARTED = "healthCheckStarted"
    HEALTH_CHECK_COMPLETED = "healthCheckCompleted"
    READY = "ready"


class OperationStatus(StrEnum):
    """How far an operation is."""

    UNDER_WAY = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    SUPERSEDED = "superseded"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """The latest thing asked of an instance, from acceptance to its end.

    `sent_at` is the durable intent to call Novita, `accepted_at` the answer that it did: between the two the outcome is
    unclear, and the machine is looked at before the call is sent again. `overtakes`: when the opposite call of the
    operation before was sent (or its effect seen), which may still take effect. `doubted_at`: when a call of this
    operation was sent of which a look did not show any effect; it may be sent again, and the first may still take
    effect. `unclear`: creates in a row that Novita did not answer clearly. `health_check` replaces the spec's for this
    start.
    """

    id: str
    verb: Verb
    by: str
    reason: str
    requested_at: float
    correlation_id: str
    status: OperationStatus = OperationStatus.UNDER_WAY
    sent_at: float | None = None
    accepted_at: float | None = None
    completed_at: float | None = None
    overtakes: float | None = None
    doubted_at: float | None = None
    unclear: int = 0
    estimated_ready_at: float | None = None
    phases: tuple[tuple[Phase, float], ...] = ()
    health_check: HealthCheck | None = None

    @property
    def under_way(self) -> bool:
        return self.status is OperationStatus.UNDER_WAY

    @property
    def makes_ready(self) -> bool:
        return self.verb in {Verb.CREATE, Verb.START, Verb.RESTART, Verb.MIGRATE}

    def reached(self, phase: Phase) -> float | None:
        """When a phase was reached."""
        return dict(self.phases).get(phase)


class SeenMachine(msgspec.Struct, frozen=True, kw_only=True):
    """The instance's present machine as last seen to differ. `missing` holds the times of evidence that it is gone."""

    id: MachineId
    name: str
    status: MachineStatus
    provider_status: str = ""
    error: str = ""
    cluster_id: str = ""
    region: str = ""
    product_id: str = ""
    product_name: str = ""
    billing_mode: BillingMode | None = None
    ports: tuple[PortMapping, ...] = ()
    connection: Connection | None = None
    password: Sealed | None = None
    spot_status: SpotStatus = SpotStatus.NONE
    reclaim_at: float = 0.0
    taken_since: float | None = None  # when Novita was first seen to take it back
    started_at: float = 0.0  # as Novita tells it; 0: never, or not told
    stopped_at: float = 0.0
    rootfs_gb: int = 0
    since: float = 0.0  # when `status` was first seen
    before_since: float = 0.0  # when the status before it was first seen
    pulling_since: float | None = None
    pulled_seconds: float = 0.0
    missing: tuple[float, ...] = ()
    puzzling: bool = False  # the last reading had a word that we do not know; `status` is what was known before


class OpenAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """A create whose outcome is not known: sent at `sent_at`, searched for by its marker until a sweep proves that
    nothing was made. `ended`: its call is over, at `sent_at`; before that nothing is proof, since Novita may still be at
    it.
    """

    number: int
    offer: Offer
    sent_at: float
    ended: bool = False
    disproved_at: float | None = None  # start of the complete sweep after the settle time that did not show the marker


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """An offer that refused this instance, with Novita's meaning."""

    key: OfferKey
    code: Code
    message: str
    at: float


class EndpointHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The last answer of one endpoint. `response_ms` None when there was none."""

    port: int
    endpoint: str
    type: str
    healthy: bool
    response_ms: float | None = None
    error: str = ""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What the health checks saw for the present run of the machine."""

    started_at: float
    passed_at: float | None = None
    checked_at: float | None = None
    endpoints: tuple[EndpointHealth, ...] = ()


class LastError(msgspec.Struct, frozen=True, kw_only=True):
    """Why the last thing failed, for people; `offers` names those that refused."""

    code: Code
    message: str
    at: float
    offers: tuple[Refusal, ...] = ()


ENOUGH_EVIDENCE = 2  # pieces of it, apart in time, on which a machine counts as gone


class Former(msgspec.Struct, frozen=True, kw_only=True):
    """The machine that is being replaced, kept aside with what belongs to its run: it may still serve, or have to go on."""

    machine: SeenMachine
    offer: Offer
    health: Health | None = None
    started_at: float | None = None
    running_at: float | None = None
    ready_at: float | None = None

    @property
    def serves(self) -> bool:
        """Whether it is up, as far as is known."""
        return self.machine.status is MachineStatus.RUNNING and not self.ended

    @property
    def gone(self) -> bool:
        return self.machine.status is MachineStatus.REMOVED or len(self.machine.missing) >= ENOUGH_EVIDENCE

    @property
    def ended(self) -> bool:
        """Whether it stands still, or is gone."""
        return self.gone or self.machine.status is MachineStatus.STOPPED


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """See the module's text. `version` is the stored document's and not part of its body."""

    id: InstanceId
    name: str
    owner: str
    created_at: float
    spec: Spec
    offer: Offer
    desired: Desired
    operation: Operation
    state: State
    state_since: float
    sequence: int = 0
    attempts: int = 0
    open_attempt: OpenAttempt | None = None
    refusals: tuple[Refusal, ...] = ()
    startup_retries: int = 0
    machine: SeenMachine | None = None
    former: Former | None = None
    discarded: tuple[MachineId, ...] = ()  # machines of ours that are to be deleted, until confirmed gone
    strays: tuple[
        MachineId, ...
    ] = ()  # machines that bear our marker but are not the present one: shown, deleted with the instance
    delete_sent: tuple[tuple[MachineId, float], ...] = ()
    health: Health | None = None
    last_error: LastError | None = None
    started_at: float | None = None
    running_at: float | None = None
    ready_at: float | None = None
    stopped_at: float | None = None
    deleted_at: float | None = None
    meter: Meter = Meter()
    moves: tuple[Move, ...] = ()  # the latest last; those of the last days are kept
    said: Said | None = None  # what was last said of a move that is not made

    @property
    def health_check(self) -> HealthCheck:
        """The one that holds for the present start."""
        return self.operation.health_check or self.spec.health_check

    @property
    def serving(self) -> SeenMachine | None:
        """The machine that users reach: the former one while its replacement is on the way."""
        former = self.former
        if former is not None and (former.serves or self.machine is None):
            return former.machine
        return self.machine

    @property
    def replacing(self) -> bool:
        """Whether a machine is being bought, or comes up, in the place of a former one."""
        return self.former is not None and self.state is State.MIGRATING

    @property
    def buys(self) -> bool:
        """Whether a machine is being bought, or comes up, for it."""
        return self.state is State.CREATING or self.replacing

    @property
    def move(self) -> Move | None:
        """The move that is under way."""
        return self.moves[-1] if self.moves and self.moves[-1].under_way else None

    @property
    def price_per_hour(self) -> Usd:
        return self.offer.price_per_hour

    @property
    def ttl_ends_at(self) -> float | None:
        """When its time to live is over."""
        ttl = self.spec.ttl
        return None if ttl is None else (self.created_at if ttl.since is None else ttl.since) + ttl.seconds

    @property
    def wants(self) -> DesiredState:
        return self.desired.state


class AttemptOutcome(StrEnum):
    """What became of a create call. `open`: not known yet."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    ABSENT = "absent"  # unclear, and proven not to have made a machine
    ADOPTED = "adopted"  # unclear, and found by its marker


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """The durable intent to buy one machine, and what came of it. Written before the call; it stays after."""

    id: str
    instance_id: InstanceId
    number: int
    machine_name: str
    offer: Offer
    correlation_id: str
    sent_at: float
    outcome: AttemptOutcome = AttemptOutcome.OPEN
    resolved_at: float | None = None
    machine_id: MachineId | None = None
    error: str = ""


def attempt_id(instance_id: InstanceId, number: int) -> str:
    """The record id of an attempt."""
    return f"{instance_id}.{number}"
