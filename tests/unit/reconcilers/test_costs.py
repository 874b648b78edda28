"""The ledger is kept while the program runs, survives its end, is held against the bill, and tells what should be known."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from novitai.domain.change import Change
from novitai.domain.costs import DAY, Billed, day_of
from novitai.domain.errors import Broken
from novitai.domain.ids import InstanceId, MachineId
from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.domain.money import dollars, usd
from novitai.operations import records
from novitai.operations.costs import Costs
from novitai.ports.provider import BillCycle
from novitai.reconcilers.costs import CostKeeping, CostSettings
from support import builders
from support.running import HOOK, House, running

HOUR = 3600.0
PRICE = dollars(builders.offer().price_per_hour)
"""What an hour of the usual machine costs."""


class Keeper:
    """The loop's work alone, run by hand over a house in which nothing else moves."""

    def __init__(self, house: House, settings: CostSettings) -> None:
        self.house = house
        self.operations = house.program.operations
        self.costs: Costs = self.operations.costs
        self.today = day_of(house.clock.now())
        self._work = CostKeeping(
            costs=self.costs,
            ledger=self.operations.ledger,
            reads=self.operations.reads,
            freshness=self.operations.freshness,
            provider=house.provider,
            hushed=lambda: False,
            settings=settings,
        )

    async def have(self, **fields: Any) -> InstanceId:
        """An instance whose machine runs since now."""
        now = self.house.clock.now()
        machine = builders.seen_machine(MachineStatus.RUNNING, started_at=now, since=now)
        instance = builders.instance(State.READY, machine=machine, **fields)
        await self.operations.ledger.commit(0, Change(instance=instance))
        return instance.id

    async def stops(self) -> None:
        """Novita shows that it was stopped now."""
        now = self.house.clock.now()
        [snapshot] = self.operations.reads.all()
        machine = msgspec.structs.replace(snapshot.instance.machine, status=MachineStatus.STOPPED, stopped_at=now)
        change = Change(instance=msgspec.structs.replace(snapshot.instance, machine=machine))
        await self.operations.ledger.commit(snapshot.version, change)

    async def work(self, *, at: float | None = None, swept: bool = True) -> None:
        """Let the time be so many hours after the first midnight, Novita having been read just then."""
        if at is not None:
            await self.house.clock.run_until(self.today + DAY + at * HOUR)
        if swept:
            self.operations.freshness.last_complete_at = self.house.clock.now()
        lease = await self.house.store.acquire("loop:costs", owner="test", seconds=20.0)
        assert lease is not None
        await self._work.run(lease)

    def spent(self, **fields: Any) -> float:
        """Since the beginning, in USD."""
        usual = {"since": 0.0, "until": self.house.clock.now() + 1}
        return dollars(self.costs.spent(**(usual | fields)))

    @property
    def first_day(self) -> float:
        """What the first day came to."""
        return self.spent(since=self.today, until=self.today + DAY)

    def bill(self, amount: float) -> None:
        """Let Novita bill this for the first day."""
        row = Billed(machine_id=builders.MACHINE_ID, start=float(self.today), amount=usd(amount))
        self.house.provider.known_bills = (row,)

    async def told(self, kind: str) -> list[Any]:
        return [event.data for event in await self.house.events() if event.type == kind]


@asynccontextmanager
async def keeping(*, hours: float = 24.0, **environment: Any) -> AsyncIterator[Keeper]:
    async with running(start=False, **environment) as house:
        yield Keeper(house, CostSettings(balance_alert_hours=hours))


# ── what is spent ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_runs_is_spent_by_the_hour_under_its_label_and_its_key():
    """From memory; nothing is stored for it."""
    async with keeping() as keeper:
        await keeper.have(spec=builders.spec(labels={"team": "a"}), owner="key_1")
        stored = await keeper.house.store.revision()
        await keeper.house.clock.advance(HOUR)

        assert keeper.spent() == pytest.approx(PRICE, abs=1e-4)
        assert keeper.spent(label=("team", "a")) == keeper.spent(owner="key_1") == keeper.spent()
        assert keeper.spent(label=("team", "a"), owner="key_1") == keeper.spent()
        assert keeper.spent(label=("team", "b")) == keeper.spent(owner="key_2") == 0.0
        assert keeper.costs.burn_per_hour(label=("team", "a")) == usd(PRICE)
        assert keeper.spent(since=keeper.house.clock.now() - 60) == pytest.approx(PRICE / 60, abs=1e-4)
        assert await keeper.house.store.revision() == stored


