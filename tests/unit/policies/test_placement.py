"""The cheapest offer that fits, with stated ties and a reason for every place."""

import random

import pytest

from novitai.domain.machine import BillingMode
from novitai.domain.money import Usd, usd
from novitai.domain.offers import BillingChoice, Catalogue, Inventory, Objection, OfferKey, Placement, Region
from novitai.policies.placement import known_product, rank
from support.builders import CALIFORNIA, HONG_KONG, INDIA, NOW, catalogue, product, requirement

REGIONS = (CALIFORNIA, HONG_KONG, INDIA)
MODES = (BillingMode.SPOT, BillingMode.ON_DEMAND)


def test_the_cheapest_offer_that_fits_comes_first():
    """Price per hour of the whole instance decides."""
    dear = product("dear", price_per_gpu=usd(0.5))
    cheap = product("cheap", price_per_gpu=usd(0.2))

    ranked = rank(catalogue(dear, cheap), requirement(gpu_num=2), now=NOW)

    assert (ranked[0].rank, ranked[0].offer.product_id) == (1, "cheap")
    assert ranked[0].offer.price_per_hour == usd(0.4)
    assert ranked[0].reason == "$0.4 an hour: the cheapest that fits"
    assert "$0.6 more than the first" in ranked[-1].reason


def test_equal_prices_go_to_the_preferred_region_and_then_by_name():
    """Ties are stated: preferred region, memory, CPU, product, cluster."""
    ranked = rank(catalogue(product()), requirement(preferred="cn-hk-1"), now=NOW)

    assert [place.offer.cluster_id for place in ranked] == ["cn-hk-1", "as-in-1", "us-ca-6"]
    assert "the first is in the preferred region" in ranked[1].reason


def test_equal_prices_go_to_more_memory():
    """For the same money the bigger machine wins."""
    small, big = product("a", memory_per_gpu=62), product("b", memory_per_gpu=120)

    ranked = rank(catalogue(small, big, regions=(CALIFORNIA,)), requirement(), now=NOW)

    assert [place.offer.product_id for place in ranked] == ["b", "a"]


def test_region_first_pays_more_to_be_where_it_is_wanted():
    """The preferred region leads; behind it the price decides."""
    here = product("here", regions=(HONG_KONG.name,), price_per_gpu=usd(0.9))
    there = product("there", regions=(INDIA.name,), price_per_gpu=usd(0.1))
    wish = requirement(preferred="cn-hk-1", placement=Placement.REGION_FIRST)

    ranked = rank(catalogue(there, here), wish, now=NOW)

    assert [place.offer.product_id for place in ranked] == ["here", "there"]
    assert ranked[0].reason == "$0.9 an hour: the preferred region that fits"
    assert "cheaper, but outside the preferred region" in ranked[1].reason


def test_region_first_falls_back_to_the_cheapest_elsewhere():
    """A preferred region without room keeps nobody waiting."""
    full = product("full", regions=(HONG_KONG.name,), deployable=False)
    there = product("there", regions=(INDIA.name,))
    wish = requirement(preferred="cn-hk-1", placement=Placement.REGION_FIRST)

    ranked = rank(catalogue(full, there), wish, now=NOW)

    assert ranked[0].offer.product_id == "there"
    assert ranked[1].objection is Objection.CAPACITY


@pytest.mark.parametrize(
    ("fields", "wish", "objection"),
    [
        ({}, {"regions": ("eu-xx-1",)}, Objection.REGION),
        ({"price_per_gpu": Usd(0)}, {}, Objection.NOT_OFFERED),
        ({"price_per_gpu": usd(0.36)}, {"max_price_per_hour": usd(0.35)}, Objection.PRICE),
        ({"max_rootfs": 50}, {"rootfs_gb": 60}, Objection.DISK),
        ({"min_rootfs": 100}, {"rootfs_gb": 60}, Objection.DISK),
        ({"deployable": False}, {}, Objection.CAPACITY),
        ({"inventory": Inventory.NONE}, {}, Objection.CAPACITY),
    ],
)
def test_an_offer_that_breaks_a_rule_loses_and_says_which(fields, wish, objection):
    """Every loser has a rule and a reason in words."""
    ranked = rank(catalogue(product(**fields), regions=(CALIFORNIA,)), requirement(**wish), now=NOW)

    assert [(place.rank, place.objection) for place in ranked] == [(0, objection)]
    assert ranked[0].reason
    assert not ranked[0].fits


