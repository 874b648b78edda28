"""What a live run may cost: the offer that it takes, the most that it can come to, and whether the bill says the same
as the price.
"""

from collections.abc import Sequence

import msgspec

from novitai.doctor.facts import PRICE_UNIT
from novitai.doctor.findings import Pending
from novitai.doctor.probing import Answer
from novitai.doctor.report import Level
from novitai.domain.costs import Billed
from novitai.domain.money import UNITS_PER_USD, Usd, cost, dollars, usd
from novitai.domain.offers import BillingChoice, Catalogue, Offer, Requirement
from novitai.novita.account import BILL_UNITS_PER_USD
from novitai.policies import placement

RUN_SECONDS = 900.0
CLEANUP_SECONDS = 300.0
"""How long a run may take, and how long the removal of its machine after that."""
DISK_GB = 20
OFFERS_TRIED = 5

PLAUSIBLE = (usd(0.05), usd(2.0))
"""Between these lies the cheapest GPU on demand by the hour (published prices begin near $0.20). Outside of them the unit of
prices must be another one than we think, so that no worst case can be computed.
"""
LEAST_UNITS_TO_JUDGE = 8
"""Bills have whole units of 1/10000 USD; of fewer than these rounding alone is a tenth."""
AGREES = (0.8, 1.25)
SETTLED_AFTER_SECONDS = 2 * 3600.0
"""Bills are settled by the hour (novita-wire.md 1.4)."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The offers that a run may take, cheapest first, and the most that it can cost with the dearest of them."""

    offers: tuple[Offer, ...]
    worst_case: Usd


class Implausible(Exception):
    """The prices cannot be in the unit that we take them for."""


def plan(catalogue: Catalogue, *, now: float, most: Usd) -> Plan | None:
    """The cheapest offers on demand whose worst case stays within `most`; None when the cheapest does not, or none is
    free. Raises Implausible.
    """
    wanted = Requirement(billing=BillingChoice.ON_DEMAND, rootfs_gb=DISK_GB)
    fitting = [one.offer for one in placement.rank(catalogue, wanted, now=now) if one.fits]
    if not fitting:
        return None
    cheapest = fitting[0].price_per_hour
    if not PLAUSIBLE[0] <= cheapest <= PLAUSIBLE[1]:
        raise Implausible(f"the cheapest GPU would cost ${dollars(cheapest):g} an hour")
    chosen = tuple(offer for offer in fitting[:OFFERS_TRIED] if worst_case(offer) <= most)
    return Plan(offers=chosen, worst_case=max(map(worst_case, chosen))) if chosen else None


def worst_case(offer: Offer) -> Usd:
    """The offer for as long as a run and its cleaning up may take."""
    return cost(offer.price_per_hour, RUN_SECONDS + CLEANUP_SECONDS)


def billed(rows: Sequence[Billed]) -> Usd:
    """What the rows of one machine come to."""
    return Usd(sum(row.amount for row in rows))


def judge(expected: Usd, found: Usd) -> Answer | None:
    """The unit of prices, from what a machine was expected to cost and what was billed; None when that is too little to
    tell.
    """
    if found <= 0 or min(expected, found) * BILL_UNITS_PER_USD < LEAST_UNITS_TO_JUDGE * UNITS_PER_USD:
        return None
    ratio = found / expected
    how = f"billed ${dollars(found):.4f}, by price and time ${dollars(expected):.4f}"
    if AGREES[0] <= ratio <= AGREES[1]:
        return Answer(PRICE_UNIT, value=1.0, words="1/100000 USD, as billed", how=how)
    return Answer(
        PRICE_UNIT,
        value=round(ratio, 4),
        words=f"the bill is {ratio:.3g} times what prices say",
        how=how,
        level=Level.FAIL,
        advice=f"divide MAX_USD_PER_HOUR, DEFAULT_MAX_PRICE_PER_HOUR, every maxPricePerHour and every budget by {ratio:.3g}",
    )


def judge_late(pending: Pending, found: Usd, *, now: float) -> Answer | None:
    """The same for a machine whose bill was late; None while it may still grow."""
    answer = judge(Usd(pending.expected), found)
    whole = now - pending.ended >= SETTLED_AFTER_SECONDS
    return answer if answer is not None and (whole or answer.level is Level.OK) else None
