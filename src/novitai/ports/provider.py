"""What we ask of Novita, in our words; kept by `novitai.novita`.

Every method may raise a `ProviderFailure` (domain/errors.py). A method that changes something raises `Unclear` when the
outcome is not known; then the world is looked at before the call is sent again. Nothing here retries a change by
itself; reads may be retried within the call's time.
"""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Protocol

import msgspec

from novitai.domain.costs import Billed
from novitai.domain.ids import MachineId
from novitai.domain.machine import Machine, Port
from novitai.domain.metrics import MachineMetrics, Window
from novitai.domain.money import Usd
from novitai.domain.offers import Catalogue, Offer
from novitai.domain.templates import NetworkStorage, RegistryAuth, Template
from novitai.ports.coordination import Share

BeforeSend = Callable[[], Awaitable[None]]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """How a call is made: for whom, and how long it may wait in the limiter before TryLater (seconds).

    `before_send` runs after admission and just before the bytes go out: the place to make an intent durable and to
    check that a lease is still held. What it raises goes to the caller, and the call counts as never sent. `deadline`
    is the longest time of the call itself in seconds, counted from admission; None = the client's setting.
    """

    share: Share
    longest_wait: float = 2.0
    correlation_id: str = ""
    deadline: float | None = None
    before_send: BeforeSend | None = None


class MachineOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Everything needed to buy one machine. `image_auth_id` names a registry credential of the account; the client
    looks up its content.
    """

    machine_name: str
    offer: Offer
    image_url: str
    rootfs_gb: int
    ports: tuple[Port, ...] = ()
    envs: tuple[tuple[str, str], ...] = ()
    command: str = ""
    entrypoint: str = ""
    image_auth_id: str = ""
    network_storages: tuple[tuple[str, str], ...] = ()  # (storage id, mount point)

    def __repr__(self) -> str:
        return f"MachineOrder({self.machine_name})"


class MachinePage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of Novita's list. `total` is Novita's own count of all machines; `unreadable` counts records that
    made no sense.
    """

    machines: tuple[Machine, ...]
    total: int
    unreadable: int = 0


class ProviderJobQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filter of Novita's jobs list; times in Unix seconds, 0 = open."""

    type: str = ""
    state: str = ""
    start_time: int = 0
    end_time: int = 0
    page: int = 1
    page_size: int = 100


class ProviderJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job of Novita's own, such as a migration. `state`: pulling, running, success, fail or break (novita-wire.md
    7.3).
    """

    id: str
    type: str
    state: str
    error: str
    instance_id: str
    created_at: float
    updated_at: float = 0.0


class ProviderJobs(msgspec.Struct, frozen=True, kw_only=True):
    """A page of provider jobs and which API answered: `internal` or `public`."""

    jobs: tuple[ProviderJob, ...]
    total: int
    source: str


class BillCycle(StrEnum):
    """What a row of a bill stands for; cycles lie on whole hours and days in UTC."""

    HOUR = "Hour"
    DAY = "Day"


class BillQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the bill, in Unix seconds: at most 31 days (novita-wire.md 4). `machine_id` None: all machines."""

    start: int
    end: int
    cycle: BillCycle = BillCycle.HOUR
    machine_id: MachineId | None = None


class ClientName(StrEnum):
    """The two clients of Novita, by which logs, metrics and errors tell them apart."""

    PUBLIC = "public"
    INTERNAL = "internal"


class UpstreamBreaker(msgspec.Struct, frozen=True, kw_only=True):
    """A breaker as shown by `GET /api/upstream`. Times are Unix seconds."""

    state: str
    failure_count: int
    opened_at: float | None
    retry_at: float | None


class UpstreamView(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one client of Novita."""

    client: ClientName
    enabled: bool
    reachable: bool | None  # None before the first call
    last_success_at: float | None
    last_failure_at: float | None
    last_error: str | None
    auth_failed: bool
    breakers: dict[str, UpstreamBreaker]
    limit: int
    window_seconds: float
    used: int
    queue_length: int
    oldest_wait_ms: float
    latency_p50_ms: float | None
    latency_p99_ms: float | None


class Provider(Protocol):
    """See the module's text."""

    async def catalogue(self, call: Call) -> Catalogue:
        """Products for spot and on demand, and regions: three requests."""
        ...

    async def machines(self, page: int, page_size: int, call: Call) -> MachinePage:
        """One page of the list, counted from 1. Whether Novita honours paging is for the caller to judge."""
        ...

    async def machine(self, machine_id: MachineId, call: Call) -> Machine:
        """One machine with its details. Raises Gone when Novita says that it does not exist."""
        ...

    async def create(self, order: MachineOrder, call: Call) -> MachineId:
        """Buy a machine. Raises NoCapacity, NoBalance, QuotaExceeded, NotAllowed, Rejected, RegistryAuthMissing,
        TryLater, Unclear.
        """
        ...

    async def start(self, machine_id: MachineId, call: Call) -> None:
        """Start a stopped machine. Raises NoCapacity (a stopped machine does not hold its GPU), InvalidState, Gone,
        …
        """
        ...

    async def stop(self, machine_id: MachineId, call: Call) -> None:
        """Stop a machine. Raises InvalidState, Gone, …"""
        ...

    async def restart(self, machine_id: MachineId, call: Call) -> None:
        """Restart a running machine. Raises InvalidState, Gone, …"""
        ...

    async def delete(self, machine_id: MachineId, call: Call) -> None:
        """Delete a machine for good. Raises Gone, InvalidState, …"""
        ...

    async def migrate(self, machine_id: MachineId, call: Call) -> None:
        """Move a machine to another node: minutes, the same id, and it comes up by itself; what the system disk holds
        is lost. Accepted is not moved: Novita's job tells how it ends (`jobs`). Whether Novita moves a machine by itself
        when its node fails (its autoMigrate) is left as Novita has it: such a move is seen as `migrating`, keeps the id, and
        while it lasts no other is begun. Raises NoCapacity (nothing free to
        move to), InvalidState (neither running nor stopped, noticed, or another job is at work), NoBalance, Gone, …
        """
        ...

    async def metrics(self, machine_id: MachineId, window: Window, call: Call) -> MachineMetrics:
        """What was measured of a machine; about a minute late, empty while nothing was. Raises Gone."""
        ...

    async def templates(self, call: Call) -> tuple[Template, ...]:
        """The account's private templates."""
        ...

    async def template(self, template_id: str, call: Call) -> Template:
        """One template, of any channel. Raises Gone."""
        ...

    async def registry_auths(self, call: Call) -> tuple[RegistryAuth, ...]:
        """Registry credentials, without their passwords."""
        ...

    async def network_storages(self, call: Call) -> tuple[NetworkStorage, ...]:
        """The account's network volumes."""
        ...

    async def jobs(self, query: ProviderJobQuery, call: Call) -> ProviderJobs:
        """Novita's jobs: from the internal API when its key is set, else (or when that fails) from the public one."""
        ...

    async def bills(self, query: BillQuery, call: Call) -> tuple[Billed, ...]:
        """What machines cost by Novita's own account, a row for each machine and cycle. It is late by what Novita needs to settle."""
        ...

    async def balance(self, call: Call) -> Usd:
        """What is left of the account's money; below zero when it is overdrawn."""
        ...

    async def upstream(self) -> tuple[UpstreamView, ...]:
        """The state of both clients; never calls Novita."""
        ...

    async def close(self) -> None:
        """Give up connections; closing twice is fine."""
        ...
