"""The loop that keeps spending within its budgets: what it tells, what it stops, and what it leaves to people. The whole program runs,
in virtual time; a machine costs $0.35 an hour.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import jsonschema_rs
import pytest

from novitai.api.event_schemas import schemas_by_type
from novitai.domain.automation import Part
from novitai.domain.budget import InstanceBudget, Period, Scope
from novitai.domain.errors import Code, Refusal
from novitai.domain.events import Event
from novitai.domain.instance import DesiredState, Verb
from novitai.domain.lifecycle import State
from novitai.domain.money import usd
from novitai.domain.schedule import Schedule
from novitai.operations import records
from novitai.operations.budget import BudgetRequest
from novitai.operations.changes import Changes
from novitai.operations.receipts import Answer
from novitai.operations.requests import Amendment
from novitai.policies.budget import View
from support import crashing
from support.clock import START, FakeClock
from support.crashing import SECRETS_KEY, Fuse
from support.memory_store import MemoryDisk, MemoryStore
from support.running import HOOK, House, context, running
from support.timed_provider import UP, TimedProvider

HOUR = 3600.0
MIDNIGHT = START + 16 * HOUR
"""The house's clock begins at eight in the morning."""


class World:
    """What outlives a process: time, Novita and the disk."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self._provider = TimedProvider(clock=self.clock)
        self._disk = MemoryDisk()

    def life(self, **settings: str) -> AbstractAsyncContextManager[House]:
        store = MemoryStore(self._disk, clock=self.clock)
        kept = {"NOVITAI_SECRETS_KEY": SECRETS_KEY} | settings
        return running(clock=self.clock, store=store, provider=self._provider, **kept)  # type: ignore[arg-type]


async def budget(house: House, limit: float, **fields: Any) -> View:
    """A budget for a day, made by an admin."""
    usual: dict[str, Any] = {"name": "team", "limit": usd(limit), "period": Period.DAY, "hard_stop": True}
    made = house.program.operations.budgets.make
    return await made(BudgetRequest(**(usual | fields)), context(), lambda _: Answer(status=201, body=""))


async def change(house: House, budget_id: str, **fields: Any) -> View:
    amend = house.program.operations.budgets.amend
    return await amend(budget_id, fields, context(), lambda _: Answer(status=200, body=""))


async def told(house: House) -> list[tuple[str, int]]:
    """What was told of budgets, in order, with the threshold."""
    return [(str(event.type), event.data["threshold"]) for event in await budget_events(house)]


async def budget_events(house: House) -> list[Event]:
    return [event for event in await house.events() if str(event.type).startswith("budget.")]


async def decisions(house: House, instance_id: str) -> list[dict[str, Any]]:
    """What is written down of what the budget did to an instance."""
    page = await house.store.read_log(records.AUDIT, f"target:{instance_id}", limit=500)
    entries = [records.read_audit(entry.body) for entry in page.entries]
    return [entry.detail for entry in entries if entry.by == "budget"]


@asynccontextmanager
async def spending(
    limit: float, *, before_midnight: float = 16 * HOUR, **fields: Any
) -> AsyncIterator[tuple[House, str, View]]:
    """A ready machine and a budget with a hard stop."""
    async with running(clock=FakeClock(MIDNIGHT - before_midnight)) as house:
        made = await house.ready()
        yield house, made, await budget(house, limit, **fields)


async def test_each_threshold_is_told_once_and_then_everything_is_stopped():
    """At 50, 80 and 100 %, to the minute at which the rate reaches them."""
    async with spending(0.1) as (house, made, _):
        await house.until(made, State.STOPPED, within=HOUR)
        used_up = house.clock.now()
        await house.clock.advance(HOUR / 2)

        assert await told(house) == [("budget.threshold", 50), ("budget.threshold", 80), ("budget.exceeded", 100)]
        assert used_up - START == pytest.approx(0.1 / 0.35 * HOUR, abs=90.0)
        assert [event.at for event in await budget_events(house)] == pytest.approx(
            [START + part / 0.35 * HOUR for part in (0.05, 0.08, 0.1)], abs=40.0
        )


async def test_receivers_get_what_the_schema_says():
    """Of a budget that people made, and of an instance's own."""
    async with running(WEBHOOK_URL=HOOK) as house:
        made = await house.ready(budget=InstanceBudget(limit=usd(0.02)))
        await budget(house, 0.02, hard_stop=False)
        await house.clock.advance(HOUR / 4)
        bodies = [one.event for one in house.receivers.received if one.event["type"].startswith("budget.")]

        assert {one["data"]["instanceId"] for one in bodies} == {None, made}
        assert len(bodies) == 6
        for body in bodies:
            jsonschema_rs.validate(schemas_by_type()[body["type"]], body)
            assert set(body["data"]) == set(schemas_by_type()[body["type"]]["properties"]["data"]["properties"])


