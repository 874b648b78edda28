"""What may be asked of one process, and what it knows: the operations, wired on the foundation."""

from dataclasses import dataclass
from functools import partial

from novitai.app import groups
from novitai.app.foundation import Foundation
from novitai.egress.addresses import Guard
from novitai.operations.account import Account
from novitai.operations.audit import Audit
from novitai.operations.automation import Automation
from novitai.operations.budget import Budgets
from novitai.operations.budget_policy import BudgetPolicy
from novitai.operations.catalogue import CatalogueBook
from novitai.operations.ceilings import Room
from novitai.operations.costs import Costs
from novitai.operations.creation import Creation
from novitai.operations.explanation import Explaining, usual_policies
from novitai.operations.failed_migrations import FailedMigrations
from novitai.operations.freshness import Freshness
from novitai.operations.idle import Idleness
from novitai.operations.instances import Verbs
from novitai.operations.keys import Keys
from novitai.operations.ledger import Ledger
from novitai.operations.metering import Metering
from novitai.operations.migration import Migrations
from novitai.operations.move_trigger import MoveLook, move_trigger
from novitai.operations.orphans import Orphans
from novitai.operations.prices import PriceHistory
from novitai.operations.provider_jobs import ProviderJobBook
from novitai.operations.reads import ReadModel
from novitai.operations.receipts import Receipts
from novitai.operations.snooze import Snooze
from novitai.operations.standing import AccountStanding
from novitai.operations.sync import Sync
from novitai.operations.triggers import Trigger
from novitai.webhooks.destinations import barred


@dataclass(frozen=True, kw_only=True)
class Operations:
    """What may be asked, and what is known."""

    ledger: Ledger
    reads: ReadModel
    keys: Keys
    receipts: Receipts
    catalogue: CatalogueBook
    costs: Costs
    prices: PriceHistory
    provider_jobs: ProviderJobBook
    account: Account
    standing: AccountStanding
    budgets: Budgets
    creation: Creation
    verbs: Verbs
    freshness: Freshness
    orphans: Orphans
    sync: Sync
    automation: Automation
    idleness: Idleness
    migrations: Migrations
    failed_migrations: FailedMigrations
    move_trigger: Trigger[MoveLook]
    explaining: Explaining
    snooze: Snooze
    audit: Audit


def build_operations(base: Foundation) -> Operations:
    """The verbs and the read model."""
    settings = base.settings
    reads = ReadModel(base.store)
    catalogue = CatalogueBook(provider=base.provider, clock=base.clock)
    costs = Costs(store=base.store, reads=reads, catalogue=catalogue, clock=base.clock)
    ledger = Ledger(
        store=base.store,
        clock=base.clock,
        ids=base.ids,
        global_url=settings.webhooks.url,
        retention_seconds=settings.lifecycle.deleted_retention,
        metered=costs.metered,
    )
    freshness = Freshness(clock=base.clock, quiet_interval=settings.lifecycle.poll_interval)
    account = Account(provider=base.provider, coordination=base.coordination, sealer=base.sealer)
    keys = Keys(ledger=ledger, environment_key=groups.revealed(settings.server.api_key))
    standing = AccountStanding(ledger=ledger, balance=lambda: costs.balance)
    budgets = Budgets(ledger=ledger, reads=reads, keys=keys, spending=costs)
    spending = BudgetPolicy(budgets=budgets, ledger=ledger)
    creation = Creation(
        ledger=ledger,
        reads=reads,
        catalogue=catalogue,
        account=account,
        sealer=base.sealer,
        defaults=groups.placement(settings),
        health=groups.health_check(settings),
        barred=partial(barred, Guard(str(network) for network in settings.webhooks.allow_cidrs)),
        room=Room(reads=reads, ceilings=groups.ceilings(settings), budgets=budgets, standing=standing),
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
    migrations = Migrations(
        ledger=ledger,
        reads=reads,
        catalogue=catalogue,
        room=creation.room,
        keys=keys,
        usual=groups.move_rule(settings),
        most=settings.migration.max_concurrent,
    )
    provider_jobs = ProviderJobBook(provider=base.provider, coordination=base.coordination)
    audit = Audit(store=base.store, clock=base.clock, sealer=base.sealer)
    idleness = Idleness(
        ledger=ledger,
        reads=reads,
        metering=Metering(provider=base.provider, clock=base.clock, hushed=lambda: standing.key_refused),
        usual=groups.idle_rule(settings),
    )
    snooze = Snooze(
        ledger=ledger, reads=reads, idleness=idleness, audit=audit, public_url=settings.server.public_url or ""
    )
    return Operations(
        ledger=ledger,
        reads=reads,
        keys=keys,
        receipts=Receipts(store=base.store, clock=base.clock),
        catalogue=catalogue,
        costs=costs,
        prices=PriceHistory(base.store),
        provider_jobs=provider_jobs,
        account=account,
        standing=standing,
        budgets=budgets,
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
        migrations=migrations,
        failed_migrations=FailedMigrations(
            ledger=ledger, reads=reads, provider=base.provider, jobs=provider_jobs, migrations=migrations
        ),
        move_trigger=move_trigger(ledger),
        explaining=Explaining(
            ledger=ledger,
            idleness=idleness,
            freshness=freshness,
            automation=automation,
            standing=standing,
            policies=(
                *usual_policies(
                    idleness=idleness,
                    health=groups.health_check(settings),
                    limits=groups.lifecycle(settings).limits,
                    held=lambda instance: spending.hold(instance) is not None,
                ),
                migrations.policy(),
                spending.policy(),
            ),
            observe=groups.observes(settings),
        ),
        snooze=snooze,
        audit=audit,
    )
