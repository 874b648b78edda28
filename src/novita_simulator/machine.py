"""One machine: what was ordered, what it is doing, what it cost.

The record is plain state; what may happen to it is decided in `world`, `actions` and `spot`. The application that runs on it is
described here only by what one sees from outside: its port refuses, answers 502, answers, or hangs.
"""

from dataclasses import dataclass, field

from novita_simulator.billing import Meter
from novita_simulator.catalogue import Cluster, Product
from novita_simulator.lifecycle import RUNNING
from novita_simulator.metrics import LoadScript
from novita_simulator.stock import Pool

APP_MODES = ("auto", "refuse", "502", "ok", "hang")


@dataclass(frozen=True)
class Env:
    key: str
    value: str


@dataclass(frozen=True)
class Port:
    number: int
    type: str  # http | tcp


@dataclass(frozen=True)
class Mount:
    storage_id: str
    path: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What runs on the machine; replaced as a whole by an upgrade."""

    image_url: str
    image_auth_id: str = ""
    command: str = ""
    entrypoint: str = ""
    envs: tuple[Env, ...] = ()
    mounts: tuple[Mount, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AppScript:
    """What the application does when it is not left to its own warm-up (`mode` auto)."""

    mode: str = "auto"
    body: str | None = None
    status: int = 200


@dataclass(slots=True)
class SpotState:
    status: str = ""  # "" | running | notified | reclaiming | terminated
    reclaim_at: float = 0  # the announced deadline; stays after the reclaim (novita-wire.md 7.2)
    round: int = 0  # moves on when an announced reclaim no longer holds


@dataclass(slots=True, kw_only=True)
class Machine:
    id: str
    name: str
    product: Product
    cluster: Cluster
    gpu_num: int
    rootfs_size: int
    billing_mode: str
    price: int  # per GPU and hour, 1/100000 USD, as of the last create, start or migration
    workload: Workload
    ports: tuple[Port, ...]
    jupyter_port: int
    created_at: float
    gpu_ids: tuple[int, ...]

    status: str = ""
    status_error: tuple[str, str] = ("", "")
    motion: int = 0  # moves on with every new path, so that steps of the one before fall silent
    last_started_at: float = 0
    last_stopped_at: float = 0
    running_since: float | None = None
    removed_at: float | None = None
    holds_gpus: bool = False
    job_id: str = ""  # the job that works on it now
    spot: SpotState = field(default_factory=SpotState)
    end_at: float | None = None  # of a monthly machine
    auto_renew_months: int = 0
    auto_migrate: bool = False
    auto_migrate_system_disk: bool = False

    ssh_port: int = 0
    ssh_password: str = ""
    endpoints: dict[int, str] = field(default_factory=dict)  # by port, once somebody serves them
    app: AppScript = field(default_factory=AppScript)
    load: LoadScript = field(default_factory=LoadScript)
    meter: Meter = field(default_factory=Meter)
    history: list[tuple[float, str]] = field(default_factory=list)

    @property
    def units(self) -> int:
        """What it takes from its pool: its GPUs, or itself when it has none."""
        return max(1, self.gpu_num)

    @property
    def pool(self) -> Pool:
        return (self.product.id, self.cluster.id, self.billing_mode)

    @property
    def is_spot(self) -> bool:
        return self.billing_mode == "spot"

    def app_phase(self, now: float, *, refuse: float, warmup: float) -> str:
        """refuse, 502, ok or hang: what a caller of the machine's ports meets now."""
        if self.running_since is None or self.status != RUNNING:
            return "refuse"
        if self.app.mode != "auto":
            return self.app.mode
        age = now - self.running_since
        if age < refuse:
            return "refuse"
        return "502" if age < refuse + warmup else "ok"

    def ssh_is_ready(self, now: float, *, after: float) -> bool:
        return self.running_since is not None and now >= self.running_since + after
