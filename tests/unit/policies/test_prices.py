"""What counts as a change of the catalogue, what a history comes to, and when an alert is told."""

from array import array

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from novitai.domain.machine import BillingMode
from novitai.domain.money import Usd
from novitai.domain.offers import Catalogue, Inventory, Product
from novitai.domain.prices import PriceAlert, PricePoint, Quote, SeriesKey
from novitai.policies.prices import (
    Comparison,
    Offered,
    Step,
    Window,
    alerts,
    compare,
    offered_by,
    steps,
    summarize,
    thinned,
)
from support import builders

KEY = SeriesKey("4090.16c62g", BillingMode.SPOT)
HERE, ELSEWHERE = builders.CALIFORNIA.cluster_id, builders.INDIA.cluster_id
HOUR = 3600.0


def reading(at: float, *products: Product) -> Catalogue:
    """A catalogue with exactly these products."""
    return msgspec.structs.replace(builders.catalogue(), products=products, read_at=at)


def after(*readings: Catalogue) -> tuple[dict[SeriesKey, PricePoint], list[Comparison]]:
    """What is known after these readings, and what each changed."""
    known: dict[SeriesKey, PricePoint] = {}
    found: list[Comparison] = []
    for one in readings:
        found.append(compare(known, one, missing=found[-1].missing if found else {}))
        known |= {point.key: point for point in found[-1].points}
    return known, found


def quote(price: int, *, inventory: Inventory = Inventory.HIGH, clusters: tuple[str, ...] = (HERE,)) -> Quote:
    return Quote(price=Usd(price), inventory=inventory, deployable=True, clusters=clusters)


def window(*points: tuple[float, Quote | None], since: float, until: float, first: int = 0) -> Window:
    """These points as columns."""
    quotes = [one for _, one in points]
    return Window(
        ats=array("d", [at for at, _ in points]),
        codes=list(range(len(points))),
        offers=[None if one is None else offered_by(one) for one in quotes],
        served=[() if one is None else one.clusters for one in quotes],
        first=first,
        since=since,
        until=until,
    )


def test_a_reading_that_says_the_same_changes_nothing():
    """Nothing is stored per poll."""
    _, [first, second] = after(reading(0.0, builders.product()), reading(300.0, builders.product()))

    assert [point.quote.price for point in first.points] == [builders.PRICE]
    assert second.points == ()


def test_price_stock_regions_and_name_are_changes():
    """Whatever a person would see in the offers."""
    usual = builders.product()
    changed = [
        builders.product(price_per_gpu=Usd(1)),
        builders.product(inventory=Inventory.NONE),
        builders.product(deployable=False),
        builders.product(regions=(builders.INDIA.name,)),
        builders.product(name="RTX 4090 24 GB"),
    ]

    assert all(after(reading(0.0, usual), reading(300.0, one))[1][1].points for one in changed)


def test_a_product_missing_from_one_reading_was_not_gone():
    """Catalogues lie: two readings in a row are needed, and the one between them starts anew."""
    with_it, without = builders.product(), builders.product("other")
    _, found = after(
        reading(0.0, with_it, without),
        reading(300.0, without),
        reading(600.0, with_it, without),
        reading(900.0, without),
    )

    assert [one.points for one in found[1:]] == [(), (), ()]


def test_a_product_missing_from_two_readings_is_gone_since_the_first_of_them():
    """The second reading is the evidence, the first one the time."""
    known, found = after(reading(0.0, builders.product()), reading(300.0), reading(600.0))

    assert [len(one.points) for one in found] == [1, 0, 1]
    assert (known[KEY].quote, known[KEY].at) == (None, 300.0)


def test_two_empty_readings_within_seconds_are_one_piece_of_evidence():
    """Readings for a create can follow one another at once."""
    _, found = after(reading(0.0, builders.product()), reading(300.0), reading(305.0))

    assert found[-1].points == ()
    assert found[-1].missing == {KEY: 300.0}


def test_a_product_that_comes_back_begins_anew():
    """Its history goes on behind the gap."""
    known, found = after(
        reading(0.0, builders.product()), reading(300.0), reading(600.0), reading(900.0, builders.product())
    )

    assert [point.at for point in found[-1].points] == [900.0]
    assert known[KEY].quote is not None


