"""Keeps the cost ledger true: books days that are over, holds them against Novita's bill, and watches the account's balance.

A day is booked after a complete sweep that began well after its end, so that everything of it has been seen; while Novita cannot be
read it waits. Its bill is read `bill_delay` after its end and again on the next three days, because bills are late; after that its
figure stays. What differs is written beside our figures in the commit that tells of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import structlog

from novitai.domain.costs import DAY, BalanceSeen, Day, DayRow, Reconciled, day_of
from novitai.domain.errors import ProviderFailure
from novitai.domain.events import Fact, FactType
from novitai.domain.ids import MachineId
from novitai.domain.keys import Actor, Scope
from novitai.domain.money import Usd, dollars
from novitai.domain.times import date
from novitai.operations import records
from novitai.operations.costs import DAYS_KEPT_SECONDS, Costs
from novitai.operations.freshness import Freshness
from novitai.operations.ledger import Ledger
from novitai.operations.reads import ReadModel
from novitai.operations.requests import Context
from novitai.policies.cost_days import settle, sums, worth_telling
from novitai.ports.coordination import Share
from novitai.ports.provider import BillCycle, BillQuery, Call, Provider
from novitai.ports.store import Commit, Lease

log = structlog.get_logger("novitai.costs")

LOOK_SECONDS = 300.0
"""Between looks, and between readings of the balance while something runs."""
SURE_AFTER_SECONDS = 60.0
"""How long after a day's end a sweep must begin to have seen everything of it."""
FINAL_AFTER_SECONDS = 3 * 86_400.0
BILLED_WITHIN_SECONDS = 31 * 86_400.0
"""Older days are not looked for on the bill."""
TOLD_MACHINES = 50
_CALL = Call(share=Share.BULK, longest_wait=30.0)


@dataclass(frozen=True, kw_only=True)
class CostSettings:
    """Seconds after a day's end until its bill is read; hours that the balance should last (0: never told of)."""

    bill_delay: float = 3 * 3600.0
    balance_alert_hours: float = 24.0


