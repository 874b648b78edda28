"""What runs by itself in one process: lanes, loops, health checks and deliveries, wired on the operations."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from novitai.app import groups
from novitai.app.foundation import Foundation
from novitai.app.operations import Operations
from novitai.domain.automation import Part
from novitai.egress.addresses import Guard
from novitai.egress.client import EgressClient
from novitai.operations.sync import KEY as SYNC_KEY
from novitai.ports.store import Claim, Lease
from novitai.reconcilers.adoption import Adoption
from novitai.reconcilers.audit import LOOK_SECONDS, AuditSealer
from novitai.reconcilers.budget import LONGEST_PAUSE as BUDGET_LOOK_SECONDS
from novitai.reconcilers.budget import BudgetKeeper
from novitai.reconcilers.catalog import REFRESH_SECONDS, CatalogRefresh
from novitai.reconcilers.costs import LOOK_SECONDS as COSTS_LOOK_SECONDS
from novitai.reconcilers.costs import CostKeeping
from novitai.reconcilers.driver import Lane, Loop
from novitai.reconcilers.failed_migrations import FailedMigrationCheck
from novitai.reconcilers.health import HealthChecks
from novitai.reconcilers.idle import IdleStop
from novitai.reconcilers.lifecycle import LifecycleReconciler
from novitai.reconcilers.lifecycle.acting import Acting
from novitai.reconcilers.lifecycle.buying import Buying
from novitai.reconcilers.migration import MigrationKeeper
from novitai.reconcilers.move_trigger import MoveTrigger
from novitai.reconcilers.observer import Observer
from novitai.reconcilers.prices import LOOK_SECONDS as PRICES_LOOK_SECONDS
from novitai.reconcilers.prices import Prices
from novitai.reconcilers.retention import RETENTION_SECONDS, Retention
from novitai.reconcilers.schedule import LONGEST_PAUSE, ScheduleKeeper
from novitai.webhooks.delivery import Deliveries

INSTANCE_SLOTS = 32
DELIVERY_SLOTS = 64
MAINTENANCE_SLOTS = 4
REPAIRS_EVERY = 2
"""Failed migrations are looked for once in so many intervals of the loop that moves."""
LONGEST_REPAIR_SECONDS = 600.0
"""A look for them waits in the limiter with each machine that it reads."""
LONGEST_SYNC_SECONDS = 600.0
"""A sync waits for sweeps, which take minutes on a large account; beyond this it counts as stuck."""


@dataclass(frozen=True, kw_only=True)
class Keepers:
    """What runs by itself."""

    health_checks: HealthChecks
    deliveries: Deliveries
    lanes: tuple[Lane, ...]
    observer: Loop
    audit_log: Loop
    timers: ScheduleKeeper
    schedule: Loop
    idle_stop: IdleStop
    idle: Loop
    budget_keeper: BudgetKeeper
    budget: Loop
    migration_keeper: MigrationKeeper
    migration: Loop
    failed_migrations: Loop
    loops: tuple[Loop, ...]
    egress: tuple[EgressClient, ...]


def build_keepers(base: Foundation, operations: Operations) -> Keepers:
    """The table of contents of everything that runs by itself."""
    settings = base.settings
    webhook_egress = base.egress or _egress(settings.webhooks.allow_cidrs)
    health_egress = base.egress or _egress(settings.health.allow_cidrs)
    deliveries, delivery_lane = _telling(base, operations, webhook_egress)
    lifecycle = _lifecycle(base, operations)
    watch, adoption = _watching(base, operations)
    sealer = AuditSealer(audit=operations.audit, store=base.store, clock=base.clock)
    audit_log = _loop("audit", sealer.run, LOOK_SECONDS, base)
    timers = _timers(base, operations)
    schedule = _loop("schedule", timers.run, LONGEST_PAUSE, base)
    idle_stop = _idle_stop(base, operations)
    idle = _loop("idle", idle_stop.run, settings.auto_stop.interval, base)
    budget_keeper = _budget_keeper(base, operations)
    budget = _loop("budget", budget_keeper.run, BUDGET_LOOK_SECONDS, base)
    migration_keeper = _migration_keeper(base, operations)
    migration = _loop("migration", migration_keeper.run, settings.migration.interval, base)
    repair = _repair(base, operations)
    maintenance = _maintenance(operations, adoption.work, repair, migration_keeper)
    failed_migrations = _loop(
        "failed-migrations",
        repair.run,
        REPAIRS_EVERY * settings.migration.interval,
        base,
        longest_run=LONGEST_REPAIR_SECONDS,
    )
    catalog = CatalogRefresh(operations.catalogue, hushed=lambda: operations.standing.key_refused)
    retention = Retention(store=base.store, clock=base.clock)
    return Keepers(
        health_checks=HealthChecks(
            ledger=operations.ledger, reads=operations.reads, egress=health_egress, settings=groups.probes(settings)
        ),
        deliveries=deliveries,
        lanes=(
            _lane("instances", INSTANCE_SLOTS, lifecycle.handle, base, operations),
            delivery_lane,
            _lane("maintenance", MAINTENANCE_SLOTS, maintenance, base, operations),
        ),
        observer=watch,
        audit_log=audit_log,
        timers=timers,
        schedule=schedule,
        idle_stop=idle_stop,
        idle=idle,
        budget_keeper=budget_keeper,
        budget=budget,
        migration_keeper=migration_keeper,
        migration=migration,
        failed_migrations=failed_migrations,
        loops=(
            watch,
            adoption.loop,
            audit_log,
            schedule,
            idle,
            budget,
            migration,
            failed_migrations,
            _loop("catalog", catalog.run, REFRESH_SECONDS, base),
            _prices(base, operations),
            _costs(base, operations),
            _loop("retention", retention.run, RETENTION_SECONDS, base),
        ),
        egress=(webhook_egress, health_egress),
    )


def _telling(base: Foundation, operations: Operations, egress: EgressClient) -> tuple[Deliveries, Lane]:
    """Deliveries and their lane: an attempt that waits for a slow receiver steps aside in it."""

    def step_aside(claim: Claim) -> None:
        lane.step_aside(claim)

    deliveries = Deliveries(
        store=base.store,
        clock=base.clock,
        ids=base.ids,
        sealer=base.sealer,
        egress=egress,
        settings=groups.webhooks(base.settings),
        step_aside=step_aside,
        told=lambda outcome, lag: base.metrics.webhook_attempted(outcome=outcome, lag_seconds=lag),
    )
    lane = _lane("deliveries", DELIVERY_SLOTS, deliveries.handle, base, operations)
    return deliveries, lane


@dataclass(frozen=True)
class _Adopting:
    """The look at what is unknown, and its loop."""

    work: Adoption
    loop: Loop


def _watching(base: Foundation, operations: Operations) -> tuple[Loop, _Adopting]:
    """The observer's loop, and the look at what each of its sweeps shows that we have no record of."""
    interval = base.settings.lifecycle.sync_interval

    def swept(*, complete: bool, pages: int, machines: int) -> None:
        base.metrics.swept(complete=complete, pages=pages, machines=machines)
        if complete:
            adopting.nudge()

    def sweep() -> None:
        observer.sweep_soon()
        watch.nudge()

    observer = Observer(
        provider=base.provider,
        ledger=operations.ledger,
        reads=operations.reads,
        freshness=operations.freshness,
        sealer=base.sealer,
        costs=operations.costs,
        standing=operations.standing,
        settings=groups.observer(base.settings, base.installation),
        told=swept,
    )
    watch = _loop("observer", observer.run, base.settings.lifecycle.poll_interval, base)
    adoption = Adoption(
        ledger=operations.ledger,
        reads=operations.reads,
        freshness=operations.freshness,
        orphans=operations.orphans,
        sync=operations.sync,
        verbs=operations.verbs,
        automation=operations.automation,
        sweep=sweep,
        settings=groups.adoption(base.settings, base.installation),
    )
    adopting = _loop("adoption", adoption.run, interval, base, longest_run=LONGEST_SYNC_SECONDS)
    return watch, _Adopting(adoption, adopting)


