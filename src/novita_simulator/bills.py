"""Bills in the form of Novita's billing service: rows per owner and cycle, months, and money in 1/10000 USD (novita-wire.md 4).

A row's amount is the difference of two rounded running sums, so that rows add up to the whole bill without drift.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from novita_simulator.billing import Meter, Purchase, bill_units
from novita_simulator.errors import Refusal, invalid_param
from novita_simulator.machine import Machine
from novita_simulator.world import World

CYCLES = {"Hour": 3600, "Day": 86_400, "Week": 7 * 86_400, "Month": 30 * 86_400}
USAGE_CATEGORIES = ("summary", "gpu", "llm", "serverless", "cloud_storage", "gen_api")
MONTHLY_CATEGORIES = ("summary", "gpu", "local_storage", "image")
LONGEST_WINDOW = 31 * 86_400


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Something that is billed: a machine or a network volume."""

    id: str
    name: str
    category: str
    product_id: str
    base_price: int
    units: int
    meter: Meter


@dataclass(frozen=True, kw_only=True)
class Row:
    owner: Owner
    start: int
    end: int
    gpu_seconds: int
    disk_seconds: int
    amount: int  # 1/10000 USD


@dataclass(frozen=True, kw_only=True)
class BillQuery:
    cycle: str
    category: str
    start: int
    end: int
    owner_id: str = ""
    product_name: str = ""

    def check(self) -> None:
        if self.cycle not in CYCLES:
            raise Refusal(400, "INVALID_BILL_CYCLE", "invalid bill cycle")
        if self.category not in USAGE_CATEGORIES:
            raise Refusal(400, "INVALID_PRODUCT_CATEGORY", "invalid product category")
        if not 0 <= self.end - self.start <= LONGEST_WINDOW:
            raise invalid_param("startTime")

    def fits(self, owner: Owner) -> bool:
        return (
            self.owner_id in ("", owner.id)
            and self.category in ("summary", owner.category)
            and self.product_name.lower() in owner.name.lower()
        )


def usage(world: World, query: BillQuery, now: float) -> list[Row]:
    """What was used within the window, one row per owner and cycle that cost anything; the newest cycle first."""
    query.check()
    rows = [row for owner in _owners(world) if query.fits(owner) for row in _rows(owner, query, now)]
    return sorted(rows, key=lambda row: row.start, reverse=True)


def shown_until(world: World, now: float) -> float:
    """Up to when balance and bills know what was used; they may be behind."""
    return now - world.settings.real(world.settings.switches.bill_lag_seconds)


def shown_balance(world: World, now: float) -> int:
    """Ticks left, as far as the billing knows."""
    until = shown_until(world, now)
    if until == now:
        return world.ledger.balance(now)  # known without visiting every machine
    used = sum(owner.meter.used(0, until) + owner.meter.paid_ahead() for owner in _owners(world))
    return world.ledger.granted - used


def purchases(world: World, *, owner_id: str, start: int, end: int) -> list[tuple[Machine, Purchase]]:
    """The fixed-term bill: months of machines, paid ahead."""
    return [
        (machine, purchase)
        for machine in world.ever()
        if owner_id in ("", machine.id)
        for purchase in machine.meter.purchases
        if start <= purchase.at <= end
    ]


def months(world: World, now: float) -> Iterator[tuple[str, int, int, int]]:
    """The monthly bills, the newest first: name (YYYY-MM), first second, last second, amount in 1/10000 USD."""
    first = _month_of(now)
    while first >= _month_of(world.began_at):
        start, end = int(first.timestamp()), int(_next_month(first).timestamp())
        used = sum(owner.meter.used(start, min(now, end)) for owner in _owners(world))
        bought = sum(p.ticks for owner in _owners(world) for p in owner.meter.purchases if start <= p.at < end)
        yield first.strftime("%Y-%m"), start, end - 1, bill_units(used + bought)
        first = _month_of(start - 1)


def _owners(world: World) -> Iterator[Owner]:
    for machine in world.ever():
        yield Owner(
            id=machine.id,
            name=machine.product.name,
            category="gpu",
            product_id=machine.product.id,
            base_price=machine.price,
            units=machine.units,
            meter=machine.meter,
        )
    for storage in (*world.account.gone_storages.values(), *world.account.storages.values()):
        yield Owner(
            id=storage.id,
            name=storage.name,
            category="cloud_storage",
            product_id="network_storage",
            base_price=0,
            units=storage.size,
            meter=storage.meter,
        )


def _rows(owner: Owner, query: BillQuery, now: float) -> Iterator[Row]:
    """Cycles lie on multiples of their length in UTC; the window cuts the first and the last."""
    length = CYCLES[query.cycle]
    end = min(query.end, int(now))
    first = max(query.start, min((charge.since for charge in owner.meter.charges), default=end))
    for cycle in range(first // length * length, end, length):
        since, until = max(cycle, query.start), min(cycle + length, end)
        amount = bill_units(owner.meter.used(0, until)) - bill_units(owner.meter.used(0, since))
        gpu_seconds = owner.meter.seconds("gpu", since, until)
        disk_seconds = owner.meter.seconds("disk", since, until)
        if gpu_seconds or disk_seconds:
            yield Row(
                owner=owner,
                start=cycle,
                end=cycle + length,
                gpu_seconds=gpu_seconds * owner.units,
                disk_seconds=disk_seconds,
                amount=amount,
            )


def _month_of(moment: float) -> dt.datetime:
    at = dt.datetime.fromtimestamp(moment, dt.UTC)
    return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _next_month(first: dt.datetime) -> dt.datetime:
    return (first + dt.timedelta(days=32)).replace(day=1)
