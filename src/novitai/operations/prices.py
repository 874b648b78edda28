"""The price history in memory, so that a question over 90 days waits for one short read of the log's end at most.

The log `prices` is the truth; here its points stand in two columns per product and billing mode: when, and which quote (each
distinct quote is held once). Whoever needs the history brings it up to date first with `follow`, which reads what the log has
gained: at the first time all of it, later mostly nothing. So it does not matter which process writes.
"""

import asyncio
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial

import msgspec

from novitai.domain.errors import Code, Refusal
from novitai.domain.machine import BillingMode
from novitai.domain.offers import Region
from novitai.domain.prices import PRICES_DAYS, PriceEntry, PricePoint, Quote, SeriesKey
from novitai.operations import records
from novitai.policies.placement import means
from novitai.policies.prices import Offered, Step, Summary, Window, offered_by, steps, summarize
from novitai.ports.store import Store

KEEP_SECONDS = PRICES_DAYS * 86_400.0
PAGE = 500


class PriceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which histories; None: any. `region` by id, code or name."""

    product_name: str | None = None
    product_id: str | None = None
    region: str | None = None
    billing_mode: BillingMode | None = None

    def admits(self, series: "Series") -> bool:
        """Whether a product's history is wanted, in whatever region."""
        return (
            self.product_id in {None, series.key.product_id}
            and self.billing_mode in {None, series.key.billing_mode}
            and (self.product_name is None or means(self.product_name, series.product_name))
        )


class PriceRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a product's history in one region comes to. `now` None: it is not offered any more."""

    key: SeriesKey
    product_name: str
    cluster_id: str
    region: str
    summary: Summary
    now: Offered | None
    history: Callable[[], Sequence[Step]]
    """Its steps, beginning with what held when the window began. Worked out when asked for, since they may be thousands, and once for all
    regions in which the product always went the same way.
    """

    @property
    def available(self) -> bool:
        """Whether it can be had now."""
        return self.now is not None and self.now.available


class Series:
    """The points of one product under one billing mode, in order."""

    def __init__(self, key: SeriesKey) -> None:
        self.key = key
        self.product_name = ""
        self._ats = array("d")
        self._codes = array("L")
        self._quotes: list[Quote | None] = []
        self._offers: list[Offered | None] = []
        self._served: list[tuple[str, ...]] = []
        self._groups: list[tuple[str, ...]] = []  # the distinct ones of these: few, while quotes may be hundreds
        self._places: dict[Quote | None, int] = {}

    def add(self, point: PricePoint) -> None:
        """Take in a point; one that repeats the last quote, or is older than the last one, changes nothing."""
        self.product_name = point.product_name
        if self._ats and (point.quote == self._quotes[self._codes[-1]] or point.at < self._ats[-1]):
            return
        self._append(point.at, point.quote)

    def last(self) -> PricePoint:
        """What holds now."""
        quote = self._quotes[self._codes[-1]]
        return PricePoint(at=self._ats[-1], key=self.key, product_name=self.product_name, quote=quote)

    def forget(self, before: float) -> bool:
        """Drop what ended before a time; whether anything is left that a product had to say."""
        start = max(0, bisect_right(self._ats, before) - 1)
        ats, quotes = self._ats[start:], [self._quotes[code] for code in self._codes[start:]]
        self._ats, self._codes = array("d"), array("L")
        self._quotes, self._offers, self._served, self._groups, self._places = [], [], [], [], {}
        for at, quote in zip(ats, quotes, strict=True):
            self._append(at, quote)
        return self._quotes != [None]

    def rows(self, regions: Mapping[str, str], *, since: float, until: float) -> Iterator[PriceRow]:
        """What the time between two moments comes to, region by region."""
        first = max(0, bisect_right(self._ats, since) - 1)
        window = Window(
            ats=self._ats,
            codes=self._codes,
            offers=self._offers,
            served=self._served,
            first=first,
            since=since,
            until=until,
        )
        held = window.held()
        alike: dict[tuple[bool, ...], tuple[Summary | None, Callable[[], Sequence[Step]]]] = {}
        for cluster in sorted({cluster for clusters in self._groups for cluster in clusters}):
            presence = tuple(cluster in clusters for clusters in self._groups)
            if presence not in alike:
                alike[presence] = summarize(window, held, cluster), cache(partial(steps, window, cluster))
            summary, history = alike[presence]
            if summary is not None:
                yield PriceRow(
                    key=self.key,
                    product_name=self.product_name,
                    cluster_id=cluster,
                    region=regions.get(cluster, cluster),
                    summary=summary,
                    now=self._offers[self._codes[-1]] if cluster in self._served[self._codes[-1]] else None,
                    history=history,
                )

    def _append(self, at: float, quote: Quote | None) -> None:
        if quote not in self._places:
            self._places[quote] = len(self._quotes)
            self._quotes.append(quote)
            self._offers.append(None if quote is None else offered_by(quote))
            self._served.append(() if quote is None else quote.clusters)
            if self._served[-1] not in self._groups:
                self._groups.append(self._served[-1])
        self._ats.append(at)
        self._codes.append(self._places[quote])


