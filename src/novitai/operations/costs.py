"""The cost ledger: what every instance, label and key has cost, and costs now.

Three things hold it. What runs stands in each instance's record (`Instance.meter`), brought up to date in the very commit that takes in
what was seen; a charge that ended goes to the log `costs` in that commit, so a process that is killed loses none and counts none twice.
Days that are over are *booked*: their rows and sums are written once, by one process, after the last time that anything of them could
be news; from then on nothing earlier than `booked_until` is touched but by Novita's bill. A poll stores nothing.

In memory are the sums of the booked days, the charges that ended since, and those that run: budgets and lists are answered from there.
Rows of booked days are read when somebody asks for them. Kept: days 400 days, ended charges 90 days.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple

from novitai.domain.costs import DAY, BalanceSeen, Day, DayRow, DaySums, Owned, Reconciled, Segment, day_of
from novitai.domain.ids import InstanceId, MachineId
from novitai.domain.instance import Instance
from novitai.domain.lifecycle import State
from novitai.domain.machine import BillingMode, Machine
from novitai.domain.money import Usd
from novitai.domain.times import date
from novitai.operations import records
from novitai.operations.catalogue import CatalogueBook
from novitai.operations.ledger import Snapshot
from novitai.operations.reads import ReadModel
from novitai.policies import costs as policy
from novitai.policies.cost_days import EVERYBODY, Used, rows, used, using
from novitai.ports.store import Commit, Committed, LogEntry, Store
from novitai.ports.world import Clock

DAYS_KEPT_SECONDS = 400 * 86_400.0
SEGMENTS_KEPT_SECONDS = 90 * 86_400.0
LATE_SECONDS = 3_600.0
"""How far apart the times of neighbouring log entries may lie, whoever wrote them."""
PAGE = 500
DAYS_AT_A_TIME = 31
MEMORIES = 256

Label = tuple[str, str]


class CatalogueTariff:
    """Prices as the catalogue has them now."""

    def __init__(self, book: CatalogueBook) -> None:
        self._book = book

    def price(self, product_id: str, mode: BillingMode, gpus: int) -> Usd | None:
        """Per hour for so many GPUs of a product; None when the catalogue does not have it."""
        known = self._book.known
        found = (
            one.price_per_gpu
            for one in (known.products if known is not None else ())
            if one.id == product_id and one.billing_mode is mode
        )
        price = next(found, None)
        return None if price is None else Usd(price * gpus)


class _Memory(NamedTuple):
    """An answer, for as long as nothing begins or ends to cost: what it was at a time, and what is added per hour."""

    at: float
    spent: Usd
    burn: Usd


class Costs:
    """See the module's text."""

    def __init__(self, *, store: Store, reads: ReadModel, catalogue: CatalogueBook, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._tariff = CatalogueTariff(catalogue)
        self._sums: dict[int, dict[Owned, int]] = {}
        self._days: dict[int, DaySums] = {}
        self._adjusted: dict[InstanceId, int] = {}
        self._ended: dict[str, Used] = {}
        self._running: dict[InstanceId, tuple[Used, ...]] = {}
        self._memories: dict[tuple[float, Label | None, str | None], _Memory] = {}
        self.booked_until = float(day_of(clock.now()))
        """The end of the last booked day; the beginning of today where none is."""
        self.balance: BalanceSeen | None = None
        """The account's balance as it was last read."""
        reads.listen(self._take_instance)

    # ── keeping ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def tariff(self) -> policy.Tariff:
        """What GPUs cost now."""
        return self._tariff

    def metered(self, instance: Instance, now: float) -> Instance:
        """An instance with its charges as its record says: for its commit."""
        return policy.keep(instance, tariff=self._tariff, floor=self.booked_until, now=now)

    def sighted(self, instance: Instance, machine: Machine, *, at: float) -> Instance:
        """The same for a machine beside its present one, as it was just read."""
        return policy.sighted(instance, machine, tariff=self._tariff, floor=self.booked_until, at=at)

    def unseen(self, instance: Instance, *, machine_id: MachineId, at: float) -> Instance:
        """The same for one that Novita does not show any more."""
        return policy.unseen(instance, machine_id, floor=self.booked_until, at=at)

    async def load(self) -> None:
        """Read the sums of the booked days and what has ended since."""
        cursor: str | None = None
        while True:
            page = await self._store.list(records.COST_SUMS, "all", cursor=cursor, limit=PAGE)
            for record in page.records:
                self._take_day(records.read_cost_sums(record))
            cursor = page.next_cursor
            if cursor is None:
                break
        balance = await self._store.get(records.COST_BALANCE, "account")
        self.balance = records.read_balance(balance) if balance is not None else None
        await self.follow()

    async def follow(self) -> None:
        """Take in what has ended since the last booked day, whoever wrote it."""
        after: int | None = None
        while True:
            page = await self._store.read_log(records.COSTS, "all", after=after, limit=PAGE, descending=True)
            self._take_ended((entry.id, records.read_cost(entry.body)) for entry in page.entries)
            after = page.next_position
            if after is None or page.entries[-1].at < self.booked_until - LATE_SECONDS:
                return

    def committed(self, commit: Commit, result: Committed) -> None:
        """Take in a commit of this process."""
        ended = [(one.id, records.read_cost(one.body)) for one in commit.appends if one.log == records.COSTS]
        if ended:
            self._take_ended(ended)
        for record in result.records:
            if record.kind == records.COST_SUMS and not record.deleted:
                self._take_day(records.read_cost_sums(record))

    # ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def spent(self, *, since: float, until: float, label: Label | None = None, owner: str | None = None) -> Usd:
        """What was spent between two times, at most until now. Of a booked day that is cut the part is taken in proportion.

        From memory; asked again before anything begins or ends to cost, it takes no time.
        """
        now = self._clock.now()
        if until < now:
            return self._spent(since, until, label, owner)
        key = (since, label, owner)
        known = self._memories.get(key)
        if known is None or since > known.at or now < known.at:
            if len(self._memories) >= MEMORIES:
                self._memories.clear()
            known = _Memory(now, self._spent(since, now, label, owner), self.burn_per_hour(label=label, owner=owner))
            self._memories[key] = known
        return Usd(known.spent + round(known.burn * (now - known.at) / 3600))

    def burn_per_hour(self, *, label: Label | None = None, owner: str | None = None) -> Usd:
        """What everything that runs costs per hour now, disks of stopped machines included."""
        return Usd(round(sum(one.charge.rate for one in self._live(label, owner)) / 24))

    def adjusted(self, instance_id: InstanceId) -> Usd:
        """What Novita's bills had more, or less, than our figures for an instance, over all days that are kept."""
        return Usd(self._adjusted.get(instance_id, 0))

    def days(self) -> Sequence[DaySums]:
        """The booked days, oldest first."""
        return [self._days[start] for start in sorted(self._days)]

    def reconciled(self, start: int) -> Reconciled | None:
        """How a booked day compares with its bill."""
        day = self._days.get(start)
        return day.reconciled if day is not None else None

    async def rows(self, *, since: float, until: float) -> AsyncIterator[list[tuple[int, float, DayRow]]]:
        """What machines cost between two times, day by day: the day's start, the part of the row that counts, and the row. Rows of days
        that are not booked yet are cut exactly (their part is 1), those of booked ones in proportion.
        """
        now = self._clock.now()
        since, until = max(since, now - DAYS_KEPT_SECONDS), min(until, now)
        starts = [start for start in range(day_of(since), int(until) + 1, DAY) if start < until]
        for first in range(0, len(starts), DAYS_AT_A_TIME):
            some = starts[first : first + DAYS_AT_A_TIME]
            kept = await self._store.get_many(records.COST_DAY, [date(one) for one in some if one in self._days])
            for start in some:
                begin, end = max(since, start), min(until, start + DAY)
                record = kept.get(date(start))
                if record is not None:
                    yield [(start, (end - begin) / DAY, row) for row in records.read_cost_day(record).rows]
                    await asyncio.sleep(0)  # a year of them takes a while, and others are waiting
                elif start >= self.booked_until:
                    yield [(start, 1.0, row) for row in rows(self._all(), start=begin, end=end)]

    def unbooked(self, start: int) -> Day:
        """What a day that is over, and not booked yet, came to."""
        return Day(start=start, rows=rows(self._all(), start=start, end=start + DAY))

    async def segments(
        self, instance_id: str, *, limit: int, after: int | None = None
    ) -> tuple[Sequence[LogEntry], int | None]:
        """Ended charges of an instance, newest first, and where to go on."""
        page = await self._store.read_log(
            records.COSTS, f"instance:{instance_id}", after=after, limit=limit, descending=True
        )
        return page.entries, page.next_position

    # ── memory ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _spent(self, since: float, until: float, label: Label | None, owner: str | None) -> Usd:
        owned: Owned = (owner or "", *(label or ("", "")))
        total = 0.0
        for start, by in self._sums.items():
            overlap = min(until, start + DAY) - max(since, start)
            if overlap > 0:
                total += by.get(owned, 0) * overlap / DAY
        first = max(since, self.booked_until)
        if until > first:
            total += sum(one.between(first, until) for one in self._ended.values() if _is(one, label, owner))
            total += sum(one.between(first, until) for one in self._live(label, owner))
        return Usd(round(total))

    def _live(self, label: Label | None, owner: str | None) -> Iterable[Used]:
        return (one for charges in self._running.values() for one in charges if _is(one, label, owner))

    def _all(self) -> Iterable[Used]:
        yield from self._ended.values()
        for charges in self._running.values():
            yield from charges

    def _take_instance(self, snapshot: Snapshot) -> None:
        instance = snapshot.instance
        running = using(instance) if instance.state is not State.DELETED else ()
        before = self._running.get(instance.id, ())
        if [one.charge for one in running] == [one.charge for one in before]:
            return
        self._memories.clear()
        if running:
            self._running[instance.id] = running
        else:
            del self._running[instance.id]

    def _take_ended(self, found: Iterable[tuple[str, Segment]]) -> None:
        for entry_id, segment in found:
            if segment.until > self.booked_until and entry_id not in self._ended:
                self._ended[entry_id] = used(segment)
                self._memories.clear()

    def _take_day(self, day: DaySums) -> None:
        before = self._days.get(day.start)
        for instance_id, difference in before.adjusted if before is not None else ():
            self._adjust(instance_id, -difference)
        for instance_id, difference in day.adjusted:
            self._adjust(instance_id, difference)
        self._days[day.start] = day
        self._sums[day.start] = {(owner, key, value): total for owner, key, value, total in day.by}
        self._memories.clear()
        end = float(day.start + DAY)
        if before is None and (len(self._days) == 1 or end > self.booked_until):
            self.booked_until = end
            self._ended = {key: one for key, one in self._ended.items() if one.until is not None and one.until > end}

    def _adjust(self, instance_id: InstanceId, difference: int) -> None:
        left = self._adjusted.pop(instance_id, 0) + difference
        if left:
            self._adjusted[instance_id] = left

    def forget(self, before: float) -> None:
        """Days that are not kept any more."""
        for start in [start for start in self._days if start + DAY <= before]:
            del self._days[start], self._sums[start]
        self._memories.clear()


def _is(one: Used, label: Label | None, owner: str | None) -> bool:
    return (owner is None or one.owner == owner) and (label is None or one.labels.get(label[0]) == label[1])


__all__ = ["DAYS_KEPT_SECONDS", "EVERYBODY", "SEGMENTS_KEPT_SECONDS", "CatalogueTariff", "Costs", "Label"]
