"""What a live run may cost is known before, and what the bill says of the unit of prices is judged with care."""

import pytest

from novitai.doctor import money
from novitai.doctor.findings import Pending
from novitai.doctor.report import Level
from novitai.domain.machine import BillingMode
from novitai.domain.money import Usd, usd
from novitai.domain.offers import Catalogue, Inventory, Product, Region

REGION = Region(cluster_id="us-ca-6", name="US-CA-06 (California)")


def catalogue(*prices: float) -> Catalogue:
    products = tuple(
        Product(
            id=f"p{number}",
            name="RTX 4090",
            billing_mode=BillingMode.ON_DEMAND,
            price_per_gpu=usd(price),
            regions=(),
            deployable=True,
            inventory=Inventory.NORMAL,
        )
        for number, price in enumerate(prices)
    )
    return Catalogue(products=products, regions=(REGION,), read_at=0.0)


def test_the_cheapest_come_first_and_the_dearest_sets_the_worst_case():
    """Twenty minutes of the dearest offer that may be taken."""
    plan = money.plan(catalogue(0.6, 0.3, 0.9), now=0.0, most=usd(0.2))

    assert plan is not None
    assert [offer.price_per_hour for offer in plan.offers] == [usd(0.3), usd(0.6)]
    assert plan.worst_case == usd(0.2)


@pytest.mark.parametrize("prices", [(), (0.7,)])
def test_without_an_offer_within_the_limit_there_is_no_plan(prices):
    """Sold out, or too dear."""
    assert money.plan(catalogue(*prices), now=0.0, most=usd(0.2)) is None


@pytest.mark.parametrize("price", [0.021, 2.1])
def test_prices_in_another_unit_are_implausible(price):
    """A factor of ten either way shows in the cheapest one."""
    with pytest.raises(money.Implausible):
        money.plan(catalogue(price), now=0.0, most=usd(100))


@pytest.mark.parametrize(
    ("expected", "billed", "level"),
    [(1000, 1000, Level.OK), (1000, 1240, Level.OK), (1000, 2000, Level.FAIL), (1000, 500, Level.FAIL)],
)
def test_the_bill_is_held_against_the_price(expected, billed, level):
    """Rounding and a few seconds are forgiven, a factor is not."""
    answer = money.judge(Usd(expected), Usd(billed))

    assert answer is not None
    assert answer.level is level


@pytest.mark.parametrize(("expected", "billed"), [(1000, 0), (0, 1000), (70, 70)])
def test_too_little_tells_nothing(expected, billed):
    """Not billed yet, not used, or less than rounding leaves whole."""
    assert money.judge(Usd(expected), Usd(billed)) is None


def test_a_bill_that_may_still_grow_is_no_proof_of_another_unit():
    """Half of it may come with the next hour."""
    pending = Pending(machine_id="m", expected=1000, began=0.0, ended=600.0)

    assert money.judge_late(pending, Usd(500), now=4000.0) is None
    assert money.judge_late(pending, Usd(1000), now=4000.0).level is Level.OK
    assert money.judge_late(pending, Usd(500), now=8000.0).level is Level.FAIL