def test_average_and_median_weigh_by_time_and_the_cheapest_had_to_be_available():
    """A price at which nothing could be had is no bargain."""
    history = window(
        (0.0, quote(100)),
        (6 * HOUR, quote(10, inventory=Inventory.NONE)),
        (7 * HOUR, quote(40)),
        since=0.0,
        until=10 * HOUR,
    )

    found = summarize(history, history.held(), HERE)

    assert (found.cheapest.price, found.cheapest.at) == (40, 7 * HOUR)
    assert found.average == round((600 + 10 + 120) / 10)
    assert found.median == 100
    assert found.available == 0.9


def test_what_held_when_the_window_began_counts_from_then_and_shows_since_when_it_held():
    """The first step may be older than the window; the sums are not."""
    history = window((0.0, quote(100)), (9 * HOUR, quote(50)), since=8 * HOUR, until=10 * HOUR)

    found = summarize(history, history.held(), HERE)

    assert steps(history, HERE) == [(0.0, offered_by(quote(100))), (9 * HOUR, offered_by(quote(50)))]
    assert (found.average, found.available) == (75, 1.0)


def test_a_change_of_other_regions_is_no_step_here():
    """Neither in the window, nor before it in what is said of since when."""
    both, one = quote(100, clusters=(HERE, ELSEWHERE)), quote(100)
    history = window((0.0, one), (1.0, both), (2.0, one), since=1.5, until=10.0, first=1)

    assert steps(history, HERE) == [(0.0, offered_by(one))]
    assert [offered for _, offered in steps(history, ELSEWHERE)] == [offered_by(one), None]
    assert summarize(history, history.held(), ELSEWHERE).available == (2.0 - 1.5) / (10.0 - 1.5)
    assert summarize(history, history.held(), "nowhere") is None


@given(
    prices=st.lists(st.tuples(st.integers(1, 50), st.booleans()), min_size=1, max_size=300),
    most=st.integers(4, 60),
)
def test_a_thinned_history_keeps_its_ends_and_its_cheapest_moment(prices: list[tuple[int, bool]], most: int):
    """What a chart is asked for stays in it."""
    history: list[Step] = [
        (float(at), Offered(Usd(price), Inventory.HIGH, available)) for at, (price, available) in enumerate(prices)
    ]

    kept = list(thinned(history, most))

    assert len(kept) <= most
    assert (kept[0], kept[-1]) == (history[0], history[-1])
    assert [at for at, _ in kept] == sorted({at for at, _ in kept})
    had = [offered.price for _, offered in history if offered.available]
    assert not had or min(had) in [offered.price for _, offered in kept if offered.available]


ALERT = PriceAlert(text="RTX 4090<0.3", product_name="RTX 4090", billing_mode=None, below=Usd(30_000))


def point(price: int, **fields) -> PricePoint:
    return PricePoint(at=0.0, key=KEY, product_name="RTX 4090 24GB", quote=quote(price, **fields))


def test_an_alert_is_told_once_until_the_product_has_been_dearer():
    """Below, still below, above, below again."""
    told: frozenset[str] = frozenset()
    heard = []
    for price in (35_000, 29_000, 28_000, 30_000, 29_999):
        below, told = alerts([ALERT], [point(price)], told=told)
        heard.append(len(below))

    assert heard == [0, 1, 0, 0, 1]


def test_without_stock_an_alert_is_neither_told_nor_made_ready_again():
    """Nothing can be had, so nothing is cheap; and sold out is not dearer."""
    nothing = point(1, inventory=Inventory.NONE)

    assert alerts([ALERT], [nothing], told=frozenset()) == ((), frozenset())
    assert alerts([ALERT], [nothing], told=frozenset({ALERT.text})) == ((), frozenset({ALERT.text}))


def test_an_alert_for_one_billing_mode_does_not_hear_of_the_other():
    """Spot is always cheaper."""
    wanted = msgspec.structs.replace(ALERT, billing_mode=BillingMode.ON_DEMAND)

    assert alerts([wanted], [point(1)], told=frozenset()) == ((), frozenset())