def _prices(base: Foundation, operations: Operations) -> Loop:
    """The loop of the price history, which looks at each reading of the catalogue."""
    prices = Prices(
        book=operations.catalogue,
        history=operations.prices,
        ledger=operations.ledger,
        watched=groups.price_alerts(base.settings),
    )
    loop = _loop("prices", prices.run, PRICES_LOOK_SECONDS, base)
    operations.catalogue.listen(loop.nudge)
    return loop


def _costs(base: Foundation, operations: Operations) -> Loop:
    """The loop of the cost ledger."""
    keeping = CostKeeping(
        costs=operations.costs,
        ledger=operations.ledger,
        reads=operations.reads,
        freshness=operations.freshness,
        provider=base.provider,
        hushed=lambda: operations.standing.key_refused,
        settings=groups.costs(base.settings),
    )
    return _loop("costs", keeping.run, COSTS_LOOK_SECONDS, base)


def _idle_stop(base: Foundation, operations: Operations) -> IdleStop:
    return IdleStop(
        ledger=operations.ledger,
        verbs=operations.verbs,
        idleness=operations.idleness,
        snooze=operations.snooze,
        automation=operations.automation,
        steady=base.steady,
        interval=base.settings.auto_stop.interval,
    )


def _migration_keeper(base: Foundation, operations: Operations) -> MigrationKeeper:
    return MigrationKeeper(
        ledger=operations.ledger,
        migrations=operations.migrations,
        automation=operations.automation,
        observe=groups.observes(base.settings),
        interval=base.settings.migration.interval,
    )


