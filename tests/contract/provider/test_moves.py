"""A machine moves to another node: what is asked, how Novita tells of it, and how it ends."""

import msgspec
import pytest

from contract.provider.harness import ACT, BULK, SimulatorHarness, order_for
from novita_simulator import actions
from novita_simulator.settings import Switches
from novitai.domain.errors import InvalidState, NoBalance, NoCapacity
from novitai.domain.machine import BillingMode, MachineStatus, SpotStatus
from novitai.ports.provider import ProviderJob, ProviderJobQuery


def world_with(**switches) -> SimulatorHarness:
    return SimulatorHarness(switches=Switches(apps=False, **switches))


async def jobs_of(world: SimulatorHarness, **query) -> list[ProviderJob]:
    return list((await world.provider.jobs(ProviderJobQuery(**query), BULK)).jobs)


async def reclaimed(world: SimulatorHarness) -> str:
    machine_id = await world.running()
    world.act("reclaim", instanceId=machine_id, noticeSeconds=60)
    await world.pass_time(120)
    return machine_id


@pytest.mark.parametrize("answers", ["documented", "empty-object", "empty-body", "no-content"])
async def test_a_reclaimed_machine_moves_and_comes_up_by_itself(answers):
    """Whatever Novita says to it, under the same id, and not taken back any more."""
    async with world_with(action_answers=answers) as world:
        machine_id = await reclaimed(world)

        await world.provider.migrate(machine_id, ACT)
        under_way = await world.provider.machine(machine_id, ACT)
        await world.pass_time(600)
        moved = await world.provider.machine(machine_id, ACT)

    assert under_way.status is MachineStatus.MIGRATING
    assert (moved.status, moved.spot_status, moved.reclaim_at) == (MachineStatus.RUNNING, SpotStatus.RUNNING, 0.0)


async def test_a_move_is_told_by_a_job_of_its_machine():
    """It began when it was asked, runs, and ends."""
    async with world_with() as world:
        machine_id = await reclaimed(world)

        await world.provider.migrate(machine_id, ACT)
        (begun,) = await jobs_of(world, type="instanceMigrate")
        await world.pass_time(600)
        (ended,) = await jobs_of(world, type="instanceMigrate", state="success")

    assert (begun.instance_id, begun.state, begun.error) == (machine_id, "pulling", "")
    assert abs(begun.created_at - (world.world_time - 600)) < 2
    assert ended.id == begun.id


async def test_a_move_of_novitas_own_is_a_job_of_another_type():
    """autoInstanceMigrate; nobody asked for it."""
    async with world_with() as world:
        machine_id = await world.running()

        world.act("out-of-band", instanceId=machine_id, verb="migrate")
        found = await jobs_of(world, type="autoInstanceMigrate")
        asked_for = await jobs_of(world, type="instanceMigrate")

    assert ([job.instance_id for job in found], asked_for) == ([machine_id], [])


async def test_a_failed_move_leaves_its_machine_migrating_for_ever():
    """The job tells it and why; nothing else does (novita-wire.md 7.3)."""
    async with world_with(migration_outcome="fail") as world:
        machine_id = await reclaimed(world)

        await world.provider.migrate(machine_id, ACT)
        await world.pass_time(86_400)
        (job,) = await jobs_of(world, state="fail")
        machine = await world.provider.machine(machine_id, ACT)

    assert (job.instance_id, job.type) == (machine_id, "instanceMigrate")
    assert "target node" in job.error
    assert machine.status is MachineStatus.MIGRATING


async def test_a_move_to_nowhere_is_refused_and_the_machine_stays():
    """No capacity is a clear answer."""
    async with world_with() as world:
        machine_id = await reclaimed(world)
        world.sell_out()

        with pytest.raises(NoCapacity) as refusal:
            await world.provider.migrate(machine_id, ACT)
        machine = await world.provider.machine(machine_id, ACT)

    assert refusal.value.clear
    assert machine.status is MachineStatus.STOPPED


async def test_a_noticed_machine_cannot_be_moved_before_it_stops():
    """While `notified` Novita refuses (novita-wire.md 7.1)."""
    async with world_with() as world:
        machine_id = await world.running()
        world.act("reclaim", instanceId=machine_id, noticeSeconds=600)

        with pytest.raises(InvalidState):
            await world.provider.migrate(machine_id, ACT)

        assert await jobs_of(world) == []


async def test_two_moves_of_one_machine_are_one_too_many():
    """The second is refused while the first is under way."""
    async with world_with() as world:
        machine_id = await reclaimed(world)
        await world.provider.migrate(machine_id, ACT)

        with pytest.raises(InvalidState):
            await world.provider.migrate(machine_id, ACT)

        assert len(await jobs_of(world)) == 1


async def test_a_move_needs_money():
    """An empty account is told apart from an empty cluster."""
    async with world_with() as world:
        machine_id = await reclaimed(world)
        world.act("balance", usd=-1)

        with pytest.raises(NoBalance):
            await world.provider.migrate(machine_id, ACT)


async def test_whether_novita_moves_a_machine_by_itself_is_read():
    """Read where the record tells of it, and unknown where it does not."""
    async with world_with() as world:
        offer = await world.offer(BillingMode.ON_DEMAND)
        machine_id = await world.provider.create(order_for(offer), ACT)
        silent = await world.provider.machine(machine_id, ACT)

        world.act("config", switches={"autoMigrateShown": True})
        before = await world.provider.machine(machine_id, ACT)
        actions.set_auto_migrate(world.simulator.world, machine_id, enabled=True, system_disk=True)
        after = await world.provider.machine(machine_id, ACT)
        (listed,) = (await world.provider.machines(1, 10, ACT)).machines

    assert (silent.auto_migrate, before.auto_migrate, after.auto_migrate) == (None, False, True)
    assert listed.auto_migrate is True


async def test_an_objection_at_the_last_moment_moves_nothing():
    """`before_send` has the last word here, too."""

    async def object_() -> None:
        raise LookupError("the lease is lost")

    async with world_with() as world:
        machine_id = await reclaimed(world)
        with pytest.raises(LookupError):
            await world.provider.migrate(machine_id, msgspec.structs.replace(ACT, before_send=object_))

        assert await jobs_of(world) == []
