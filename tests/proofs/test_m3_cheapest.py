"""M3: the chosen offer is the cheapest one that fits, as a search through everything finds it, and each loser is told its true reason.

The search below is written from the words of the contract and shares nothing with the placement that it judges.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from novitai.domain.machine import BillingMode
from novitai.domain.money import Usd
from novitai.domain.offers import (
    BillingChoice,
    Catalogue,
    Inventory,
    Objection,
    OfferKey,
    Placement,
    Product,
    Ranked,
    Region,
    Requirement,
)
from novitai.policies.placement import rank
from proofs.planted import m3_cap_per_gpu
from support.builders import NOW, product, requirement

REGIONS = tuple(Region(f"r-{n}", f"R-{n} (Somewhere {n})") for n in range(4))
NAMES = ("RTX 4090 24GB", "RTX 4090 48GB", "RTX 5090 32GB", "L4 24GB", "L40S 48GB", "A100 80GB", "RTX A1000 8GB")
ASKED = {"RTX 4090": {0, 1}, "4090 24gb": {0}, "L4": {3}, "A100": {5}, "24 GB": {0, 3}}
Rank = Callable[..., tuple[Ranked, ...]]


@dataclass
class Case:
    """A catalogue, a wish, and what is known of offers that lately had no capacity."""

    catalogue: Catalogue
    wish: Requirement
    cooling: dict[OfferKey, float]
    refused: list[OfferKey]

    def broken_rules(self, one: Product, region: Region) -> set[Objection]:
        """Every rule that an offer breaks."""
        wish, key = self.wish, OfferKey(one.id, region.cluster_id, one.billing_mode)
        rules = {
            Objection.REGION: bool(wish.regions) and region.cluster_id not in wish.regions,
            Objection.NOT_OFFERED: one.price_per_gpu == 0,
            Objection.PRICE: wish.max_price_per_hour is not None
            and one.price_per_gpu * wish.gpu_num > wish.max_price_per_hour,
            Objection.DISK: not one.min_rootfs <= wish.rootfs_gb <= (one.max_rootfs or wish.rootfs_gb),
            Objection.CAPACITY: not one.deployable or one.inventory is Inventory.NONE,
            Objection.REFUSED: key in self.refused,
            Objection.COOLING: self.cooling.get(key, 0.0) > NOW,
        }
        return {rule for rule, broken in rules.items() if broken}

    def offers(self) -> list[tuple[Product, Region]]:
        """Everything that was asked for by name and way of paying."""
        assert self.wish.product_name is not None
        meant = {NAMES[number] for number in ASKED[self.wish.product_name]}
        return [
            (one, region)
            for one in self.catalogue.products
            if one.name in meant and one.billing_mode in self.wish.billing.modes
            for region in self.catalogue.regions
            if not one.regions or region.name in one.regions
        ]

    def best(self) -> OfferKey | None:
        """The winner, by looking at everything."""
        fitting = [(one, region) for one, region in self.offers() if not self.broken_rules(one, region)]
        if not fitting:
            return None
        one, region = min(fitting, key=lambda pair: self.place_of(*pair))
        return OfferKey(one.id, region.cluster_id, one.billing_mode)

    def place_of(self, one: Product, region: Region) -> tuple[object, ...]:
        elsewhere = region.cluster_id != self.wish.preferred
        leads = elsewhere if self.wish.placement is Placement.REGION_FIRST else False
        ties = (elsewhere, -one.memory_per_gpu, -one.cpu_per_gpu, one.id, region.cluster_id, one.billing_mode)
        return (leads, one.price_per_gpu * self.wish.gpu_num, *ties)


@dataclass
class Findings:
    """What a judge of many cases counted."""

    wrong: int = 0
    unexplained: int = 0
    offers: int = 0
    reasons: Counter[Objection] = field(default_factory=Counter)
    winners: int = 0


def judged(rank: Rank, *, cases: int, seed: int) -> Findings:
    """Rank so many random catalogues and judge each answer."""
    chance, found = random.Random(seed), Findings()
    for _ in range(cases):
        case = random_case(chance)
        ranked = rank(case.catalogue, case.wish, now=NOW, cooling=case.cooling, refused=case.refused)
        chosen = ranked[0].offer.key if ranked and ranked[0].fits else None
        found.wrong += chosen != case.best()
        found.winners += chosen is not None
        found.unexplained += unexplained(case, ranked)
        found.offers += len(ranked)
        found.reasons.update(place.objection for place in ranked if place.objection is not None)
    return found


def unexplained(case: Case, ranked: tuple[Ranked, ...]) -> int:
    """Offers that are missing, stand there twice, or are told a reason that is not true of them."""
    expected = {
        OfferKey(one.id, region.cluster_id, one.billing_mode): case.broken_rules(one, region)
        for one, region in case.offers()
    }
    told = Counter(place.offer.key for place in ranked)
    once = Counter(expected.keys())
    strange = (told - once).total() + (once - told).total()
    return strange + sum(not is_true(place, expected.get(place.offer.key, set())) for place in ranked)


def is_true(place: Ranked, broken: set[Objection]) -> bool:
    if place.objection is None:
        return not broken and place.rank > 0 and "$" in place.reason
    return place.objection in broken and place.rank == 0 and bool(place.reason)


def random_case(chance: random.Random) -> Case:
    """Few values each, so that ties and limits met exactly are frequent."""
    products = tuple(
        random_product(number, mode, chance) for number in range(chance.randint(0, 10)) for mode in BillingMode
    )
    regions = tuple(chance.sample(REGIONS, chance.randint(1, 4)))
    keys = [OfferKey(one.id, region.cluster_id, one.billing_mode) for one in products for region in regions]
    wish = requirement(
        product_name=chance.choice(sorted(ASKED)),
        gpu_num=chance.choice((1, 2, 8)),
        rootfs_gb=chance.choice((10, 60, 100)),
        billing=chance.choice(tuple(BillingChoice)),
        regions=tuple(region.cluster_id for region in regions if chance.random() < 0.5),
        preferred=chance.choice((None, "r-1")),
        placement=chance.choice(tuple(Placement)),
        max_price_per_hour=chance.choice((None, Usd(20), Usd(40), Usd(160))),
    )
    return Case(
        catalogue=Catalogue(products=products, regions=regions, read_at=NOW),
        wish=wish,
        cooling={key: NOW + chance.choice((-1.0, 0.0, 60.0)) for key in keys if chance.random() < 0.15},
        refused=[key for key in keys if chance.random() < 0.1],
    )


def random_product(number: int, mode: BillingMode, chance: random.Random) -> Product:
    return product(
        f"p{number}",
        name=NAMES[chance.choice((0, 0, 0, 0, 1, 2, 3, 3, 4, 5, 5, 6))],
        billing_mode=mode,
        price_per_gpu=Usd(chance.choice((0, 10, 20, 20, 30))),
        regions=tuple(region.name for region in REGIONS if chance.random() < 0.6),
        deployable=chance.random() < 0.85,
        inventory=chance.choice(tuple(Inventory)),
        memory_per_gpu=chance.choice((62, 120)),
        cpu_per_gpu=chance.choice((16, 32)),
        min_rootfs=chance.choice((0, 10, 60)),
        max_rootfs=chance.choice((0, 60, 100, 6144)),
    )


def test_the_chosen_offer_is_the_cheapest_and_each_loser_knows_why(scale, book):
    """The winner of each random catalogue is the minimum that a search through all of it finds."""
    cases = scale.pick(short=1_000, prove=10_000, full=100_000)
    found = judged(rank, cases=cases, seed=20_270_115)

    assert set(found.reasons) == set(Objection)
    book.figure("M3", "choices that differ from brute force", found.wrong, exactly=0)
    book.figure("M3", "random catalogues", cases, at_least=scale.pick(short=1_000, prove=10_000))
    book.figure("M3", f"of {found.offers:,} offers, those without a true reason", found.unexplained, exactly=0)
    book.figure("M3", "catalogues with an offer that fits", found.winners, at_least=cases // 4)


def test_a_cap_that_is_compared_with_one_gpu_is_noticed(scale, book):
    """The judge sees a placement that is wrong in one respect."""
    found = judged(m3_cap_per_gpu.rank, cases=500, seed=1)

    book.planted("M3", "the cap compared with the price of one GPU", caught=found.wrong > 0)
