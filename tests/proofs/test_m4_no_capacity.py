"""M4: an offer without capacity costs one call and no time: the next best one is asked at once, and the failed one is left alone for 3 minutes.

The whole program buys from a Novita whose offers sell out and come back at random, unseen in the catalogue. The verdict comes from the calls
that arrived there: which offer, when, for which request, and whether it was refused.
"""

import asyncio
import random
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf

import pytest

from novitai.domain.errors import NoCapacity, Refusal
from novitai.domain.ids import MachineId
from novitai.domain.machine import BillingMode
from novitai.domain.money import Usd
from novitai.domain.offers import BillingChoice, Catalogue, OfferKey, Placement
from novitai.operations.catalogue import CatalogueBook
from novitai.ports.provider import Call, MachineOrder
from proofs.planted import m4_forgets_refusals
from support.builders import CALIFORNIA, HONG_KONG, INDIA, product
from support.memory_store import MemoryDisk, MemoryStore
from support.running import House, running
from support.simulation_loop import LoopClock, run_virtually
from support.timed_provider import TimedProvider

REMEMBERED = 180.0
AT_ONCE = 1.0
SECONDS_A_REFUSAL_TAKES = 0.4
RESTOCK_SECONDS = 240.0
SOLD_OUT = 0.4
LONGEST_MEMORY = 1800.0


@dataclass(frozen=True)
class Asked:
    """A create as Novita saw it."""

    request: str
    key: OfferKey
    price: Usd
    at: float
    answered_at: float
    refused: bool


class Selling(TimedProvider):
    """A Novita whose stock is its own secret."""

    def __init__(self, *, clock: LoopClock) -> None:
        super().__init__(clock=clock)
        self.sold_out: set[OfferKey] = set()
        self.asked: list[Asked] = []
        self.seconds["create"] = SECONDS_A_REFUSAL_TAKES

    async def create(self, order: MachineOrder, call: Call) -> MachineId:
        refused = order.offer.key in self.sold_out
        if refused:
            self.fail("create", NoCapacity("no GPU is free", reason="INSUFFICIENT_RESOURCE", status=400))
        at = self._clock.now()
        try:
            return await super().create(order, call)
        finally:
            request = order.machine_name.rpartition("-")[0]
            price = order.offer.price_per_hour
            self.asked.append(Asked(request, order.offer.key, price, at, self._clock.now(), refused))


@dataclass
class Findings:
    """What the log of creates says."""

    creates: int = 0
    refused: int = 0
    slowest_next: float = 0.0
    asked_too_soon: int = 0
    dearer: int = 0
    left_alone: list[float] = field(default_factory=list)


def judged(asked: list[Asked], offered: dict[OfferKey, Usd]) -> Findings:
    """Judge a log of creates by what was on offer."""
    found = Findings(creates=len(asked), refused=sum(one.refused for one in asked))
    refused_at: dict[OfferKey, float] = {}
    of_request: dict[str, list[Asked]] = defaultdict(list)
    for one in sorted(asked, key=lambda asked: asked.at):
        before = of_request[one.request]
        if before:
            found.slowest_next = max(found.slowest_next, one.at - before[-1].answered_at)
        if one.key in refused_at:
            found.asked_too_soon += one.at < refused_at[one.key] + REMEMBERED
            found.left_alone.append(one.at - refused_at[one.key])
        excused = {key for key, at in refused_at.items() if one.at < at + LONGEST_MEMORY} | {a.key for a in before}
        cheapest = min((price for key, price in offered.items() if key not in excused), default=inf)
        found.dearer += one.price > cheapest
        before.append(one)
        if one.refused:
            refused_at[one.key] = one.answered_at
    return found


