"""Moments in which a machine could be bought twice, destroyed on a doubt, or left to bill: outages, lists that lag, calls that never succeed."""

from novitai.domain.errors import Gone, InvalidState, NoCapacity, TryLater, Unclear
from novitai.domain.ids import MachineId
from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from support.running import House, running
from support.timed_provider import DOWN, machine_of

MINUTE = 60.0


async def several(house: House, count: int) -> list[str]:
    """That many instances, all ready."""
    return [await house.ready(name=f"m{number}") for number in range(count)]


def refuse_deletes_of(house: House, *machine_ids: MachineId) -> None:
    """Novita does not delete these machines, whatever is asked."""
    plain = house.provider.delete

    async def delete(machine_id: MachineId, call: object) -> None:
        if machine_id in machine_ids:
            raise InvalidState("invalid state change", status=400)
        await plain(machine_id, call)

    house.provider.delete = delete


async def test_an_outage_during_a_boot_does_not_cost_the_machine_that_came_up_meanwhile():
    """Nothing is destroyed on doubt: when the time for a start is over, the machine is read before it counts as never up."""
    async with running() as house:
        made = await house.create()
        await house.clock.advance(1.0)
        house.provider.trouble = lambda _: TryLater("bad gateway", status=502)
        await house.clock.advance(11 * MINUTE)
        house.provider.trouble = lambda _: None
        await house.until(made, State.READY)

        assert [one.method for one in house.provider.changes()] == ["create"]


async def test_an_outage_during_a_start_is_not_told_as_a_failed_start():
    """The same for a machine that was started: what was not read is not known to have failed."""
    async with running() as house:
        made = await house.ready()
        await house.ask(made, Verb.STOP)
        await house.until(made, State.STOPPED)
        await house.ask(made, Verb.START)
        await house.clock.advance(1.0)
        house.provider.trouble = lambda _: TryLater("bad gateway", status=502)
        await house.clock.advance(11 * MINUTE)
        house.provider.trouble = lambda _: None
        await house.until(made, State.READY)

        assert "startup_failed" not in await house.told(made)


async def test_what_was_asked_before_a_time_in_observe_mode_is_done_after_it():
    """Watching only is not forgetting: a stop that waits is sent when changes are allowed again."""
    async with running() as house:
        made = await house.ready()
        house.provider.fail("stop", *[TryLater("breaker open", retry_after=5.0)] * 2, sent=False)
        await house.ask(made, Verb.STOP)
        await house.clock.advance(1.0)
        store, provider, clock = house.store, house.provider, house.clock
        keep_open(store)
    async with running(store=store, provider=provider, clock=clock, NOVITAI_MODE="observe") as house:
        await clock.advance(MINUTE)
        assert not provider.made("stop")
    async with running(store=store, provider=provider, clock=clock) as house:
        await house.until(made, State.STOPPED)


def keep_open(store: object) -> None:
    """The store outlives the program that used it."""

    async def close() -> None:
        return

    store.close = close


async def test_a_machine_that_cannot_be_deleted_keeps_no_other_from_being_deleted():
    """Each machine of a deleted instance bills for itself."""
    async with running(INSTANCE_STARTUP_TIMEOUT="60s") as house:
        made, stuck = await with_discarded(house)
        present = machine_of(await house.instance(made))
        refuse_deletes_of(house, present)
        await house.ask(made, Verb.DELETE)
        await house.clock.advance(5 * MINUTE)

        assert {one.id for one in house.provider.present()} == {present}
        assert stuck != present


async def with_discarded(house: House) -> tuple[str, MachineId]:
    """An instance that is ready with its second machine, and its first one, which did not go when it was deleted."""
    up, gone = house.provider.up, house.provider.gone
    house.provider.up = ((0.0, MachineStatus.PENDING),)
    house.provider.gone = ((0.0, MachineStatus.PENDING),)
    made = await house.create()
    await house.clock.run_until(lambda: len(house.provider.made("create")) == 1)
    first = house.provider.present()[0].id
    house.provider.up = up
    await house.until(made, State.READY)
    house.provider.gone = gone
    return made, first


async def test_a_discarded_machine_that_cannot_be_deleted_does_not_hold_up_a_stop():
    """A person's stop is done at once, whatever else is still in the way."""
    async with running(INSTANCE_STARTUP_TIMEOUT="60s") as house:
        made, stuck = await with_discarded(house)
        refuse_deletes_of(house, stuck)
        await house.clock.advance(10 * MINUTE)
        await house.ask(made, Verb.STOP)
        await house.clock.advance(15.0)

        assert house.state(made) is State.STOPPED


