"""What an instance has cost, cheaply: sums from its record and one rate, so that a list of many is no work.

It is all runs of all its machines with their disks, stopped time included, as the ledger has them; what Novita's bills had more or less
comes on top (`Costs.adjusted`).
"""

import msgspec

from novitai.domain.costs import DAY
from novitai.domain.instance import Instance
from novitai.domain.money import UNITS_PER_USD, Usd, cost


class Billing(msgspec.Struct, frozen=True):
    """A sum, and a rate per day that runs since a time (Unix seconds); in 1/100000 USD."""

    settled: float
    rate: int
    since: float

    def dollars_at(self, now: float, *, adjusted: int = 0) -> float:
        """USD so far, exact to 1/100000."""
        return round(adjusted + self.settled + self.rate * max(0.0, now - self.since) / DAY) / UNITS_PER_USD


def billing_of(instance: Instance) -> Billing:
    """How an instance is billed, from its record alone."""
    meter = instance.meter
    since = max((charge.since for charge in meter.running), default=0.0)
    until_then = sum(charge.rate * (since - charge.since) for charge in meter.running) / DAY
    rate = sum(charge.rate for charge in meter.running)
    return Billing(meter.settled.total + until_then, rate, since)


def estimate(price: Usd, *, since: float, until: float) -> float:
    """USD that a price per hour comes to, for a machine of which no more is known."""
    return cost(price, max(0.0, until - since)) / UNITS_PER_USD
