"""Everything the HTTP side needs, handed in by the composition root; every part can be replaced by a test."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from novitai.api.health import SystemHealth
from novitai.api.loops import LoopView
from novitai.api.proxies import Network
from novitai.domain.instance import HealthCheck
from novitai.domain.migration import MoveRule
from novitai.operations.account import Account
from novitai.operations.audit import Audit
from novitai.operations.automation import Automation
from novitai.operations.budget import Budgets
from novitai.operations.catalogue import CatalogueBook
from novitai.operations.costs import Costs
from novitai.operations.creation import Creation
from novitai.operations.explanation import Explaining
from novitai.operations.failed_migrations import FailedMigrations
from novitai.operations.freshness import Freshness
from novitai.operations.idle import Idleness
from novitai.operations.instances import Verbs
from novitai.operations.keys import Keys
from novitai.operations.ledger import Ledger
from novitai.operations.migration import Migrations
from novitai.operations.move_trigger import MoveLook
from novitai.operations.orphans import Orphans
from novitai.operations.prices import PriceHistory
from novitai.operations.provider_jobs import ProviderJobBook
from novitai.operations.reads import ReadModel
from novitai.operations.receipts import Receipts
from novitai.operations.snooze import Snooze
from novitai.operations.sync import Sync
from novitai.operations.triggers import Trigger
from novitai.ports.coordination import Coordination
from novitai.ports.provider import Provider
from novitai.ports.store import Store
from novitai.ports.world import Clock, Ids, Sealer
from novitai.telemetry.metrics import Metrics


@dataclass(frozen=True, kw_only=True)
class ApiSettings:
    """The settings that the HTTP side reads. Durations are seconds.

    `observe`: changes of instances are refused. `name_lookup`: by-name calls say when a machine of that name exists unmanaged.
    `health_check`, `move_rule`: the defaults of checks and of migration. `tls`: we serve HTTPS ourselves.
    `longest_sync`: how long the answer to a sync is held; then it goes on as a job.
    """

    version: str = "0"
    production: bool = False
    allowed_origins: tuple[str, ...] = ()
    rate_limit_window: float = 60.0
    rate_limit_max_requests: int = 600
    slow_seconds: float = 2.0
    observe: bool = False
    metrics_public: bool = False
    name_lookup: bool = True
    tls: bool = False
    trusted_proxies: tuple[Network, ...] = ()
    health_check: HealthCheck = field(default_factory=HealthCheck)
    longest_sync: float = 25.0
    idle_interval: float = 300.0
    move_rule: MoveRule = field(default_factory=MoveRule)


@dataclass(frozen=True, kw_only=True)
class ApiParts:
    """See the module's text. `system_health` tells of the last observation without asking anybody; `shutting_down` ends waiting.
    `check_idle` makes the idle stop look now; `loop` tells how a loop of this process is, by its name.
    """

    creation: Creation
    verbs: Verbs
    keys: Keys
    budgets: Budgets
    receipts: Receipts
    reads: ReadModel
    ledger: Ledger
    catalogue: CatalogueBook
    costs: Costs
    prices: PriceHistory
    provider_jobs: ProviderJobBook
    migrations: Migrations
    failed_migrations: FailedMigrations
    move_trigger: Trigger[MoveLook]
    account: Account
    freshness: Freshness
    orphans: Orphans
    sync: Sync
    automation: Automation
    idleness: Idleness
    explaining: Explaining
    snooze: Snooze
    audit: Audit
    provider: Provider
    coordination: Coordination
    store: Store
    sealer: Sealer
    metrics: Metrics
    clock: Clock
    ids: Ids
    check_idle: Callable[[], None]
    loop: Callable[[str], LoopView]
    system_health: Callable[[], SystemHealth]
    shutting_down: asyncio.Event
    settings: ApiSettings = field(default_factory=ApiSettings)
