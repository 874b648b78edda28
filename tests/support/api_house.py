"""The HTTP side with everything behind it but the network: a store in memory, a scripted provider, virtual time, and keys of each scope."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import httpx2

from novitai.api.app import build_app
from novitai.api.health import SystemHealth
from novitai.api.loops import LoopView
from novitai.api.parts import ApiParts, ApiSettings
from novitai.coordination.local import LocalCoordination
from novitai.domain.change import Change
from novitai.domain.idle import IdleRule
from novitai.domain.instance import HealthCheck, Instance
from novitai.domain.keys import KeyLimits, Scope
from novitai.domain.migration import MoveRule
from novitai.domain.secrets import Sealed
from novitai.egress.addresses import Guard
from novitai.operations.account import Account
from novitai.operations.audit import Audit
from novitai.operations.automation import Automation
from novitai.operations.budget import Budgets
from novitai.operations.budget_policy import BudgetPolicy
from novitai.operations.catalogue import CatalogueBook
from novitai.operations.ceilings import Ceilings, Room
from novitai.operations.costs import Costs
from novitai.operations.creation import Creation, PlacementDefaults
from novitai.operations.explanation import Explaining, usual_policies
from novitai.operations.failed_migrations import FailedMigrations
from novitai.operations.freshness import Freshness
from novitai.operations.idle import Idleness
from novitai.operations.instances import Verbs
from novitai.operations.keys import Keys
from novitai.operations.ledger import Ledger
from novitai.operations.metering import Metering
from novitai.operations.migration import Migrations
from novitai.operations.move_trigger import move_trigger
from novitai.operations.orphans import Orphans
from novitai.operations.prices import PriceHistory
from novitai.operations.provider_jobs import ProviderJobBook
from novitai.operations.reads import ReadModel
from novitai.operations.receipts import Receipts
from novitai.operations.snooze import Snooze
from novitai.operations.standing import AccountStanding
from novitai.operations.sync import Sync
from novitai.policies.steps import Limits
from novitai.ports.store import Store
from novitai.ports.world import Sealer
from novitai.stores.notifying import NotifyingStore
from novitai.stores.sqlite import open_sqlite
from novitai.telemetry.metrics import Metrics
from novitai.webhooks.destinations import barred
from support.clock import FakeClock, FakeIds
from support.running import context
from support.scripted_provider import ScriptedProvider

ENVIRONMENT_KEY = "nvk_env_0123456789abcdef0123456789abcdef"
INSTALLATION = "test"
URL = "http://house.test"


class PlainSealer:
    """Seals so that a test can see what was sealed."""

    def seal(self, plaintext: str) -> Sealed:
        return Sealed(f"sealed:{plaintext}")

    def open(self, sealed: Sealed) -> str:
        return sealed.box.removeprefix("sealed:")


@dataclass
class House:
    """The parts, the application over them, and a key of each scope."""

    parts: ApiParts
    app: Any
    clock: Any
    provider: ScriptedProvider
    health: list[SystemHealth]
    idle_checks: list[float] = field(default_factory=list)
    keys: dict[Scope, str] = field(default_factory=dict)

    def client(
        self, scope: Scope | None = Scope.ADMIN, *, address: str = "10.0.0.1", **headers: str
    ) -> httpx2.AsyncClient:
        """A caller with a key of this scope (None: without any)."""
        if scope is not None:
            headers.setdefault("Authorization", f"Bearer {self.keys[scope]}")
        transport = httpx2.ASGITransport(app=self.app, client=(address, 40_000))
        return httpx2.AsyncClient(transport=transport, base_url=URL, headers=headers)

    async def have(self, *instances: Instance) -> None:
        """Let the store have these instances."""
        for instance in instances:
            await self.parts.ledger.commit(0, Change(instance=instance))

    async def change(self, instance: Instance) -> None:
        """Let a reconciler have written this."""
        held = self.parts.reads.get(instance.id)
        assert held is not None
        await self.parts.ledger.commit(held.version, Change(instance=instance))


@asynccontextmanager
async def open_house(
    settings: ApiSettings | None = None,
    *,
    limits: Ceilings | None = None,
    store: Store | None = None,
    webhook_url: str | None = None,
    clock: Any = None,
    environment_key: str = ENVIRONMENT_KEY,
    sealer: Sealer | None = None,
    idle_rule: IdleRule | None = None,
) -> AsyncIterator[House]:
    """A house to make requests to; `clock`: another than virtual time."""
    clock, ids, sealer = clock or FakeClock(), FakeIds(), sealer or PlainSealer()
    engine = store or await open_sqlite(None, clock=clock)
    kept = NotifyingStore(engine)
    reads = ReadModel(kept)
    provider = ScriptedProvider(clock=clock)
    catalogue = CatalogueBook(provider=provider, clock=clock)
    costs = Costs(store=kept, reads=reads, catalogue=catalogue, clock=clock)
    ledger = Ledger(
        store=kept,
        clock=clock,
        ids=ids,
        global_url=webhook_url,
        retention_seconds=7 * 86_400.0,
        metered=costs.metered,
    )
    kept.subscribe(costs.committed)
    kept.subscribe(reads.committed)
    keys = Keys(ledger=ledger, environment_key=environment_key)
    kept.subscribe(keys.committed)
    coordination = LocalCoordination(clock=clock, limits={"public": 100, "internal": 50})
    account = Account(provider=provider, coordination=coordination, sealer=sealer)
    standing = AccountStanding(ledger=ledger)
    kept.subscribe(standing.committed)
    budgets = Budgets(ledger=ledger, reads=reads, keys=keys, spending=costs)
    spending = BudgetPolicy(budgets=budgets, ledger=ledger)
    kept.subscribe(budgets.committed)
    creation = Creation(
        ledger=ledger,
        reads=reads,
        catalogue=catalogue,
        account=account,
        sealer=sealer,
        defaults=PlacementDefaults(),
        barred=partial(barred, Guard()),
        health=HealthCheck(),
        room=Room(reads=reads, ceilings=limits or Ceilings(), budgets=budgets, standing=standing),
        creates_per_minute=20.0,
    )
    health = [SystemHealth()]
    idle_checks: list[float] = []
    freshness = Freshness(clock=clock, quiet_interval=30.0)
    orphans = Orphans(
        ledger=ledger,
        reads=reads,
        freshness=freshness,
        provider=provider,
        catalogue=catalogue,
        sealer=sealer,
        installation=INSTALLATION,
        health=HealthCheck(),
    )
    kept.subscribe(orphans.committed)
    provider_jobs = ProviderJobBook(provider=provider, coordination=coordination)
    migrations = Migrations(
        ledger=ledger, reads=reads, catalogue=catalogue, room=creation.room, keys=keys, usual=MoveRule(), most=5
    )
    automation = Automation(ledger=ledger)
    audit = Audit(store=kept, clock=clock, sealer=sealer)
    metering = Metering(provider=provider, clock=clock)
    idleness = Idleness(ledger=ledger, reads=reads, metering=metering, usual=idle_rule or IdleRule())
    kept.subscribe(idleness.committed)
    kept.subscribe(automation.committed)
    parts = ApiParts(
        creation=creation,
        verbs=Verbs(ledger=ledger, reads=reads, creation=creation),
        budgets=budgets,
        orphans=orphans,
        sync=Sync(
            ledger=ledger,
            reads=reads,
            freshness=freshness,
            orphans=orphans,
            automation=automation,
            provider=provider,
            installation=INSTALLATION,
            retention=7 * 86_400.0,
        ),
        automation=automation,
        idleness=idleness,
        explaining=Explaining(
            ledger=ledger,
            idleness=idleness,
            freshness=freshness,
            automation=automation,
            standing=standing,
            policies=(
                *usual_policies(
                    idleness=idleness,
                    health=HealthCheck(),
                    limits=Limits(),
                    held=lambda instance: spending.hold(instance) is not None,
                ),
                migrations.policy(),
                spending.policy(),
            ),
        ),
        snooze=Snooze(
            ledger=ledger, reads=reads, idleness=idleness, audit=audit, public_url="https://gpus.example.test"
        ),
        check_idle=lambda: idle_checks.append(clock.now()),
        audit=audit,
        keys=keys,
        receipts=Receipts(store=kept, clock=clock),
        reads=reads,
        ledger=ledger,
        catalogue=catalogue,
        costs=costs,
        prices=PriceHistory(kept),
        provider_jobs=provider_jobs,
        migrations=migrations,
        failed_migrations=FailedMigrations(
            ledger=ledger, reads=reads, provider=provider, jobs=provider_jobs, migrations=migrations
        ),
        move_trigger=move_trigger(ledger),
        loop=lambda name: LoopView(interval=900.0 if name == "migration" else 1800.0),
        account=account,
        freshness=freshness,
        provider=provider,
        coordination=coordination,
        store=kept,
        sealer=sealer,
        metrics=Metrics(),
        clock=clock,
        ids=ids,
        system_health=lambda: health[0],
        shutting_down=asyncio.Event(),
        settings=replace(settings or replace(ApiSettings(), rate_limit_max_requests=0), longest_sync=0.0),
    )
    await reads.load()
    await keys.load()
    house = House(
        parts=parts, app=build_app(parts), clock=clock, provider=provider, health=health, idle_checks=idle_checks
    )
    for scope in Scope:
        made = await keys.make(context(), name=str(scope), scope=scope, expires_at=None, limits=KeyLimits())
        house.keys[scope] = made.text
    try:
        yield house
    finally:
        parts.shutting_down.set()
        await kept.close()