async def test_what_has_ended_and_what_runs_is_there_after_a_new_start():
    """Ended charges from the log, running ones from the records, days from their sums."""
    async with keeping() as keeper:
        await keeper.have()
        await keeper.work(at=1.0)
        await keeper.stops()
        await keeper.house.clock.advance(HOUR)
        known = keeper.spent()

        house = keeper.house
        async with running(clock=house.clock, store=house.store, provider=house.provider, start=False) as again:
            costs = again.program.operations.costs
            assert dollars(costs.spent(since=0.0, until=house.clock.now())) == known > 0
            assert costs.booked_until == keeper.costs.booked_until


async def test_the_end_of_a_charge_is_written_with_the_end_of_the_run():
    """In one commit, so that a kill leaves both or neither; the record holds the sum."""
    async with running() as house:
        first = await house.ready()
        await house.clock.advance(HOUR)
        await house.ask(first, Verb.STOP)
        stopped = await house.until(first, State.STOPPED)

        entries = (await house.store.read_log(records.COSTS, f"instance:{first}")).entries
        [segment] = [records.read_cost(entry.body) for entry in entries]

        assert (segment.kind, stopped.meter.closed, stopped.meter.running) == ("gpu", (), ())
        price = stopped.offer.price_per_hour
        assert stopped.meter.settled.gpu == pytest.approx(price * (segment.until - segment.since) / HOUR, abs=1)
        assert house.program.operations.costs.spent(since=0.0, until=house.clock.now()) == stopped.meter.settled.total


# ── days ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_day_is_booked_after_a_sweep_that_saw_its_end():
    """Its rows and sums stay, and what comes later is counted beside them."""
    async with keeping() as keeper:
        await keeper.have(spec=builders.spec(labels={"team": "a"}))
        await keeper.work()
        await keeper.work(at=0.5)

        assert keeper.costs.booked_until == keeper.today + DAY
        [row] = records.read_cost_day(await keeper.house.store.get(records.COST_DAY, "2027-01-15")).rows
        assert (row.labels, row.gpu) == ({"team": "a"}, usd(PRICE * 16))
        assert keeper.first_day == pytest.approx(PRICE * 16)
        assert keeper.spent() == pytest.approx(PRICE * 16.5, abs=1e-4)


async def test_no_day_is_booked_while_novita_cannot_be_read():
    """A stop before midnight may still come to light."""
    async with keeping() as keeper:
        await keeper.have()
        await keeper.work()
        await keeper.work(at=3.0, swept=False)
        assert keeper.costs.booked_until == keeper.today

        await keeper.work()

        assert keeper.costs.booked_until == keeper.today + DAY


async def test_days_that_were_slept_through_are_booked_one_by_one():
    """Each in its own commit, with its own rows."""
    async with keeping() as keeper:
        await keeper.have()
        await keeper.work()
        await keeper.work(at=48.0 + 1.0)

        assert [day.start for day in keeper.costs.days()][1:] == [keeper.today + n * DAY for n in range(3)]
        assert keeper.spent() == pytest.approx(PRICE * (16 + 48 + 1), abs=1e-3)


async def test_days_that_are_kept_no_longer_are_forgotten():
    """In memory as in the store."""
    async with keeping() as keeper:
        await keeper.have()
        await keeper.work()
        await keeper.work(at=1.0)

        keeper.costs.forget(float(keeper.today + DAY))

        assert keeper.costs.days() == []
        assert keeper.first_day == 0.0


# ── the bill ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_day_is_adjusted_to_its_bill_and_a_large_difference_is_told_once():
    """The instance's own figure, too; a note stands in the audit log."""
    async with keeping(WEBHOOK_URL=HOOK) as keeper:
        instance_id = await keeper.have()
        await keeper.work()
        keeper.bill(PRICE * 16 + 1.0)
        await keeper.work(at=0.5)
        assert keeper.first_day == pytest.approx(PRICE * 16)
        await keeper.work(at=4.0)
        await keeper.work(at=30.0)

        assert keeper.first_day == pytest.approx(PRICE * 16 + 1.0)
        assert dollars(keeper.costs.adjusted(instance_id)) == pytest.approx(1.0)
        query = keeper.house.provider.made("bills")[0].argument
        assert (query.start, query.end - query.start, query.cycle) == (keeper.today, DAY, BillCycle.DAY)
        [told] = await keeper.told("cost.difference")
        assert (told["date"], told["billed"] - told["ours"]) == ("2027-01-15", pytest.approx(1.0))
        assert told["differences"][0]["instanceId"] == instance_id
        entries, _, _ = await keeper.operations.audit.page(key="by:costs", before=None, limit=5)
        assert [(entry.action, entry.target) for entry in entries] == [("cost.adjust", "2027-01-15")]
        assert "says" in entries[0].detail["because"]


