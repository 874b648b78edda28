"""The parts of one process, wired in four layers: foundation, operations, what keeps things true, what tells others."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from novitai.app import groups
from novitai.app.foundation import Foundation
from novitai.domain.automation import Part
from novitai.egress.addresses import Guard
from novitai.egress.client import EgressClient
from novitai.operations.account import Account
from novitai.operations.audit import Audit
from novitai.operations.automation import Automation
from novitai.operations.catalogue import CatalogueBook
from novitai.operations.creation import Creation
from novitai.operations.freshness import Freshness
from novitai.operations.idle import Idleness
from novitai.operations.instances import Verbs
from novitai.operations.keys import Keys
from novitai.operations.ledger import Ledger
from novitai.operations.metering import Metering
from novitai.operations.orphans import Orphans
from novitai.operations.prices import PriceHistory
from novitai.operations.reads import ReadModel
from novitai.operations.receipts import Receipts
from novitai.operations.snooze import Snooze
from novitai.operations.sync import Sync
from novitai.ports.store import Claim, Lease
from novitai.reconcilers.adoption import Adoption
from novitai.reconcilers.audit import LOOK_SECONDS, AuditSealer
from novitai.reconcilers.catalog import REFRESH_SECONDS, CatalogRefresh
from novitai.reconcilers.driver import Lane, Loop
from novitai.reconcilers.health import HealthChecks
from novitai.reconcilers.idle import IdleStop
from novitai.reconcilers.lifecycle import LifecycleReconciler
from novitai.reconcilers.lifecycle.acting import Acting
from novitai.reconcilers.lifecycle.buying import Buying
from novitai.reconcilers.observer import Observer
from novitai.reconcilers.prices import LOOK_SECONDS as PRICES_LOOK_SECONDS
from novitai.reconcilers.prices import Prices
from novitai.reconcilers.retention import RETENTION_SECONDS, Retention
from novitai.reconcilers.schedule import LONGEST_PAUSE, ScheduleKeeper
from novitai.webhooks.delivery import Deliveries
from novitai.webhooks.destinations import barred

INSTANCE_SLOTS = 32
DELIVERY_SLOTS = 64
MAINTENANCE_SLOTS = 4
LONGEST_SYNC_SECONDS = 600.0
"""A sync waits for sweeps, which take minutes on a large account; beyond this it counts as stuck."""


@dataclass(frozen=True, kw_only=True)
class Operations:
    """What may be asked, and what is known."""

    ledger: Ledger
    reads: ReadModel
    keys: Keys
    receipts: Receipts
    catalogue: CatalogueBook
    prices: PriceHistory
    account: Account
    creation: Creation
    verbs: Verbs
    freshness: Freshness
    orphans: Orphans
    sync: Sync
    automation: Automation
    idleness: Idleness
    snooze: Snooze
    audit: Audit


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
    loops: tuple[Loop, ...]
    egress: tuple[EgressClient, ...]


def build_operations(base: Foundation) -> Operations:
    """The verbs and the read model."""
    settings = base.settings
    ledger = Ledger(
        store=base.store,
        clock=base.clock,
        ids=base.ids,
        global_url=settings.webhooks.url,
        retention_seconds=settings.lifecycle.deleted_retention,
    )
    reads = ReadModel(base.store)
    catalogue = CatalogueBook(provider=base.provider, clock=base.clock)
    freshness = Freshness(clock=base.clock, quiet_interval=settings.lifecycle.poll_interval)
    account = Account(provider=base.provider, coordination=base.coordination, sealer=base.sealer)
    creation = Creation(
        ledger=ledger,
        reads=reads,
        catalogue=catalogue,
        account=account,
        sealer=base.sealer,
        defaults=groups.placement(settings),
        health=groups.health_check(settings),
        barred=partial(barred, Guard(str(network) for network in settings.webhooks.allow_cidrs)),
        limits=groups.ceilings(settings),
        creates_per_minute=settings.upstream.rate_limit * groups.BULK_PART,
    )
    orphans = Orphans(
        ledger=ledger,
        reads=reads,
        freshness=freshness,
        provider=base.provider,
        catalogue=catalogue,
        sealer=base.sealer,
        installation=base.installation,
        health=groups.health_check(settings),
    )
    automation = Automation(ledger=ledger)
    audit = Audit(store=base.store, clock=base.clock, sealer=base.sealer)
    idleness = Idleness(
        ledger=ledger,
        reads=reads,
        metering=Metering(provider=base.provider, clock=base.clock),
        usual=groups.idle_rule(settings),
    )
    snooze = Snooze(
        ledger=ledger, reads=reads, idleness=idleness, audit=audit, public_url=settings.server.public_url or ""
    )
    return Operations(
        ledger=ledger,
        reads=reads,
        keys=Keys(ledger=ledger, environment_key=groups.revealed(settings.server.api_key)),
        receipts=Receipts(store=base.store, clock=base.clock),
        catalogue=catalogue,
        prices=PriceHistory(base.store),
        account=account,
        creation=creation,
        verbs=Verbs(ledger=ledger, reads=reads, creation=creation),
        freshness=freshness,
        orphans=orphans,
        sync=Sync(
            ledger=ledger,
            reads=reads,
            freshness=freshness,
            orphans=orphans,
            automation=automation,
            provider=base.provider,
            installation=base.installation,
            retention=settings.lifecycle.deleted_retention,
        ),
        automation=automation,
        idleness=idleness,
        snooze=snooze,
        audit=audit,
    )


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
    catalog = CatalogRefresh(operations.catalogue)
    retention = Retention(store=base.store, clock=base.clock)
    return Keepers(
        health_checks=HealthChecks(
            ledger=operations.ledger, reads=operations.reads, egress=health_egress, settings=groups.probes(settings)
        ),
        deliveries=deliveries,
        lanes=(
            _lane("instances", INSTANCE_SLOTS, lifecycle.handle, base, operations),
            delivery_lane,
            _lane("maintenance", MAINTENANCE_SLOTS, adoption.work.handle, base, operations),
        ),
        observer=watch,
        audit_log=audit_log,
        timers=timers,
        schedule=schedule,
        idle_stop=idle_stop,
        idle=idle,
        loops=(
            watch,
            adoption.loop,
            audit_log,
            schedule,
            idle,
            _loop("catalog", catalog.run, REFRESH_SECONDS, base),
            _prices(base, operations),
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


def _timers(base: Foundation, operations: Operations) -> ScheduleKeeper:
    return ScheduleKeeper(
        verbs=operations.verbs,
        reads=operations.reads,
        automation=operations.automation,
        keys=operations.keys,
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
    )
    acting = Acting(provider=base.provider, ledger=operations.ledger, sealer=base.sealer)
    return LifecycleReconciler(
        ledger=operations.ledger,
        reads=operations.reads,
        buying=buying,
        acting=acting,
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
