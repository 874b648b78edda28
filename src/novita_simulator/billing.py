"""What machines cost, to the second.

A meter is the list of a machine's charges: GPU time at the price of the moment it was taken, disk beyond the free part, and
sums paid ahead. The ledger adds all meters up as time passes, so that the balance is known without visiting every machine.
Rules (novita-wire.md 1.4): GPU time counts from `pulling` until the machine is stopped; of the container disk 60 GB are
free, the rest costs $0.005 per GB and day, also while stopped; a network volume costs $0.002 per GB and day.

Amounts are whole *ticks*, small enough that a second of any price is a whole number of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

PRICE_UNITS_PER_USD = 100_000  # prices are integers of 1/100000 USD
_DAY = 86_400
TICKS_PER_USD = PRICE_UNITS_PER_USD * _DAY

FREE_CONTAINER_DISK = 60  # GB
CONTAINER_DISK_PRICE = 500  # per GB and day, in price units
NETWORK_DISK_PRICE = 200


def gpu_rate(price_per_hour: int, gpus: int) -> int:
    """Ticks a second of GPUs at an hourly price each."""
    return price_per_hour * gpus * 24


def container_disk_rate(rootfs_size: int) -> int:
    return max(0, rootfs_size - FREE_CONTAINER_DISK) * CONTAINER_DISK_PRICE


def network_disk_rate(size: int) -> int:
    return size * NETWORK_DISK_PRICE


def usd(ticks: int) -> float:
    return ticks / TICKS_PER_USD


def bill_units(ticks: int) -> int:
    """Ticks as balances and bills show them: 1/10000 USD, rounded to the nearest."""
    return (ticks * 10_000 * 2 + TICKS_PER_USD) // (TICKS_PER_USD * 2)


@dataclass(slots=True)
class Charge:
    """A rate of ticks a second over whole seconds `[since, until)`; `until` is None while it goes on."""

    what: str  # gpu | disk
    rate: int
    since: int
    until: int | None = None

    def seconds(self, start: float, end: float) -> int:
        """The charged seconds that lie between two moments."""
        first = max(self.since, int(start))
        last = int(end) if self.until is None else min(self.until, int(end))
        return max(0, last - first)


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """A sum paid ahead: a month, or months, of a machine."""

    at: float
    ticks: int
    months: int
    kind: str  # monthly_new_buy | monthly_re_buy | monthly_re_config


@dataclass(slots=True)
class Meter:
    charges: list[Charge] = field(default_factory=list)
    purchases: list[Purchase] = field(default_factory=list)

    def running(self, what: str) -> Charge | None:
        return next((c for c in self.charges if c.what == what and c.until is None), None)

    def seconds(self, what: str, start: float, end: float) -> int:
        return sum(charge.seconds(start, end) for charge in self._of(what))

    def ticks(self, what: str, start: float, end: float) -> int:
        return sum(charge.rate * charge.seconds(start, end) for charge in self._of(what))

    def used(self, start: float, end: float) -> int:
        """Ticks of everything metered between two moments, without what was paid ahead."""
        return self.ticks("gpu", start, end) + self.ticks("disk", start, end)

    def paid_ahead(self) -> int:
        return sum(purchase.ticks for purchase in self.purchases)

    def _of(self, what: str) -> Iterator[Charge]:
        return (charge for charge in self.charges if charge.what == what)


class Ledger:
    """The account's money. Meters are started and stopped through it, so that its running sum is never behind them."""

    def __init__(self, *, balance_usd: float, now: float) -> None:
        self._granted = int(balance_usd * TICKS_PER_USD)
        self._spent = 0
        self._rate = 0
        self._settled_at = int(now)

    def start(self, meter: Meter, what: str, *, rate: int, now: float) -> None:
        """Begin a charge, unless one of that kind goes on already or it would cost nothing."""
        if rate and meter.running(what) is None:
            self._settle(now)
            self._rate += rate
            meter.charges.append(Charge(what=what, rate=rate, since=int(now)))

    def stop(self, meter: Meter, what: str, *, now: float) -> None:
        charge = meter.running(what)
        if charge:
            self._settle(now)
            self._rate -= charge.rate
            charge.until = int(now)

    def buy(self, meter: Meter, purchase: Purchase) -> None:
        self._spent += purchase.ticks
        meter.purchases.append(purchase)

    @property
    def granted(self) -> int:
        """Ticks that the account began with, or was given."""
        return self._granted

    def spent(self, now: float) -> int:
        self._settle(now)
        return self._spent

    def balance(self, now: float) -> int:
        """Ticks left; below zero when time ran on after the last one."""
        return self._granted - self.spent(now)

    def set_balance(self, balance_usd: float, now: float) -> None:
        self._granted = self.spent(now) + int(balance_usd * TICKS_PER_USD)

    def _settle(self, now: float) -> None:
        moment = int(now)
        if moment > self._settled_at:
            self._spent += self._rate * (moment - self._settled_at)
            self._settled_at = moment
