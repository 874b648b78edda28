"""What nobody outside Novita knows for sure goes well either way: paging, names, "not found", empty answers, late lists."""

import pytest

from contract.provider.harness import ACT, SimulatorHarness, order_for
from novita_simulator.settings import Switches
from novitai.domain.costs import Billed
from novitai.domain.errors import Gone, Rejected, TryLater
from novitai.domain.ids import MachineId
from novitai.domain.money import Usd
from novitai.novita import v1
from novitai.ports.provider import BillCycle, BillQuery, ProviderJobQuery

LONG = "n" * 60 + "-nvtest" + "0" * 27 + "1"
MARKER = LONG[-34:]


def world_with(**switches) -> SimulatorHarness:
    return SimulatorHarness(switches=Switches(apps=False, **switches))


def furnish(world: SimulatorHarness, count: int) -> list[str]:
    return [
        str(world.act("machines", name=f"m-{n}", productId="4090.16c62g", status="running")["instanceId"])
        for n in range(count)
    ]


async def read_all(world: SimulatorHarness, *, size: int) -> list[str]:
    """As a sweep reads: page after page until the total is reached or nothing new comes."""
    seen: dict[str, None] = {}
    for page in range(1, 20):
        found = await world.provider.machines(page, size, ACT)
        before = len(seen)
        seen |= dict.fromkeys(machine.id for machine in found.machines)
        if len(seen) == before or len(seen) >= found.total:
            break
    return list(seen)