class CostKeeping:
    """Work of the loop `costs`. `hushed`: Novita refuses our key, so that bill and balance cannot be read."""

    def __init__(
        self,
        *,
        costs: Costs,
        ledger: Ledger,
        reads: ReadModel,
        freshness: Freshness,
        provider: Provider,
        hushed: Callable[[], bool],
        settings: CostSettings,
    ) -> None:
        self._costs = costs
        self._ledger = ledger
        self._reads = reads
        self._freshness = freshness
        self._provider = provider
        self._hushed = hushed
        self._settings = settings
        self._clock = ledger.clock

    async def run(self, lease: Lease) -> float | None:
        """Whatever is due."""
        await self._costs.follow()
        await self._book(lease)
        looks = (("bill", self._reconcile), ("balance", self._watch_balance))
        for what, look in () if self._hushed() else looks:
            try:
                await look(lease)
            except ProviderFailure as failure:
                log.warning("bill_not_read", what=what, error=failure.message, code=str(failure.code))
        self._costs.forget(self._clock.now() - DAYS_KEPT_SECONDS)
        return None

    # ── days ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _book(self, lease: Lease) -> None:
        if not self._costs.days():
            await self._write(Day(start=day_of(self._clock.now()) - DAY), None, lease)  # the ledger begins today
        while self._whole(start := int(self._costs.booked_until)):
            day = self._costs.unbooked(start)
            await self._write(day, None, lease)
            log.info("day_booked", date=date(start), machines=len(day.rows))

    def _whole(self, start: int) -> bool:
        swept = self._freshness.last_complete_at
        return swept is not None and swept >= start + DAY + SURE_AFTER_SECONDS

    async def _write(self, day: Day, reconciled: Reconciled | None, lease: Lease, fact: Fact | None = None) -> None:
        record = await self._ledger.store.get(records.COST_SUMS, date(day.start))
        expires_at = day.start + DAYS_KEPT_SECONDS
        puts = (
            records.put_cost_day(day, expires_at=expires_at),
            records.put_cost_sums(
                sums(day, reconciled=reconciled), expect=record.version if record else 0, expires_at=expires_at
            ),
        )
        if fact is None:
            await self._ledger.store.commit(Commit(puts=puts, lease=lease))
            return
        noted = self._ledger.note(
            _context(), "cost.adjust", target=date(day.start), because=fact.reason, facts=fact.data
        )
        await self._ledger.tell([fact], puts=puts, appends=(noted,), lease=lease)

    # ── the bill ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _reconcile(self, lease: Lease) -> None:
        now = self._clock.now()
        for day in self._costs.days()[1:]:  # the first one is from before the ledger began
            end = day.start + DAY
            if self._due(day.reconciled, end=end, now=now) and now - end < BILLED_WITHIN_SECONDS:
                await self._hold_against_bill(day.start, day.reconciled, lease)

    def _due(self, before: Reconciled | None, *, end: int, now: float) -> bool:
        if before is None:
            return now >= end + self._settings.bill_delay
        return not before.final and now >= before.at + DAY

    async def _hold_against_bill(self, start: int, before: Reconciled | None, lease: Lease) -> None:
        now = self._clock.now()
        day = await self._booked(start)
        query = BillQuery(start=start, end=start + DAY, cycle=BillCycle.DAY)
        billed: dict[MachineId, Usd] = {}
        for row in await self._provider.bills(query, _CALL) if day.rows or self._reads.all() else ():
            if start <= row.start < start + DAY:
                billed[row.machine_id] = Usd(billed.get(row.machine_id, 0) + row.amount)
        empty = bool(day.rows) and not billed  # an answer of which nothing is to be concluded
        final = now >= start + DAY + FINAL_AFTER_SECONDS and not empty
        adjusted, found = settle(day, billed, await self._whose(start), at=now, final=final)
        told = before is not None and before.told
        tells = not told and worth_telling(found)
        found = msgspec.structs.replace(found, told=told or tells)
        await self._write(adjusted, found, lease, _difference(start, found, at=now) if tells else None)
        say = log.warning if tells else log.info
        say("bill_compared", date=date(start), ours=dollars(found.ours), billed=dollars(found.billed), final=final)

    async def _booked(self, start: int) -> Day:
        record = await self._ledger.store.get(records.COST_DAY, date(start))
        return records.read_cost_day(record) if record is not None else Day(start=start)

    async def _whose(self, start: int) -> Mapping[MachineId, DayRow]:
        """Machines that are ours although they may have no row on that day: those of live instances, and of the days around it."""
        known: dict[MachineId, DayRow] = {}
        for around in (start - DAY, start + DAY):
            known |= {row.machine: row for row in (await self._booked(around)).rows}
        for snapshot in self._reads.all():
            one = snapshot.instance
            for machine in (*one.meter.ended, *(charge.machine for charge in one.meter.running)):
                known[machine] = DayRow(
                    instance=one.id, name=one.name, owner=one.owner, machine=machine, labels=one.spec.labels
                )
        return known

    # ── the balance ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _watch_balance(self, lease: Lease) -> None:
        burn, now = self._costs.burn_per_hour(), self._clock.now()
        before = self._costs.balance
        if not burn or (before is not None and now - before.at < LOOK_SECONDS / 2):
            return
        amount = await self._provider.balance(_CALL)
        hours, told = amount / burn, before is not None and before.low
        low = hours < self._settings.balance_alert_hours
        self._costs.balance = seen = BalanceSeen(amount=amount, at=now, low=told)
        if low == told:
            return
        seen = msgspec.structs.replace(seen, low=low)
        put = records.put_balance(seen)
        if low:
            await self._ledger.tell([self._low(amount, burn, hours, at=now)], puts=(put,), lease=lease)
        else:
            await self._ledger.store.commit(Commit(puts=(put,), lease=lease))
        self._costs.balance = seen

    def _low(self, amount: Usd, burn: Usd, hours: float, *, at: float) -> Fact:
        return Fact(
            type=FactType.BALANCE_LOW,
            at=at,
            actor="costs",
            reason=f"the balance of ${dollars(amount):.2f} pays for {max(0.0, hours):.1f} more hours of what runs now "
            f"(${dollars(burn):.2f} an hour)",
            data={
                "balance": dollars(amount),
                "perHour": dollars(burn),
                "hoursLeft": round(max(0.0, hours), 2),
                "alertHours": self._settings.balance_alert_hours,
            },
        )


def _difference(start: int, found: Reconciled, *, at: float) -> Fact:
    ours, billed = dollars(found.ours), dollars(found.billed)
    return Fact(
        type=FactType.COST_DIFFERENCE,
        at=at,
        actor="costs",
        reason=f"Novita's bill for {date(start)} says ${billed:.4f} where our figures said ${ours:.4f}; they were adjusted to it",
        data={
            "date": date(start),
            "ours": ours,
            "billed": billed,
            "differences": [
                {
                    "instanceId": one.instance,
                    "novitaInstanceId": one.machine,
                    "ours": dollars(one.ours),
                    "billed": None if one.billed is None else dollars(one.billed),
                }
                for one in found.differences[:TOLD_MACHINES]
            ],
        },
    )


def _context() -> Context:
    return Context(actor=Actor(owner="costs", scope=Scope.ADMIN, policy="costs"), correlation_id="")
