"""Keeps the price history true: after each reading of the catalogue, what it changed is written to the log, and alerts are told.

A reading that changes nothing is not stored. Once a day an entry repeats everything, so that the history can be read from there
when what came before has been forgotten.
"""

from collections.abc import Sequence

import structlog

from novitai.domain.events import Fact, FactType
from novitai.domain.money import dollars
from novitai.domain.offers import Catalogue
from novitai.domain.prices import PriceAlert, SeriesKey
from novitai.domain.times import iso
from novitai.operations import records
from novitai.operations.catalogue import CatalogueBook
from novitai.operations.ledger import Ledger
from novitai.operations.prices import PriceHistory
from novitai.policies.prices import Below, alerts, compare, entry_of, watches
from novitai.ports.store import Commit, Lease

log = structlog.get_logger("novitai.prices")

LOOK_SECONDS = 300.0
"""Without a nudge: a reading that could not be written when it came."""
WHOLE_SECONDS = 86_400.0


class Prices:
    """Work of the loop `prices`, nudged by each reading of the catalogue."""

    def __init__(
        self, *, book: CatalogueBook, history: PriceHistory, ledger: Ledger, watched: Sequence[PriceAlert]
    ) -> None:
        self._book = book
        self._history = history
        self._ledger = ledger
        self._watched = tuple(watched)
        self._missing: dict[SeriesKey, float] = {}
        self._doubted = False

    async def run(self, lease: Lease) -> float | None:
        """Hold the latest reading against what is known."""
        await self._history.follow()
        catalogue = self._book.known
        if catalogue is not None and catalogue.read_at > self._history.last_at:
            await self._keep(catalogue, lease)
        if self._watched:
            self._doubt_once()
            await self._tell(lease)
        return None

    def _doubt_once(self) -> None:
        """An alert for a product that Novita has never had would wait for ever: say so."""
        known = self._history.current().values()
        if self._doubted or not known:
            return
        self._doubted = True
        for alert in self._watched:
            if not any(watches(alert, point) for point in known):
                log.warning("price_alert_matches_nothing", alert=alert.text)

    async def _keep(self, catalogue: Catalogue, lease: Lease) -> None:
        known = self._history.current()
        compared = compare(known, catalogue, missing=self._missing)
        whole = catalogue.read_at - self._history.whole_at >= WHOLE_SECONDS
        points = {point.key: point for point in compared.points}
        if whole:
            points = {key: point for key, point in known.items() if point.quote is not None} | points
        if points:
            regions = {region.cluster_id: region.name for region in catalogue.regions}
            entry = entry_of(points.values(), self._history.regions | regions, at=catalogue.read_at, whole=whole)
            append = records.append_prices(entry, entry_id=self._ledger.ids.new("prc"))
            await self._ledger.store.commit(Commit(appends=(append,), lease=lease))
            log.debug("prices_kept", changed=len(compared.points), whole=whole)
            await self._history.follow()
        self._missing = compared.missing

    async def _tell(self, lease: Lease) -> None:
        record = await self._ledger.store.get(records.PRICE_ALERTS, records.TOLD)
        told = records.read_told_alerts(record) if record is not None else frozenset[str]()
        below, after = alerts(self._watched, self._history.current().values(), told=told)
        if after == told:
            return
        at = self._ledger.clock.now()
        facts = [self._fact(one, at=at) for one in below]
        await self._ledger.tell(facts, puts=(records.put_told_alerts(after),), lease=lease)

    def _fact(self, below: Below, *, at: float) -> Fact:
        alert, point = below.alert, below.point
        assert point.quote is not None
        price, limit = dollars(point.quote.price), dollars(alert.below)
        mode = str(point.key.billing_mode)
        return Fact(
            type=FactType.PRICE_BELOW,
            at=at,
            actor="prices",
            reason=f"{point.product_name} ({mode}) costs ${price:g} per GPU and hour, below ${limit:g}",
            data={
                "alert": alert.text,
                "below": limit,
                "productId": point.key.product_id,
                "productName": point.product_name,
                "billingMode": mode,
                "pricePerGpuHour": price,
                "inventory": str(point.quote.inventory),
                "regions": [self._history.regions.get(one, one) for one in point.quote.clusters],
                "since": iso(point.at),
            },
        )