def _repair(base: Foundation, operations: Operations) -> FailedMigrationCheck:
    return FailedMigrationCheck(
        failures=operations.failed_migrations,
        migrations=operations.migrations,
        ledger=operations.ledger,
        automation=operations.automation,
        interval=REPAIRS_EVERY * base.settings.migration.interval,
        observe=groups.observes(base.settings),
    )


def _maintenance(
    operations: Operations, adoption: Adoption, repair: FailedMigrationCheck, moves: MigrationKeeper
) -> Callable[[Claim], Awaitable[None]]:
    """Who does what somebody asked for, by the subject of its job."""
    triggered = MoveTrigger(
        trigger=operations.move_trigger,
        migrations=operations.migrations,
        look=lambda: moves.run(None),
        clock=operations.ledger.clock,
    )
    handlers = {
        SYNC_KEY: adoption.handle,
        operations.failed_migrations.trigger.key: repair.handle,
        operations.move_trigger.key: triggered.handle,
    }

    async def handle(claim: Claim) -> None:
        await handlers[claim.key](claim)

    return handle


def _timers(base: Foundation, operations: Operations) -> ScheduleKeeper:
    return ScheduleKeeper(
        verbs=operations.verbs,
        reads=operations.reads,
        automation=operations.automation,
        keys=operations.keys,
        ledger=operations.ledger,
        observe=groups.observes(base.settings),
    )


def _budget_keeper(base: Foundation, operations: Operations) -> BudgetKeeper:
    return BudgetKeeper(
        budgets=operations.budgets,
        verbs=operations.verbs,
        reads=operations.reads,
        automation=operations.automation,
        ledger=operations.ledger,
        observe=groups.observes(base.settings),
    )


def _lifecycle(base: Foundation, operations: Operations) -> LifecycleReconciler:
    buying = Buying(
        provider=base.provider,
        ledger=operations.ledger,
        reads=operations.reads,
        catalogue=operations.catalogue,
        sealer=base.sealer,
        installation=base.installation,
        limits=groups.ceilings(base.settings),
        keys=operations.keys,
        budgets=operations.budgets,
        standing=operations.standing,
    )
    acting = Acting(provider=base.provider, ledger=operations.ledger, sealer=base.sealer, standing=operations.standing)
    return LifecycleReconciler(
        ledger=operations.ledger,
        reads=operations.reads,
        buying=buying,
        acting=acting,
        standing=operations.standing,
        settings=groups.lifecycle(base.settings),
    )


def _lane(
    name: str, slots: int, handler: Callable[[Claim], Awaitable[None]], base: Foundation, operations: Operations
) -> Lane:
    return Lane(
        name,
        slots=slots,
        handler=handler,
        store=base.store,
        clock=base.clock,
        ids=base.ids,
        owner=base.owner,
        told=base.metrics.job_finished,
        paused=lambda: operations.automation.paused(Part.JOBS),
    )


def _loop(
    name: str,
    work: Callable[[Lease], Awaitable[float | None]],
    interval: float,
    base: Foundation,
    *,
    longest_run: float = 0.0,
) -> Loop:
    return Loop(
        name, work, interval=interval, longest_run=longest_run, store=base.store, clock=base.clock, owner=base.owner
    )


def _egress(allowed: Sequence[object]) -> EgressClient:
    return EgressClient(Guard(str(network) for network in allowed))
