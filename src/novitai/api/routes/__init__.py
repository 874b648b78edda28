"""Where requests lead: one file per subject, each with its `ROUTES`. The order is the order of matching."""

from functools import cache

from novitai.api.routes import (
    account,
    amending,
    auto_stop,
    automation,
    caches,
    changing,
    fleet,
    history,
    jobs,
    keys,
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
        reading.ROUTES,
        changing.ROUTES,
        amending.ROUTES,
        fleet.ROUTES,
        history.ROUTES,
        account.ROUTES,
        prices.ROUTES,
        jobs.ROUTES,
        keys.ROUTES,
        caches.ROUTES,
        automation.ROUTES,
        system.ROUTES,
        scraping(public=metrics_public),
        documents(production=production),
    )