async def test_a_small_difference_is_adjusted_and_not_told():
    """Half a percent."""
    async with keeping() as keeper:
        await keeper.have()
        await keeper.work()
        keeper.bill(PRICE * 16 * 1.005)
        await keeper.work(at=4.0)

        assert keeper.first_day == pytest.approx(PRICE * 16 * 1.005)
        assert await keeper.told("cost.difference") == []


async def test_a_bill_that_cannot_be_read_or_is_late_is_read_again():
    """A failure soon after; a machine that is not on the bill yet is left as it is until the next day."""
    async with keeping() as keeper:
        await keeper.have()
        await keeper.work()
        keeper.house.provider.fail("bills", Broken("html"))
        await keeper.work(at=4.0)
        assert keeper.costs.reconciled(keeper.today) is None
        await keeper.work(at=4.1)
        assert keeper.costs.reconciled(keeper.today).differences[0].billed is None
        assert keeper.first_day == pytest.approx(PRICE * 16)

        keeper.bill(PRICE * 16 - 0.5)
        await keeper.work(at=30.0)

        assert keeper.first_day == pytest.approx(PRICE * 16 - 0.5)
        assert not keeper.costs.reconciled(keeper.today).final


async def test_after_three_days_a_day_is_not_looked_at_again():
    """What the bill never had cost nothing, unless it has nothing at all."""
    async with keeping() as keeper:
        await keeper.have()
        await keeper.work()
        for day in range(4):
            await keeper.work(at=4.0 + 24 * day)
        assert not keeper.costs.reconciled(keeper.today).final

        other = Billed(machine_id=MachineId("f" * 16), start=float(keeper.today), amount=usd(7.0))
        keeper.house.provider.known_bills = (other,)
        for day in range(4, 7):
            await keeper.work(at=4.0 + 24 * day)

        asked = [one.argument.start for one in keeper.house.provider.made("bills")]
        assert asked.count(keeper.today) == 5
        found = keeper.costs.reconciled(keeper.today)
        assert (found.final, found.elsewhere, keeper.first_day) == (True, usd(7.0), 0.0)


# ── the balance ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_balance_that_does_not_last_is_told_once_until_it_was_higher():
    """Two dollars pay for less than a day; after a new start nothing is said again either."""
    async with keeping(WEBHOOK_URL=HOOK) as keeper:
        house = keeper.house
        await keeper.have()
        for balance in (2.0, 1.9, 500.0, 1.0):
            house.provider.known_balance = usd(balance)
            await house.clock.advance(300.0)
            await keeper.work()
        async with running(clock=house.clock, store=house.store, provider=house.provider, start=False) as again:
            await Keeper(again, CostSettings()).work()

            low = await keeper.told("account.balance_low")
            assert [one["balance"] for one in low] == [2.0, 1.0]
            assert (low[0]["perHour"], low[0]["alertHours"]) == (PRICE, 24.0)
            assert low[0]["hoursLeft"] == pytest.approx(2.0 / PRICE, abs=0.01)


async def test_a_balance_is_read_every_few_minutes_and_only_while_something_costs():
    """Nobody is told of a low balance of which nothing is used."""
    async with keeping() as keeper:
        keeper.house.provider.known_balance = usd(2.0)
        await keeper.work()
        assert keeper.house.provider.made("balance") == []

        await keeper.have()
        for _ in range(10):
            await keeper.house.clock.advance(60.0)
            await keeper.work()

        assert 2 <= len(keeper.house.provider.made("balance")) <= 5
        assert keeper.costs.balance.amount == usd(2.0)


async def test_a_bill_that_cannot_be_read_keeps_nobody_from_reading_the_balance():
    """Each has its own trouble."""
    async with keeping() as keeper:
        await keeper.have()
        await keeper.work()
        keeper.house.provider.known_balance = usd(2.0)
        keeper.house.provider.fail("bills", Broken("html"))
        await keeper.work(at=4.0)

        assert keeper.costs.reconciled(keeper.today) is None
        assert len(await keeper.told("account.balance_low")) == 1


async def test_a_balance_can_be_no_matter():
    """With zero hours nothing is told."""
    async with keeping(hours=0.0) as keeper:
        keeper.house.provider.known_balance = usd(0.01)
        await keeper.have()
        await keeper.house.clock.advance(HOUR)
        await keeper.work()

        assert await keeper.told("account.balance_low") == []
