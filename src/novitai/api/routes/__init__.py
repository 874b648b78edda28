"""Where requests lead: one file per subject, each with its `ROUTES`. The order is the order of matching."""

from functools import cache

from novitai.api.routes import (
    account,
    amending,
    auto_stop,
    automation,
    budgets,
    caches,
    changing,
    costs,
    explain,
    fleet,
    history,
    jobs,
    keys,
    migration,
    prices,
    reading,
    system,
)
from novitai.api.routes.documents import documents
from novitai.api.routes.system import scraping
from novitai.api.routing import GuardedRoute, Routes, build


@cache
def every(*, production: bool, metrics_public: bool) -> tuple[GuardedRoute, ...]:
    """All routes. What is open without a key depends on the settings alone."""
    return build(declared(production=production, metrics_public=metrics_public))


def declared(*, production: bool, metrics_public: bool) -> tuple[Routes, ...]:
    """The same as they are declared, file by file."""
    return (
        system.OPEN,
        auto_stop.ROUTES,
        auto_stop.OPEN,
        migration.ROUTES,
        reading.ROUTES,
        changing.ROUTES,
        amending.ROUTES,
        explain.ROUTES,
        fleet.ROUTES,
        history.ROUTES,
        account.ROUTES,
        costs.ROUTES,
        prices.ROUTES,
        jobs.ROUTES,
        keys.ROUTES,
        budgets.ROUTES,
        caches.ROUTES,
        automation.ROUTES,
        system.ROUTES,
        scraping(public=metrics_public),
        documents(production=production),
    )
