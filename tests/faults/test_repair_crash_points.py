"""The process ends before and after every port call of the repair of a failed migration (promises M1, S1).

Judged from outside: Novita has one machine at the end, and it runs; one create was made for the repair, whatever was asked again; the dead
machine was deleted after that; the move is told once, and everything in order.
"""

import pytest

from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.operations import records
from support.clock import FakeClock
from support.crashing import Fuse, World, drive
from support.running import House, context
from support.timed_provider import TimedProvider, machine_of

QUICK = {"INSTANCE_FAST_POLL_INTERVAL": "5s", "SYNC_INTERVAL": "4h"}


def novita(*, clock: FakeClock) -> TimedProvider:
    """One whose machines are quick, so that a run has few polls."""
    provider = TimedProvider(clock=clock)
    provider.up = ((0.0, MachineStatus.PENDING), (2.0, MachineStatus.RUNNING))
    provider.gone = ((0.0, MachineStatus.REMOVING), (2.0, MachineStatus.REMOVED))
    return provider


async def _stuck() -> tuple[World, str]:
    """A world in which a migration has failed, and no process runs; the id of the instance."""
    world = await World.begin(novita)
    async with world.house(Fuse(), INSTANCE_FAST_POLL_INTERVAL="30s") as house:
        made = await house.ready()
        world.provider.move_fails_after = 20.0
        world.provider.moves_by_itself(machine_of(await house.instance(made)))
        await house.until(made, State.MIGRATING, within=60.0)
        await world.clock.advance(640.0)
    await world.ended()
    return world, made


async def _live(world: World, made: str, fuse: Fuse) -> None:
    """One process: somebody asks for a check (again), and everything goes on to the end."""
    async with world.house(fuse, **QUICK) as house:
        await house.program.operations.failed_migrations.trigger.request(context())
        for _ in range(200):
            if await _over(house, made):
                return
            await world.clock.advance(1.0)
        raise AssertionError(f"the repair did not end: {house.state(made)} {await house.live_jobs()}")


async def _over(house: House, made: str) -> bool:
    if house.state(made) is not State.READY or len(house.provider.present()) != 1:
        return False
    return not (await house.instance(made)).discarded and not await house.live_jobs()


async def _judge(world: World, made: str, where: str) -> None:
    (machine,) = world.provider.present()
    assert machine.status is MachineStatus.RUNNING, where
    creates, deletes = world.provider.made("create"), world.provider.made("delete")
    assert len(creates) == 2, (where, creates)
    assert all(one.at > creates[1].at and one.argument != machine.id for one in deletes), (where, deletes)
    assert deletes, where
    page = await world.store.read_log(records.EVENTS, f"instance:{made}", limit=1000)
    events = [records.read_event(entry.body) for entry in page.entries]
    told = [str(event.type).removeprefix("instance.") for event in events]
    assert (told.count("migrated"), told.count("migrating")) == (1, 2), (where, told)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1)), where


async def _one_run(*, at: int) -> int:
    world, made = await _stuck()
    fuse = await drive(world, lambda fuse: _live(world, made, fuse), at=at)
    await _judge(world, made, f"point {at}: {fuse.where}")
    await world.close()
    return fuse.points


@pytest.mark.timeout(120)
async def test_a_process_that_ends_anywhere_in_a_repair_leaves_one_machine_that_runs():
    """Every point, one run each."""
    points = await _one_run(at=0)
    assert points > 20

    for point in range(1, points + 1):
        await _one_run(at=point)