async def test_a_discarded_machine_that_novita_denies_once_is_not_forgotten():
    """One "not found" is no proof: it is read again before it counts as gone."""
    async with running(INSTANCE_STARTUP_TIMEOUT="60s") as house:
        up = house.provider.up
        house.provider.up = ((0.0, MachineStatus.PENDING),)
        made = await house.create()
        await house.clock.run_until(lambda: len(house.provider.made("create")) == 1)
        first = house.provider.present()[0].id
        house.provider.up = up
        house.provider.fail("delete", Gone("not found", status=404))
        await house.until(made, State.READY)
        await house.clock.advance(10 * MINUTE)

        assert first not in {one.id for one in house.provider.present()}


async def test_a_machine_that_outlives_its_deleted_instance_is_told_and_deleted():
    """A confirmation that was wrong must not leave a machine to bill for ever."""
    async with running() as house:
        made = await house.ready()
        machine_id = machine_of(await house.instance(made))
        kept = house.provider.kept[machine_id]
        await house.ask(made, Verb.DELETE)
        await house.until(made, State.DELETED)
        kept.coming, kept.was = [], []
        house.provider.becomes(machine_id, ((0.0, MachineStatus.RUNNING),))
        await house.clock.advance(5 * MINUTE)

        assert not house.provider.present()
        assert (await house.told(made)).count("orphan_found") == 1


async def test_a_machine_said_to_be_deleted_outside_that_is_there_after_all_is_left_alone():
    """Nobody asked us to delete it."""
    async with running() as house:
        made = await house.ready()
        machine_id = machine_of(await house.instance(made))
        house.provider.becomes(machine_id, ((0.0, MachineStatus.REMOVING), (100.0, MachineStatus.REMOVED)))
        await house.until(made, State.DELETED)
        house.provider.becomes(machine_id, ((0.0, MachineStatus.RUNNING),))
        await house.clock.advance(10 * MINUTE)

        assert not house.provider.made("delete")


async def test_a_list_whose_gaps_were_not_all_looked_into_proves_nothing():
    """More doubts than a sweep settles: an unclear create is not sent again on the strength of such a list."""
    async with running() as house:
        ids = await several(house, 30)
        house.provider.fail("create", Unclear("timeout"), effect=True)
        house.provider.list_lag = 1e9
        made = await house.create()
        house.provider.list_lag = 0.0
        house.provider.lie = lambda: "blank"
        await house.clock.advance(59.0)
        house.provider.lie = lambda: "short"
        for one in ids[:15]:
            house.provider.becomes(machine_of(await house.instance(one)), DOWN)
        await house.clock.advance(5.0)
        house.provider.lie = lambda: ""
        await house.until(made, State.READY)

        assert len(house.provider.made("create")) == 31


async def test_a_machine_whose_create_another_process_just_made_is_no_stray():
    """The observer's view may lag behind another replica's commit; what is stored decides."""
    async with running() as house:
        reads = house.program.operations.reads
        before = reads.get
        house.provider.fail("create", Unclear("timeout"), effect=True)
        made = await house.create()
        blind = reads.get(made)
        reads.get = lambda instance_id: blind if instance_id == made else before(instance_id)
        await house.clock.advance(20.0)
        reads.get = before
        await house.until(made, State.READY)

        assert len(house.provider.made("create")) == len(house.provider.present()) == 1


def no_capacity_for(house: House, name: str) -> None:
    """Novita has nothing free for instances of this name."""
    plain = house.provider.create

    async def create(order: object, call: object) -> object:
        if order.machine_name.startswith(name):
            raise NoCapacity("nothing free", status=400)
        return await plain(order, call)

    house.provider.create = create


async def test_a_create_that_waits_for_capacity_keeps_nobody_from_ssh_details():
    """It may wait for hours, and takes no room in the limiter meanwhile."""
    async with running() as house:
        no_capacity_for(house, "waits")
        made = await house.create()
        await house.create(name="waits", wait_for_capacity_seconds=7200.0)
        await house.until(made, State.READY)
        await house.clock.advance(2 * MINUTE)

        assert (await house.instance(made)).machine.connection is not None


async def test_a_create_that_waits_for_capacity_tells_nothing_once_it_is_to_be_deleted():
    """Asked meanwhile: `creating` after the delete would be a lie."""
    async with running() as house:
        no_capacity_for(house, "waits")
        made = await house.create(name="waits", wait_for_capacity_seconds=7200.0)
        await house.clock.advance(1.0)
        buying = house.program.keepers.lanes[0]._handler.__self__._buying
        before = await house.instance(made)
        await house.ask(made, Verb.DELETE)
        told = await house.told(made)
        await buying._another_round(before)

        assert (await house.told(made)).count("creating") == told.count("creating")
