"""The process ends before or after each port call while an instance moves (promises M1, M2 and M7).

Afterwards, over the same store and the same Novita: it is ready, has one machine, and was moved once.
"""

import pytest

from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus, SpotStatus
from novitai.domain.migration import Migration, Strategy
from novitai.operations import records
from support.crashing import Fuse, World, create_once, drive
from support.timed_provider import DOWN

HOUR = 3600.0


async def taken_back(world: World, strategy: Strategy) -> str:
    """An instance that was ready when its process ended, and whose machine Novita takes back meanwhile; its id."""
    async with world.house(Fuse()) as house:
        instance_id = await create_once(house, migration=Migration(strategy=strategy))
        await house.until(instance_id, State.READY)
    (machine,) = world.provider.present()
    now = world.clock.now()
    if strategy is Strategy.REPLACE:
        path, seen = ((0.0, MachineStatus.RUNNING),), {"spot_status": SpotStatus.NOTIFIED, "reclaim_at": now + HOUR}
    else:
        path, seen = DOWN, {"spot_status": SpotStatus.TERMINATED, "reclaim_at": now}
    world.provider.becomes(machine.id, path, **seen)
    return instance_id


@pytest.mark.parametrize("strategy", [Strategy.REPLACE, Strategy.MIGRATE])
async def test_an_instance_moves_once_wherever_the_process_ends(strategy):
    """Nothing is bought twice, nothing is left behind, and it is told once that it has moved."""
    at, blown = 0, True
    while blown:
        at += 1
        world = await World.begin()
        instance_id = await taken_back(world, strategy)

        async def live(fuse: Fuse, world: World = world, instance_id: str = instance_id) -> None:
            async with world.house(fuse, store={"commit"}) as house:
                await house.clock.run_until(
                    lambda: bool((seen := house.program.operations.reads.get(instance_id)) and seen.instance.moves),
                    within=120.0,
                )
                await house.until(instance_id, State.READY, within=HOUR)
                await house.clock.run_until(lambda: len(world.provider.present()) == 1, within=300.0)
                await house.clock.advance(30.0)

        fuse = await drive(world, live, at=at)
        where, blown = f"ended {fuse.where} at point {at}", fuse.blown.is_set()
        page = await world.store.read_log(records.EVENTS, "type:instance.migrated", limit=10)
        record = await world.store.get(records.INSTANCE, instance_id)
        instance = records.read_instance(record)
        assert len(page.entries) == 1, where
        assert len(world.provider.made("create")) == (2 if strategy is Strategy.REPLACE else 1), where
        assert len(world.provider.made("migrate")) == (0 if strategy is Strategy.REPLACE else 1), where
        assert (instance.state, instance.former, instance.discarded, instance.strays) == (State.READY, None, (), ()), (
            where
        )
        assert [one.id for one in world.provider.present()] == [instance.machine.id], where
        await world.close()
    assert at > 8
