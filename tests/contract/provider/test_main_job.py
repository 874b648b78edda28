"""The main job goes well whichever way Novita answers what nobody knows for sure: create, ready, stop, start, delete; and what is lost is told.

The real program over the real client and the simulator's front door, in made-up time; judged by the simulator's machines and calls.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from novita_simulator.settings import Switches
from novitai.app.foundation import Replaced
from novitai.app.program import Program
from novitai.coordination.local import LocalCoordination
from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import Port
from novitai.operations.receipts import Answer
from novitai.operations.requests import CreateRequest, VerbRequest
from support.clock import FakeIds
from support.memory_store import MemoryDisk, MemoryStore
from support.receivers import Receivers
from support.running import context, settings
from support.simulation_loop import LoopClock, run_virtually
from support.virtual_novita import VirtualNovita

TURNED: dict[str, dict[str, Any]] = {
    "as it is taken to be": {},
    "not found is 404": {"not_found_status": 404},
    "not found is an empty record": {"not_found_status": 200},
    "a deleted machine is listed for ten minutes": {"removed_listed_seconds": 600.0},
    "page 0 is the first": {"page_base": "zero"},
    "page 0 is refused": {"page_base": "one"},
    "pages of ten, larger ones cut": {"max_page_size": 10},
    "pages of ten, larger ones refused": {"max_page_size": 10, "oversized_pages": "refused"},
    "every page is everything": {"paging": "everything"},
    "the name filter finds prefixes": {"name_filter": "prefix"},
    "the name filter finds whole names": {"name_filter": "exact"},
    "the name filter is ignored": {"name_filter": "ignored"},
    "the list lags for 55 s": {"list_lag_seconds": 55.0},
    "the list lags, and single reads too": {"list_lag_seconds": 20.0, "lag_hides_get": True},
    "actions answer an empty object": {"action_answers": "empty-object"},
    "actions answer an empty body": {"action_answers": "empty-body"},
    "actions answer 204": {"action_answers": "no-content"},
    "a delete answers an empty body": {"empty_body_on_delete": True},
    "repeated actions are accepted": {"repeated_actions": "accepted"},
    "a wrong state is REQUEST": {"state_change_reason": "REQUEST"},
    "a wrong state is OPERATION_LIMIT": {"state_change_reason": "OPERATION_LIMIT"},
    "a wrong state is DEPENDENT_RESOURCE_STATE": {"state_change_reason": "DEPENDENT_RESOURCE_STATE"},
    "long names are refused": {"longest_name": 64},
    "long names are cut": {"longest_name": 64, "long_names": "cut"},
    "prices are in another unit": {"price_units_per_usd": 50_000},
    "bills are late": {"bill_lag_seconds": 3600.0},
}
SEEN_BY_READING = {
    name: turned
    for name, turned in TURNED.items()
    if not {"action_answers", "empty_body_on_delete", "repeated_actions", "state_change_reason", "bill_lag_seconds"}
    & set(turned)
}
"""Those that change what lists and single reads show."""
OTHERS = 14
"""Machines of the account that are not ours: more than a small page."""


@dataclass
class House:
    """A program, and the Novita that it uses."""

    program: Program
    novita: VirtualNovita
    clock: LoopClock

    async def create(self) -> str:
        request = CreateRequest(
            name="a-name-that-is-as-long-as-people-like-to-make-them-so-that-60",
            product_name="RTX 4090",
            image_url="ubuntu:22.04",
            ports=(Port(8080, "http"),),
        )
        creation = self.program.operations.creation
        made = await creation.create(request, context(), lambda c: Answer(status=201, body=c.instance.id))
        return made.instance.id

    async def ask(self, instance_id: str, verb: Verb) -> None:
        verbs = self.program.operations.verbs
        await verbs.perform(instance_id, verb, VerbRequest(), context(), lambda _: Answer(status=202, body=""))

    def state(self, instance_id: str) -> State:
        snapshot = self.program.operations.reads.get(instance_id)
        return snapshot.instance.state if snapshot is not None else State.DELETED

    async def until(self, instance_id: str, state: State, *, within: float = 1800.0) -> None:
        end = self.clock.now() + within
        while self.state(instance_id) is not state:
            assert self.clock.now() < end, f"{self.state(instance_id)} instead of {state}"
            await self.clock.sleep(1.0)

    def ours(self) -> list[Any]:
        self.novita.stage.world.advance(self.clock.now())
        return [one for one in self.novita.stage.world.machines.values() if not one.name.startswith("other")]

    def creates(self) -> int:
        return sum(call.path.endswith("/create") and call.status == 200 for call in self.novita.calls)


@asynccontextmanager
async def house(switches: dict[str, Any]) -> AsyncIterator[House]:
    clock = LoopClock(asyncio.get_running_loop())
    novita = VirtualNovita(clock, switches=replace(Switches(apps=False), **switches))
    for number in range(OTHERS):
        novita.stage.perform(
            "machines", {"name": f"other-{number}", "productId": "26", "status": "exited"}, clock.now()
        )
    coordination = LocalCoordination(clock=clock, limits={"public": 100, "internal": 50})
    replaced = Replaced(
        clock=clock,
        ids=FakeIds(),
        store=MemoryStore(MemoryDisk(), clock=clock),
        provider=novita.client(coordination),
        egress=Receivers(clock),
    )
    program = await Program.open(settings({}), replaced)
    program.start()
    try:
        yield House(program, novita, clock)
    finally:
        await program.stop(grace=0.0)
        await novita.quiet()


def in_a_house(switches: dict[str, Any], story: Callable[[House], Awaitable[None]]) -> None:
    async def play() -> None:
        async with house(switches) as made:
            await story(made)

    run_virtually(play())


@pytest.mark.parametrize("turned", TURNED.values(), ids=TURNED.keys())
def test_an_instance_lives_and_leaves_nothing(turned: dict[str, Any]) -> None:
    """Create, ready, stop, start, delete: one machine, bought once, and none at the end."""

    async def story(house: House) -> None:
        instance_id = await house.create()
        await house.until(instance_id, State.READY)
        assert len(house.ours()) == 1
        await house.ask(instance_id, Verb.STOP)
        await house.until(instance_id, State.STOPPED)
        await house.ask(instance_id, Verb.START)
        await house.until(instance_id, State.READY)
        await house.ask(instance_id, Verb.DELETE)
        await house.until(instance_id, State.DELETED)
        await house.clock.sleep(60.0)
        assert [machine.status for machine in house.ours() if machine.status != "removed"] == []
        assert house.creates() == 1

    in_a_house(turned, story)


@pytest.mark.parametrize("turned", SEEN_BY_READING.values(), ids=SEEN_BY_READING.keys())
def test_a_machine_that_vanished_is_told_lost(turned: dict[str, Any]) -> None:
    """On two pieces of evidence apart in time, however "not found" is said and the list is cut."""

    async def story(house: House) -> None:
        instance_id = await house.create()
        await house.until(instance_id, State.READY)
        await house.clock.sleep(120.0)
        (machine,) = house.ours()
        vanish = {"instanceId": machine.id, "verb": "vanish"}
        house.novita.stage.perform("out-of-band", vanish, house.clock.now())
        await house.until(instance_id, State.LOST, within=300.0)

    in_a_house(turned, story)


@pytest.mark.parametrize("name", [name for name in SEEN_BY_READING if name != "long names are cut"])
def test_a_create_that_was_not_answered_buys_one_machine(name: str) -> None:
    """It is found by its marker, and nothing is sent again. Where long names are cut, only doctor can tell (name-length)."""

    async def story(house: House) -> None:
        house.novita.fault("POST .*instance/create", "reset", afterEffect=True)
        instance_id = await house.create()
        await house.until(instance_id, State.READY)
        assert len(house.ours()) == 1

    in_a_house(TURNED[name], story)