def test_a_price_on_the_cap_is_within_it():
    """The cap is the most that may be paid, and may be paid."""
    ranked = rank(catalogue(product()), requirement(max_price_per_hour=usd(0.35)), now=NOW)

    assert ranked[0].fits


def test_the_cap_counts_the_whole_instance():
    """Four GPUs cost four times as much."""
    ranked = rank(catalogue(product()), requirement(gpu_num=4, max_price_per_hour=usd(1.39)), now=NOW)

    assert {place.objection for place in ranked} == {Objection.PRICE}


def test_an_offer_that_is_cooling_is_skipped_until_its_time():
    """An offer without capacity is left alone for a while, and no longer."""
    key = OfferKey("4090.16c62g", "us-ca-6", BillingMode.SPOT)
    only_here = catalogue(product(), regions=(CALIFORNIA,))

    before = rank(only_here, requirement(), now=NOW, cooling={key: NOW + 90})
    after = rank(only_here, requirement(), now=NOW + 90, cooling={key: NOW + 90})

    assert before[0].objection is Objection.COOLING
    assert "90 s more" in before[0].reason
    assert after[0].fits


def test_an_offer_that_refused_this_request_is_not_tried_again():
    """The next best one is."""
    refused = OfferKey("4090.16c62g", "as-in-1", BillingMode.SPOT)

    ranked = rank(catalogue(product()), requirement(), now=NOW, refused=[refused])

    assert ranked[0].offer.cluster_id == "cn-hk-1"
    assert ranked[-1].objection is Objection.REFUSED


@pytest.mark.parametrize(
    ("asked", "name", "meant"),
    [
        ("RTX 4090 24GB", "RTX 4090 24GB", True),
        ("4090", "RTX 4090 24GB", True),
        ("24gb rtx", "RTX 4090 24GB", True),
        ("rtx4090", "RTX 4090 24GB", True),
        ("RTX 4090 24 GB", "RTX 4090 24GB", True),
        ("RTX-4090", "RTX 4090 24GB", True),
        ("RTX 4090 48GB", "RTX 4090 24GB", False),
        ("L4", "L40S 48GB", False),
        ("A100", "RTX A1000 8GB", False),
        ("409", "RTX 4090 24GB", False),
        ("???", "RTX 4090 24GB", False),
    ],
)
def test_a_product_is_named_by_its_words(asked, name, meant):
    """Order, case and blanks do not matter; part of a number does not mean the number."""
    offered = catalogue(product(name=name))

    assert known_product(offered, requirement(product_name=asked)) is meant
    assert bool(rank(offered, requirement(product_name=asked), now=NOW)) is meant


def test_a_product_id_is_meant_exactly():
    """An id is not a search."""
    ranked = rank(catalogue(product("a"), product("ab")), requirement(product_id="a"), now=NOW)

    assert {place.offer.product_id for place in ranked} == {"a"}


def test_a_product_without_a_spot_price_is_not_offered_for_spot():
    """It is shown as a loser, and wins when on-demand is allowed as well."""
    spotless = product(price_per_gpu=Usd(0))
    on_demand = product(billing_mode=BillingMode.ON_DEMAND, price_per_gpu=usd(0.7))

    spot = rank(catalogue(spotless, on_demand), requirement(), now=NOW)
    auto = rank(catalogue(spotless, on_demand), requirement(billing=BillingChoice.AUTO), now=NOW)

    assert {place.objection for place in spot} == {Objection.NOT_OFFERED}
    assert auto[0].offer.billing_mode is BillingMode.ON_DEMAND
    assert auto[0].offer.spot_price_per_hour is None


def test_a_product_without_regions_is_offered_in_every_cluster():
    """Novita's empty list means all (novita-wire.md 3.2)."""
    ranked = rank(catalogue(product(regions=())), requirement(), now=NOW)

    assert {place.offer.cluster_id for place in ranked} == {region.cluster_id for region in REGIONS}


@pytest.mark.parametrize("word", ["US-CA-06 (California)", "us-ca-6", "US-CA-06"])
def test_a_region_of_a_product_may_be_written_in_each_of_its_ways(word):
    """Cluster names, ids and codes mean the same region."""
    ranked = rank(catalogue(product(regions=(word,))), requirement(), now=NOW)

    assert [place.offer.cluster_id for place in ranked] == ["us-ca-6"]