async def test_the_stop_is_the_policys_word_and_says_why():
    """In the desired state, in the audit log with its figures, and to receivers."""
    async with spending(0.1) as (house, made, view):
        stopped = await house.until(made, State.STOPPED, within=4 * HOUR)
        [entry] = await decisions(house, made)

        assert (stopped.desired.by, stopped.desired.state) == ("budget", DesiredState.STOPPED)
        assert "budget 'team' is used up: $0.10 of $0.10 are spent" in stopped.desired.reason
        assert entry["because"] == stopped.desired.reason
        assert entry["facts"] | {"resetsAt": None} == {
            "budgetId": view.budget.id,
            "budget": "team",
            "spentUsd": pytest.approx(0.1, abs=0.01),
            "forecastUsd": entry["facts"]["forecastUsd"],
            "limitUsd": 0.1,
            "resetsAt": None,
        }


async def test_while_it_holds_nobody_starts_or_creates_anything_it_covers():
    """409 with the budget's name, what is spent, and the limit."""
    async with spending(0.1) as (house, made, _):
        await house.until(made, State.STOPPED, within=4 * HOUR)
        for asking in (house.ask(made, Verb.START), house.ask(made, Verb.RESTART), house.create(name="b")):
            with pytest.raises(Refusal) as refused:
                await asking

            assert refused.value.code is Code.BUDGET_EXCEEDED
            assert refused.value.details["budget"] == "team"
            assert refused.value.details["limitUsd"] == 0.1


async def test_when_the_period_ends_nothing_comes_back_by_itself_and_everything_may_be_started():
    """Whoever pays decides: a machine that nobody waits for would spend the new period's money unseen. A start is not refused for what the
    day would come to: the hard stop is there for that.
    """
    async with spending(0.1, before_midnight=HOUR / 2) as (house, made, _):
        await house.until(made, State.STOPPED, within=HOUR / 2)
        await house.clock.run_until(MIDNIGHT + HOUR / 4)
        slept = house.state(made)
        await house.ask(made, Verb.START)

        assert slept is State.STOPPED
        assert (await house.until(made, State.READY)).desired.by == "user:key_1"


async def test_a_raised_limit_lets_go_and_a_lowered_one_holds_at_once():
    """Without waiting for the minute."""
    async with spending(20.0) as (house, made, view):
        await house.clock.advance(HOUR / 4)
        await change(house, view.budget.id, limit=usd(0.01))
        await house.clock.advance(1.0)
        held = await house.instance(made)
        await house.until(made, State.STOPPED)
        await change(house, view.budget.id, limit=usd(20))
        await house.ask(made, Verb.START)

        assert held.wants is DesiredState.STOPPED
        assert (await house.until(made, State.READY)).wants is DesiredState.RUNNING


async def test_a_schedule_starts_again_what_the_budget_stopped_once_that_lets_go():
    """Its word was given in advance; it waits below the budget's."""
    always = Schedule(start="0 * * * *", timezone="UTC", since=START - HOUR)
    async with running() as house:
        made = await house.ready(schedule=always)
        view = await budget(house, 0.1)
        await house.until(made, State.STOPPED, within=4 * HOUR)
        await house.clock.run_until(START + 1.1 * HOUR)
        held = house.state(made)
        await change(house, view.budget.id, limit=usd(20))
        await house.clock.advance(120.0)

        assert held is State.STOPPED
        assert (await house.instance(made)).desired.by == "schedule"


async def test_a_persons_stop_during_the_hold_is_what_stands_afterwards():
    """The schedule does not start it then."""
    always = Schedule(start="0 * * * *", timezone="UTC", since=START - HOUR)
    async with running() as house:
        made = await house.ready(schedule=always)
        view = await budget(house, 0.1)
        await house.until(made, State.STOPPED, within=4 * HOUR)
        await house.ask(made, Verb.STOP)
        await change(house, view.budget.id, limit=usd(20))
        await house.clock.run_until(START + 1.1 * HOUR)

        assert house.state(made) is State.STOPPED
        assert (await house.instance(made)).desired.by == "user:key_1"


