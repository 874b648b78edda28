"""What Novita runs, in our words. Novita's own status words are translated in `novita/translate.py` and never come
here.
"""

from enum import StrEnum

import msgspec

from novitai.domain.ids import MachineId
from novitai.domain.money import Usd


class MachineStatus(StrEnum):
    """What a machine is doing. `bills` tells since when it costs money."""

    PENDING = "pending"  # waiting to be created, or being created
    PULLING = "pulling"  # fetching the image; billing begins here
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    RESTARTING = "restarting"
    MIGRATING = "migrating"
    REMOVING = "removing"
    REMOVED = "removed"
    FROZEN = "frozen"
    UNKNOWN = "unknown"  # a word we do not know; nothing is concluded from it

    @property
    def going(self) -> bool:
        """On its way to running, or running."""
        return self in {self.PENDING, self.PULLING, self.STARTING, self.RUNNING, self.RESTARTING, self.MIGRATING}

    @property
    def coming_up(self) -> bool:
        """On its way to running, and not there yet."""
        return self in {self.PENDING, self.PULLING, self.STARTING, self.RESTARTING}

    @property
    def going_down(self) -> bool:
        """Not up any more, or not for long."""
        return self in {self.STOPPING, self.STOPPED} or self.leaving

    @property
    def leaving(self) -> bool:
        """Being removed, or removed: it never comes back."""
        return self in {self.REMOVING, self.REMOVED}

    @property
    def in_motion(self) -> bool:
        """It will change by itself soon; looking often is worth it."""
        return self in {
            self.PENDING,
            self.PULLING,
            self.STARTING,
            self.STOPPING,
            self.RESTARTING,
            self.MIGRATING,
            self.REMOVING,
        }


class BillingMode(StrEnum):
    """How a machine is paid for."""

    SPOT = "spot"
    ON_DEMAND = "onDemand"
    MONTHLY = "monthly"


class SpotStatus(StrEnum):
    """What Novita says of a spot machine (novita-wire.md 7.2)."""

    NONE = "none"
    RUNNING = "running"
    NOTIFIED = "notified"
    RECLAIMING = "reclaiming"
    TERMINATED = "terminated"

    @property
    def taken(self) -> bool:
        """Novita takes the machine back, or has done so."""
        return self in {self.NOTIFIED, self.RECLAIMING, self.TERMINATED}


class Port(msgspec.Struct, frozen=True):
    """A port asked for: `http` or `tcp`."""

    port: int
    type: str


class PortMapping(msgspec.Struct, frozen=True):
    """A port as Novita serves it. `endpoint` may be empty while the machine is not up."""

    port: int
    type: str
    endpoint: str


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach a machine by SSH and its tools. The password is sealed before it is stored."""

    host: str = ""
    port: int = 0
    username: str = ""
    ssh: str = ""
    jupyter: str = ""
    web_terminal: str = ""
    log_address: str = ""
    system_log_address: str = ""

    @property
    def has_ssh(self) -> bool:
        return bool(self.ssh)


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """One machine as Novita reports it. Times are Unix seconds, 0 for never; `detailed` when read singly (SSH
    details are only there). `auto_migrate`: whether Novita moves it by itself when its node fails; None when the record
    does not say (novita-wire.md 3.5).
    """

    id: MachineId
    name: str
    status: MachineStatus
    provider_status: str
    error: str = ""
    cluster_id: str = ""
    region: str = ""
    product_id: str = ""
    product_name: str = ""
    gpu_num: int = 1
    cpu_num: int = 0
    memory_gb: int = 0
    rootfs_gb: int = 0
    image_url: str = ""
    billing_mode: BillingMode | None = None
    spot_status: SpotStatus = SpotStatus.NONE
    reclaim_at: float = 0.0
    ports: tuple[PortMapping, ...] = ()
    connection: Connection | None = None
    password: str = msgspec.field(default="", name="-")
    detailed: bool = False
    created_at: float = 0.0
    started_at: float = 0.0
    stopped_at: float = 0.0
    price_per_hour: Usd | None = None
    auto_migrate: bool | None = None

    def __repr__(self) -> str:
        return f"Machine({self.id} {self.name} {self.status})"