def wares(chance: random.Random) -> Catalogue:
    """Some products, each with a price of its own, in three regions."""
    prices = chance.sample(range(10_000, 60_000, 1_000), 4)
    modes = (BillingMode.SPOT, BillingMode.ON_DEMAND)
    products = tuple(
        product(f"p{number}", price_per_gpu=Usd(price), billing_mode=modes[number % 2])
        for number, price in enumerate(prices)
    )
    return Catalogue(products=products, regions=(CALIFORNIA, HONG_KONG, INDIA), read_at=0.0)


def prices(catalogue: Catalogue) -> dict[OfferKey, Usd]:
    return {
        OfferKey(one.id, region.cluster_id, one.billing_mode): one.price_per_gpu
        for one in catalogue.products
        for region in catalogue.regions
    }


async def shopped(*, seconds: float, every: float, seed: int, only_the_best: bool = False) -> Findings:
    """So many seconds of requests, with a stock that changes every few minutes (or where the best offer alone is gone, once)."""
    chance, clock = random.Random(seed), LoopClock(asyncio.get_running_loop())
    novita = Selling(clock=clock)
    novita.offered = wares(chance)
    offered = prices(novita.offered)
    # DEFAULT_REGION wins among equal prices.
    best = min(offered, key=lambda key: (offered[key], key.cluster_id != HONG_KONG.cluster_id))
    store = MemoryStore(MemoryDisk(), clock=clock)
    async with running(clock=clock, store=store, provider=novita) as house:
        number, end = 0, clock.now() + seconds
        while clock.now() < end:
            if number * every % RESTOCK_SECONDS < every:
                unavailable = {key for key in offered if chance.random() < SOLD_OUT}
                novita.sold_out = ({best} if number == 0 else set()) if only_the_best else unavailable
            await buy(house, number)
            number += 1
            await clock.sleep(every)
            novita.sold_out -= {best} if only_the_best else set()
    return judged(novita.asked, offered)


async def buy(house: House, number: int) -> None:
    with suppress(Refusal):  # every offer was refused lately
        await house.create(name=f"n{number}", billing=BillingChoice.AUTO, placement=Placement.CHEAPEST)


def test_the_next_best_offer_is_asked_at_once_and_a_failed_one_left_alone(scale, book, quiet):
    """Four of ten offers are sold out at any time, and no request waits for those."""
    seeds = scale.pick(short=range(2), prove=range(20), full=range(400))
    runs = [run_virtually(shopped(seconds=900.0, every=20.0, seed=seed)) for seed in seeds]

    refused = sum(run.refused for run in runs)
    too_soon = sum(run.asked_too_soon for run in runs)
    book.figure("M4", "creates that were refused for want of capacity", refused, at_least=len(runs) * 3)
    book.figure(
        "M4",
        "from a refusal to the next best offer, worst",
        max(r.slowest_next for r in runs),
        at_most=AT_ONCE,
        unit="s",
    )
    book.figure("M4", "creates for an offer that was refused less than 3 minutes ago", too_soon, exactly=0)
    book.figure(
        "M4",
        "creates for an offer while a cheaper one was not known to be sold out",
        sum(r.dearer for r in runs),
        exactly=0,
    )


def test_a_refused_offer_is_asked_again_after_three_minutes(scale, book, quiet):
    """It is back at once, but nobody knows; one request every 5 s finds it again as soon as it may be asked."""
    left_alone = run_virtually(shopped(seconds=400.0, every=5.0, seed=7, only_the_best=True)).left_alone

    book.figure(
        "M4",
        "how long an offer that was refused once is left alone",
        left_alone[0],
        at_least=180,
        at_most=185,
        unit="s",
    )


def test_a_memory_that_forgets_refusals_is_noticed(scale, book, quiet, monkeypatch: pytest.MonkeyPatch):
    """Each request pays for the same refusal again then."""
    monkeypatch.setattr(CatalogueBook, "refused", m4_forgets_refusals.refused)

    found = run_virtually(shopped(seconds=300.0, every=20.0, seed=1))

    book.planted("M4", "refusals of offers that are not remembered", caught=found.asked_too_soon > 0)
