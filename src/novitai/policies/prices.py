"""What changed between two readings of the catalogue, and what a history comes to: cheapest, average, median, availability.

Between two points the earlier one holds. A price counts as cheapest only while the product could be had at it; average and
median are over the time in which it was offered at all, with stock or without.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from novitai.domain.money import Usd
from novitai.domain.offers import Catalogue, Inventory
from novitai.domain.prices import PriceAlert, PriceEntry, PricePoint, Quote, SeriesKey
from novitai.policies.placement import means, served_regions

APART_SECONDS = 20.0
"""A product is gone when two readings at least so far apart leave it out. One reading that leaves out a product, or all of
them, is more often a lie than a fact; readings for a create may follow one another faster than this.
"""


class Seen(msgspec.Struct, frozen=True):
    """A product in a reading."""

    name: str
    quote: Quote


def seen_in(catalogue: Catalogue) -> dict[SeriesKey, Seen]:
    """Every product that can be had somewhere, by whose history it belongs to. Of two records of one product the cheaper counts."""
    found: dict[SeriesKey, Seen] = {}
    for product in sorted(catalogue.products, key=lambda one: -one.price_per_gpu):
        clusters = tuple(sorted(region.cluster_id for region in served_regions(product, catalogue.regions)))
        if product.price_per_gpu > 0 and clusters:
            quote = Quote(
                price=product.price_per_gpu,
                inventory=product.inventory,
                deployable=product.deployable,
                clusters=clusters,
            )
            found[SeriesKey(product.id, product.billing_mode)] = Seen(product.name, quote)
    return found


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What to keep of a reading (nothing: no change), and what it left out for the first time, with that time."""

    points: tuple[PricePoint, ...]
    missing: dict[SeriesKey, float]


def compare(
    known: Mapping[SeriesKey, PricePoint], catalogue: Catalogue, *, missing: Mapping[SeriesKey, float]
) -> Comparison:
    """A reading against the last known points. `missing`: what the readings before left out, since when."""
    at = catalogue.read_at
    seen = seen_in(catalogue)
    points = [
        PricePoint(at=at, key=key, product_name=one.name, quote=one.quote)
        for key, one in seen.items()
        if key not in known or (known[key].quote, known[key].product_name) != (one.quote, one.name)
    ]
    absent = {key: missing.get(key, at) for key, point in known.items() if point.quote is not None and key not in seen}
    gone = {key for key, since in absent.items() if at - since >= APART_SECONDS}
    points += [
        PricePoint(at=absent[key], key=key, product_name=known[key].product_name, quote=None) for key in sorted(gone)
    ]
    return Comparison(points=tuple(points), missing={key: at for key, at in absent.items() if key not in gone})


def entry_of(points: Iterable[PricePoint], regions: Mapping[str, str], *, at: float, whole: bool = False) -> PriceEntry:
    """Points as they are kept, with the names of their regions."""
    points = tuple(points)
    clusters = {cluster for point in points if point.quote is not None for cluster in point.quote.clusters}
    return PriceEntry(
        at=at,
        points=points,
        regions={cluster: regions[cluster] for cluster in sorted(clusters) if cluster in regions},
        whole=whole,
    )


# ── what a history comes to ───────────────────────────────────────────────────────────────────────────────────────────


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The points of one product between two times, as columns: at `ats[n]` began to hold what `offers` and `served` say under `codes[n]`:
    the offer, and the clusters that have it (none: it was not in the catalogue). What holds at `since` stands at `first`; what is before
    it is only looked at to say since when it holds.
    """

    ats: Sequence[float]
    codes: Sequence[int]
    offers: Sequence["Offered | None"]
    served: Sequence[tuple[str, ...]]
    first: int
    since: float
    until: float

    def held(self) -> list[float]:
        """For how many seconds each code held."""
        seconds = [0.0] * len(self.offers)
        begins = [max(self.since, self.ats[self.first]), *self.ats[self.first + 1 :]]
        for begin, end, code in zip(begins, [*begins[1:], self.until], self.codes[self.first :], strict=True):
            seconds[code] += end - begin
        return seconds

    def began(self, place: int) -> float:
        """When what stands so many points behind `first` began to hold, not before the window."""
        return max(self.since, self.ats[self.first + place])


class Offered(msgspec.Struct, frozen=True):
    """What holds in one region: the price per GPU and hour, the stock, and whether it could be had."""

    price: Usd
    inventory: Inventory
    available: bool


def offered_by(quote: Quote) -> Offered:
    """What holds in each region of a quote."""
    return Offered(quote.price, quote.inventory, quote.available)


Step = tuple[float, Offered | None]
"""From when on, and what; None: it is not offered."""


def steps(window: Window, cluster: str) -> list[Step]:
    """The history of one region, without what changed elsewhere only. It begins with what held when the window began."""
    here = [
        offered if cluster in served else None for offered, served in zip(window.offers, window.served, strict=True)
    ]
    codes, first = window.codes, window.first
    last = here[codes[first]]
    begin = first
    while begin > 0 and here[codes[begin - 1]] == last:
        begin -= 1
    found: list[Step] = [(window.ats[begin], last)]
    for at, code in zip(window.ats[first + 1 :], codes[first + 1 :], strict=True):
        if (offered := here[code]) is not last and offered != last:
            last = offered
            found.append((at, last))
    return found if found[0][1] is not None else found[1:]


class Cheapest(msgspec.Struct, frozen=True):
    """A price per GPU and hour, and when it began to hold (not before the window)."""

    price: Usd
    at: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A history between two times. `cheapest` None: it could never be had; `available`: the part of the time since the window began, or
    since it first appeared, in which it could be had.
    """

    cheapest: Cheapest | None
    average: Usd
    median: Usd
    available: float