async def test_what_is_started_outside_of_us_is_stopped_again_while_it_holds():
    """The budget's word is above an outside hand's."""
    async with spending(0.1) as (house, made, _):
        stopped = await house.until(made, State.STOPPED, within=4 * HOUR)
        assert stopped.machine is not None
        house.provider.becomes(stopped.machine.id, UP)
        await house.clock.run_until(lambda: house.state(made) is not State.STOPPED, within=120.0)
        await house.until(made, State.STOPPED, within=300.0)

        assert (await house.instance(made)).desired.by == "budget"


async def test_a_protected_machine_is_stopped_too():
    """`protect` keeps from deleting and moving, never from stopping."""
    async with running() as house:
        made = await house.ready(protect=True)
        await budget(house, 0.05)

        assert (await house.until(made, State.STOPPED, within=2 * HOUR)).desired.by == "budget"


async def test_a_budget_without_a_hard_stop_tells_and_stops_nothing():
    """But no more is bought on it."""
    async with spending(0.05, hard_stop=False) as (house, made, _):
        await house.clock.advance(HOUR / 2)

        assert (await told(house))[-1] == ("budget.exceeded", 100)
        assert house.state(made) is State.READY
        with pytest.raises(Refusal) as refused:
            await house.create(name="b")
        assert refused.value.code is Code.BUDGET_EXCEEDED


async def test_a_label_budget_stops_what_has_the_label_and_nothing_else():
    """Nor does it refuse others."""
    async with running() as house:
        mine = await house.ready(name="a", labels={"team": "a"})
        other = await house.ready(name="b", labels={"team": "b"})
        await budget(house, 0.05, scope=Scope(label=("team", "a")))
        await house.until(mine, State.STOPPED, within=2 * HOUR)

        assert house.state(other) is State.READY
        assert await house.ready(name="c", labels={"team": "b"})
        with pytest.raises(Refusal):
            await house.create(name="d", labels={"team": "a"})


async def test_a_key_budget_counts_what_the_key_made():
    """Another key goes on."""
    async with running() as house:
        mine, other = await house.ready(name="a"), await house.ready(name="b", owner="key_2")
        key = await house.program.operations.keys.make(
            context(), name="k", scope=context().actor.scope, expires_at=None, limits=context().actor.limits
        )
        theirs = await house.ready(name="c", owner=key.key.id)
        await budget(house, 0.05, scope=Scope(owner=key.key.id))
        await house.until(theirs, State.STOPPED, within=2 * HOUR)

        assert {house.state(mine), house.state(other)} == {State.READY}


async def test_an_instances_own_budget_ends_it_and_a_higher_one_lets_it_go_on():
    """Over its whole life, earlier runs included."""
    async with running() as house:
        made = await house.ready(budget=InstanceBudget(limit=usd(0.07), hard_stop=True))
        await house.until(made, State.STOPPED, within=HOUR)
        with pytest.raises(Refusal, match="budget 'of demo' is used up") as refused:
            await house.ask(made, Verb.START)
        operations = house.program.operations
        changes = Changes(ledger=operations.ledger, verbs=operations.verbs, creation=operations.creation)
        more = Amendment(budget=InstanceBudget(limit=usd(0.14), hard_stop=True))
        await changes.amend(made, more, context(), lambda _: Answer(status=200, body=""))
        await house.ask(made, Verb.START)
        await house.until(made, State.READY)
        again = house.clock.now()
        await house.until(made, State.STOPPED, within=HOUR)

        assert refused.value.code is Code.BUDGET_EXCEEDED
        assert house.clock.now() - again == pytest.approx(HOUR / 5, abs=90.0)


async def test_while_paused_nothing_is_stopped_and_afterwards_at_once():
    """What is told goes on, and so do refusals: a pause is no way around a budget."""
    async with spending(0.05) as (house, made, _):
        automation = house.program.operations.automation
        await automation.pause((Part.BUDGET,), "a bad night", context())
        await house.clock.advance(HOUR / 2)
        while_paused = house.state(made)
        with pytest.raises(Refusal):
            await house.create(name="b")
        await automation.resume((Part.BUDGET,), "", context())
        await house.clock.advance(1.0)

        assert while_paused is State.READY
        assert (await told(house))[-1] == ("budget.exceeded", 100)
        assert (await house.instance(made)).wants is DesiredState.STOPPED


