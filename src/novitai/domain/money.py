"""Money: whole numbers of 1/100000 USD, the unit in which Novita prices are exact (novita-wire.md 1.4)."""

from typing import NewType

Usd = NewType("Usd", int)
"""An amount, or a price per hour for a whole instance, in 1/100000 USD."""

UNITS_PER_USD = 100_000


def usd(dollars: float) -> Usd:
    """Dollars as people write them, to the nearest unit."""
    return Usd(round(dollars * UNITS_PER_USD))


def dollars(amount: Usd) -> float:
    """The amount as a JSON number of dollars, exact to 1/100000."""
    return amount / UNITS_PER_USD


def cost(price_per_hour: Usd, seconds: float) -> Usd:
    """What a price per hour comes to over a time."""
    return Usd(round(price_per_hour * seconds / 3600))