@pytest.mark.parametrize("base", ["both", "zero", "one"])
@pytest.mark.parametrize("count", [1, 3, 4, 7])
async def test_every_machine_is_listed_whichever_page_is_the_first(base: str, count: int) -> None:
    """At the latest on the second reading, and with no more calls than one beside the pages."""
    async with world_with(page_base=base) as world:
        ids = furnish(world, count)

        await read_all(world, size=3)
        before = len(world.arrived("gpu/instances"))
        found = await read_all(world, size=3)

        assert sorted(found) == sorted(ids)
        assert len(world.arrived("gpu/instances")) - before <= -(-count // 3)


async def test_a_page_that_is_missing_once_leaves_no_habit_behind() -> None:
    """A list that was cut short by an accident is read from page 0 once, and no more when that shows the same."""
    async with world_with() as world:
        furnish(world, 4)
        world.spoil("GET .*gpu/instances", "short-list", count=2)

        await read_all(world, size=1)
        await read_all(world, size=3)
        before = len(world.arrived("gpu/instances"))

        assert len(await read_all(world, size=3)) == 4
        assert len(world.arrived("gpu/instances")) - before == 2


async def test_a_page_size_that_is_refused_is_made_smaller() -> None:
    """And the smaller one is kept."""
    async with world_with(max_page_size=20, oversized_pages="refused") as world:
        ids = furnish(world, 25)

        assert sorted(await read_all(world, size=100)) == sorted(ids)
        before = len(world.arrived("gpu/instances"))
        assert sorted(await read_all(world, size=100)) == sorted(ids)
        assert len(world.arrived("gpu/instances")) - before == 2


async def test_templates_and_jobs_follow_the_same_habits() -> None:
    """Whatever the first page is called and however small it must be."""
    async with world_with(page_base="zero", max_page_size=50, oversized_pages="refused") as world:
        machine_id = await world.running()
        world.act("out-of-band", instanceId=machine_id, verb="migrate")
        await world.provider.machines(1, 100, ACT)

        assert len(await world.provider.templates(ACT)) == 3
        assert len((await world.provider.jobs(ProviderJobQuery(page_size=50), ACT)).jobs) == 1


@pytest.mark.parametrize("status", [400, 404, 200])
async def test_a_machine_that_is_not_there_is_gone_however_that_is_said(status: int) -> None:
    """400 with a reason, 404, or an empty record; no breaker minds."""
    async with world_with(not_found_status=status) as world:
        with pytest.raises(Gone):
            await world.provider.machine(MachineId("0123456789abcdef"), ACT)

        assert world.coordination.reports == [True]


@pytest.mark.parametrize("answers", ["documented", "empty-object", "empty-body", "no-content"])
async def test_actions_are_done_whatever_they_answer(answers: str) -> None:
    """Any 2xx is a success."""
    async with world_with(action_answers=answers) as world:
        machine_id = await world.running()

        await world.provider.stop(machine_id, ACT)
        await world.pass_time(60)
        await world.provider.start(machine_id, ACT)
        await world.provider.delete(machine_id, ACT)
        await world.pass_time(60)

        assert world.machine_names() == []


async def test_a_name_that_is_refused_is_shorter_the_next_time() -> None:
    """The refused create is clearly not done; the next one keeps its marker."""
    async with world_with(longest_name=64) as world:
        order = order_for(await world.offer(), machine_name=LONG)

        with pytest.raises(TryLater):
            await world.provider.create(order, ACT)
        await world.provider.create(order, ACT)

        (name,) = world.machine_names()
        assert len(name) == 63
        assert name.endswith(f"-{MARKER}")


async def test_a_name_that_no_shortening_helps_is_refused() -> None:
    """It ends; nobody tries for ever."""
    async with world_with(longest_name=39) as world:
        order = order_for(await world.offer(), machine_name=LONG)

        for failure in (TryLater, TryLater, Rejected):
            with pytest.raises(failure):
                await world.provider.create(order, ACT)
        assert world.machine_names() == []


async def test_a_name_that_was_cut_is_shorter_the_next_time() -> None:
    """So that only the first machine of a process can lose its marker."""
    async with world_with(longest_name=64, long_names="cut") as world:
        order = order_for(await world.offer(), machine_name=LONG)

        await world.provider.create(order, ACT)
        await world.provider.machines(1, 100, ACT)
        await world.provider.create(order, ACT)

        cut, whole = world.machine_names()
        assert not cut.endswith(MARKER)
        assert whole.endswith(f"-{MARKER}")


async def test_balance_and_bills_are_read_in_their_own_unit() -> None:
    """1/10000 USD there, 1/100000 here; only the machine's own rows count."""
    async with world_with() as world:
        machine_id, other = await world.running(), await world.running("other")
        now = int(world.world_time)

        balance = await world.provider.balance(ACT)
        rows = await world.provider.bills(BillQuery(machine_id=machine_id, start=now - 10_000, end=now), ACT)

        spent = sum(row.amount for row in rows)
        assert 0 < spent < Usd(100 * 100_000) - balance
        assert {row.machine_id for row in rows} == {machine_id} != {other}
        assert world.arrived("billing") == [
            "GET /openapi/v1/billing/balance/detail",
            "GET /openapi/v1/billing/bill/list",
        ]


async def test_the_bill_of_a_day_has_a_row_for_each_machine_and_comes_late() -> None:
    """A day begins at midnight in UTC; of what was used in the last hours nothing is known yet."""
    async with world_with(bill_lag_seconds=10_000.0) as world:
        machines = {await world.running(), await world.running("other")}
        since = int(world.world_time) - 20_000

        async def days() -> tuple[Billed, ...]:
            query = BillQuery(start=since, end=int(world.world_time), cycle=BillCycle.DAY)
            return await world.provider.bills(query, ACT)

        assert await days() == ()
        await world.pass_time(12_000)
        late = await days()

        assert {row.machine_id for row in late} == machines
        assert all(row.start % 86_400 == 0 and row.amount > 0 for row in late)


async def test_a_bill_of_more_than_a_month_is_refused() -> None:
    """Whoever wants more asks twice."""
    async with world_with() as world:
        with pytest.raises(Rejected):
            await world.provider.bills(BillQuery(start=0, end=32 * 86_400), ACT)


async def test_a_list_can_be_asked_by_name() -> None:
    """For those who want to know what the filter does."""
    async with world_with() as world:
        furnish(world, 3)

        page = await world.provider.ask(v1.machines(1, 100, name="m-1"), ACT)

        assert [machine.name for machine in page.machines] == ["m-1"]