class PriceHistory:
    """Every series, as far as the log was followed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._series: dict[SeriesKey, Series] = {}
        self._position: int | None = None
        self._following = asyncio.Lock()
        self.regions: dict[str, str] = {}
        """Names of all clusters that ever sold something, by id."""
        self.last_at = 0.0
        """When the newest entry was read from Novita."""
        self.whole_at = 0.0
        """The same of the newest entry that repeats everything."""

    async def follow(self) -> None:
        """Take in what the log has gained."""
        async with self._following:
            more = True
            while more:
                page = await self._store.read_log(records.PRICES, "all", after=self._position, limit=PAGE)
                for entry in page.entries:
                    self._position = entry.position
                    self._take(records.read_prices(entry.body))
                more = page.next_position is not None

    def current(self) -> dict[SeriesKey, PricePoint]:
        """The last point of each series."""
        return {key: series.last() for key, series in self._series.items()}

    async def rows(self, wanted: PriceFilter, *, since: float, until: float) -> list[PriceRow]:
        """Histories between two times, what can be had now first, each part from the cheapest up.

        Raises Refusal PRODUCT_NOT_FOUND or REGION_NOT_FOUND when no history has the product or region; before the first reading of
        the catalogue there is nothing to hold a name against.
        """
        chosen = [series for series in self._series.values() if wanted.admits(series)]
        if self._series:
            self._require(wanted, any_product=bool(chosen))
        found: list[PriceRow] = []
        for series in chosen:
            rows = series.rows(self.regions, since=since, until=until)
            found += [
                row for row in rows if wanted.region is None or self._region(row.cluster_id).answers_to(wanted.region)
            ]
            await asyncio.sleep(0)  # a year of them takes a while, and others are waiting
        return sorted(found, key=_order)

    def _take(self, entry: PriceEntry) -> None:
        self.last_at = max(self.last_at, entry.at)
        self.regions.update(entry.regions)
        for point in entry.points:
            self._series.setdefault(point.key, Series(point.key)).add(point)
        if entry.whole:
            self.whole_at = entry.at
            before = entry.at - KEEP_SECONDS
            self._series = {key: series for key, series in self._series.items() if series.forget(before)}

    def _require(self, wanted: PriceFilter, *, any_product: bool) -> None:
        if not any_product and any(
            PriceFilter(product_id=wanted.product_id, product_name=wanted.product_name).admits(series)
            for series in self._series.values()
        ):
            any_product = True  # known, but not under this billing mode
        if not any_product:
            names = ", ".join(sorted({series.product_name for series in self._series.values()}))
            asked = wanted.product_id or wanted.product_name
            raise Refusal(Code.PRODUCT_NOT_FOUND, f"there is no price history of {asked!r}; there is one of: {names}")
        if wanted.region is not None and not any(self._region(one).answers_to(wanted.region) for one in self.regions):
            codes = ", ".join(sorted({self._region(one).code for one in self.regions}))
            message = f"there is no price history for the region {wanted.region!r}; there is one for: {codes}"
            raise Refusal(Code.REGION_NOT_FOUND, message, details={"region": wanted.region})

    def _region(self, cluster: str) -> Region:
        return Region(cluster, self.regions.get(cluster, cluster))


def _order(row: PriceRow) -> tuple[bool, float, str, str, str]:
    price = float("inf") if row.now is None else row.now.price
    return (not row.available, price, row.product_name, row.cluster_id, row.key.billing_mode)