async def test_who_only_observes_stops_nothing():
    """It tells, and says what it would do."""
    world = World()
    async with world.life() as house:
        made = await house.ready()
        await budget(house, 0.05)
    async with world.life(NOVITAI_MODE="observe") as observing:
        await observing.clock.advance(HOUR / 2)

        assert (await told(observing))[-1] == ("budget.exceeded", 100)
        assert observing.state(made) is State.READY


async def test_what_was_told_is_not_told_again_after_a_restart():
    """And what was not told while it was down is."""
    world = World()
    async with world.life() as house:
        made = await house.ready()
        await budget(house, 0.2, hard_stop=False)
        await house.clock.advance(0.32 * HOUR)
        before = await told(house)
    await world.clock.advance(0.2 * HOUR)
    async with world.life() as again:
        await again.clock.advance(60.0)

        assert before == [("budget.threshold", 50)]
        assert await told(again) == [("budget.threshold", 50), ("budget.threshold", 80)]
        assert again.state(made) is State.READY


async def test_a_hold_outlives_a_restart():
    """It follows from what is spent, so nothing can be forgotten."""
    world = World()
    async with world.life() as house:
        made = await house.ready()
        await budget(house, 0.05)
        await house.until(made, State.STOPPED, within=2 * HOUR)
    async with world.life() as again:
        with pytest.raises(Refusal) as refused:
            await again.ask(made, Verb.START)

        assert refused.value.code is Code.BUDGET_EXCEEDED


async def test_the_next_period_tells_anew():
    """Each day has its own alerts."""
    async with spending(0.05, hard_stop=False, before_midnight=HOUR / 4) as (house, _, _view):
        await house.clock.run_until(MIDNIGHT + HOUR / 4)

        once = [("budget.threshold", 50), ("budget.threshold", 80), ("budget.exceeded", 100)]
        assert await told(house) == [*once, *once]


async def test_creates_are_refused_when_the_forecast_exceeds():
    """Two of them at once do not both take what is left; a ttl makes room."""
    async with running() as house:
        await budget(house, 10.0, hard_stop=False)  # one machine until midnight is $5.60
        results = await asyncio.gather(*(house.create(name=name) for name in "ab"), return_exceptions=True)
        [refused] = [result for result in results if isinstance(result, Refusal)]
        brief = await house.create(name="c", ttl_seconds=HOUR)

        assert refused.code is Code.BUDGET_EXCEEDED
        assert refused.details["forecastUsd"] == pytest.approx(11.2, abs=0.1)
        assert brief


async def test_a_machine_on_its_way_is_stopped_when_the_money_is_gone():
    """Whatever it is doing: nothing is left running."""
    async with running() as house:
        first = await house.ready(name="a")
        view = await budget(house, 20.0)
        second = await house.create(name="b")
        await change(house, view.budget.id, limit=usd(0.01))
        await house.clock.advance(600.0)

        assert {house.state(first), house.state(second)} == {State.STOPPED}
        assert all(not machine.status.going for machine in house.provider.present())


async def test_wherever_the_process_ends_each_threshold_is_told_once_and_the_stop_is_made():
    """What is told and that it was told are one commit; what is held down follows from what is spent."""
    whole, _ = await ended_at(0)
    for at in range(1, len(whole) + 1, 9):
        names, seen = await ended_at(at)

        assert seen == [("budget.threshold", 50), ("budget.threshold", 80), ("budget.exceeded", 100)], names[-1]


async def ended_at(at: int) -> tuple[list[str], list[tuple[str, int]]]:
    """Spend a budget with the process ending at that point (0: never) and starting again: the points passed, and what was told."""
    world = await crashing.World.begin()
    async with world.house(Fuse()) as house:
        made = await house.ready()
        await budget(house, 0.02)
    seen: list[tuple[str, int]] = []

    async def live(fuse: Fuse) -> None:
        async with world.house(fuse) as house:
            await house.until(made, State.STOPPED, within=HOUR)
            seen[:] = await told(house)

    fuse = await crashing.drive(world, live, at=at)
    await world.close()
    return fuse.names, seen