def test_ten_thousand_random_catalogues_are_ranked_as_a_search_through_all_would():
    """The first offer is the minimum by the stated order; every loser breaks a rule; the catalogue's order does not matter."""
    chance = random.Random(20_270_115)
    for _ in range(10_000):
        offered, wish, cooling, refused = _random_case(chance)

        ranked = rank(offered, wish, now=NOW, cooling=cooling, refused=refused)

        best = _search(offered, wish, cooling, refused)
        assert (ranked[0].offer.key if ranked and ranked[0].fits else None) == best
        assert all(place.reason and (place.rank > 0) is place.fits for place in ranked)
        assert [place.rank for place in ranked if place.fits] == list(range(1, 1 + sum(p.fits for p in ranked)))
        assert rank(_shuffled(offered, chance), wish, now=NOW, cooling=cooling, refused=refused) == ranked


def _random_case(chance):
    products = tuple(
        product(
            f"p{number}",
            billing_mode=mode,
            price_per_gpu=Usd(chance.choice((0, 10, 20, 20, 30))),
            regions=tuple(region.name for region in REGIONS if chance.random() < 0.5),
            deployable=chance.random() < 0.8,
            inventory=chance.choice((Inventory.NONE, Inventory.LOW, Inventory.HIGH, Inventory.UNKNOWN)),
            memory_per_gpu=chance.choice((62, 120)),
            max_rootfs=chance.choice((0, 50, 100)),
        )
        for number in range(chance.randrange(3))
        for mode in MODES
    )
    keys = [OfferKey(p.id, r.cluster_id, p.billing_mode) for p in products for r in REGIONS]
    wish = requirement(
        gpu_num=chance.choice((1, 2)),
        billing=chance.choice(tuple(BillingChoice)),
        regions=chance.choice(((), ("us-ca-6",), ("cn-hk-1", "as-in-1"))),
        preferred=chance.choice((None, "cn-hk-1")),
        placement=chance.choice(tuple(Placement)),
        max_price_per_hour=chance.choice((None, Usd(20), Usd(40))),
    )
    cooling = {key: NOW + chance.choice((-1.0, 0.0, 60.0)) for key in keys if chance.random() < 0.2}
    refused = [key for key in keys if chance.random() < 0.2]
    return Catalogue(products=products, regions=REGIONS, read_at=NOW), wish, cooling, refused


def _search(offered, wish, cooling, refused):
    """The best key by looking at everything, written anew from the words of the contract."""
    candidates = []
    for p in offered.products:
        for region in offered.regions:
            key = OfferKey(p.id, region.cluster_id, p.billing_mode)
            price = p.price_per_gpu * wish.gpu_num
            fits = (
                p.billing_mode in wish.billing.modes
                and (not p.regions or region.name in p.regions)
                and (not wish.regions or region.cluster_id in wish.regions)
                and price > 0
                and (wish.max_price_per_hour is None or price <= wish.max_price_per_hour)
                and (not p.max_rootfs or wish.rootfs_gb <= p.max_rootfs)
                and p.deployable
                and p.inventory is not Inventory.NONE
                and key not in refused
                and cooling.get(key, 0.0) <= NOW
            )
            if fits:
                away = region.cluster_id != wish.preferred
                first = away if wish.placement is Placement.REGION_FIRST else False
                order = (first, price, away, -p.memory_per_gpu, -p.cpu_per_gpu, p.id, region.cluster_id, p.billing_mode)
                candidates.append((order, key))
    return min(candidates)[1] if candidates else None


def _shuffled(offered, chance):
    products, regions = list(offered.products), list(offered.regions)
    chance.shuffle(products)
    chance.shuffle(regions)
    return Catalogue(products=tuple(products), regions=tuple(regions), read_at=NOW)


def test_a_region_is_meant_by_id_code_or_name_in_any_case():
    """People write regions in many ways."""
    region = Region("us-ca-6", "US-CA-06 (California)")

    assert all(region.answers_to(word) for word in ("us-ca-6", "US-CA-06", " us-ca-06 (california) "))
    assert not region.answers_to("us-ca")