def summarize(window: Window, held: Sequence[float], cluster: str) -> Summary | None:
    """What the history of one region comes to; None: it was not offered. `held` is the window's."""
    codes = window.codes[window.first :]
    here = {
        code: one for code in set(codes) if (one := window.offers[code]) is not None and cluster in window.served[code]
    }
    if not here:
        return None
    had = [code for code in here if here[code].available]
    begin = window.began(next(place for place, code in enumerate(codes) if code in here))
    whole = window.until - begin
    prices = sorted((one.price, held[code]) for code, one in here.items())
    return Summary(
        cheapest=_cheapest(window, {code: here[code].price for code in had}),
        average=_average(prices),
        median=_median(prices),
        available=sum(held[code] for code in had) / whole if whole > 0 else float(bool(had)),
    )


def _cheapest(window: Window, prices: Mapping[int, Usd]) -> Cheapest | None:
    if not prices:
        return None
    price = min(prices.values())
    codes = window.codes[window.first :]
    place = next(place for place, code in enumerate(codes) if prices.get(code) == price)
    return Cheapest(price, window.began(place))


def _average(prices: Sequence[tuple[Usd, float]]) -> Usd:
    whole = sum(seconds for _, seconds in prices)
    if whole <= 0:
        return prices[0][0]
    return Usd(round(sum(price * seconds for price, seconds in prices) / whole))


def _median(prices: Sequence[tuple[Usd, float]]) -> Usd:
    """The price up to which half of the time was spent."""
    half, spent = sum(seconds for _, seconds in prices) / 2, 0.0
    for price, seconds in prices:
        spent += seconds
        if spent >= half:
            return price
    return prices[-1][0]


def thinned(history: Sequence[Step], most: int) -> Sequence[Step]:
    """At most so many steps (4 or more) that show the same: the first and the last, and of each stretch between them the cheapest
    that could be had and the one that holds at its end.
    """
    if len(history) <= most:
        return history
    stretches = (most - 2) // 2
    kept = [0]
    for number in range(stretches):
        start = 1 + number * (len(history) - 2) // stretches
        end = 1 + (number + 1) * (len(history) - 2) // stretches
        cheapest = min(range(start, end), key=lambda place: _lowness(history[place][1]))
        kept += sorted({cheapest, end - 1})
    return [history[place] for place in (*kept, len(history) - 1)]


def _lowness(offered: Offered | None) -> tuple[bool, float]:
    return (True, float("inf")) if offered is None else (not offered.available, offered.price)


# ── alerts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Below(msgspec.Struct, frozen=True):
    """An alert and the point at which its product can be had below the price."""

    alert: PriceAlert
    point: PricePoint


def alerts(
    watched: Iterable[PriceAlert], now: Iterable[PricePoint], *, told: frozenset[str]
) -> tuple[tuple[Below, ...], frozenset[str]]:
    """What to tell, and which alerts have been told thereafter.

    An alert is told once, and again only after its product could be had at the price or above and no cheaper. Without stock
    nothing is concluded: a product that sells out has not become dearer.
    """
    current = [(point, point.quote) for point in now if point.quote is not None and point.quote.available]
    below: list[Below] = []
    still: set[str] = set()
    for alert in watched:
        offers = [(quote.price, point.key, point) for point, quote in current if watches(alert, point)]
        if not offers:
            still |= {alert.text} & told
            continue
        price, _, point = min(offers, key=lambda offer: offer[:2])
        if price >= alert.below:
            continue
        still.add(alert.text)
        if alert.text not in told:
            below.append(Below(alert, point))
    return tuple(below), frozenset(still)


def watches(alert: PriceAlert, point: PricePoint) -> bool:
    """Whether an alert is about a product."""
    return alert.billing_mode in {None, point.key.billing_mode} and means(alert.product_name, point.product_name)
