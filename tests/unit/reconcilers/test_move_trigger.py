"""Moves are looked after at once when somebody asks: a job that does what the loop would have done."""

import pytest

from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus, SpotStatus
from novitai.operations.move_trigger import MoveLook
from support.running import House, context, running
from support.timed_provider import machine_of


async def triggered(house: House) -> MoveLook:
    trigger, asked_at = house.program.operations.move_trigger, house.clock.now()
    job_id = await trigger.request(context())
    for _ in range(30):
        report = await trigger.outcome(job_id, asked_at=asked_at)
        if report is not None:
            return report
        await house.clock.advance(1.0)
    raise AssertionError("nobody looked")


async def reclaimed(house: House) -> str:
    """An instance whose machine Novita took back, with nobody who looks after it by himself."""
    instance_id = await house.ready()
    await house.program.keepers.migration.stop()
    house.provider.becomes(
        machine_of(await house.instance(instance_id)),
        ((0.0, MachineStatus.STOPPED),),
        spot_status=SpotStatus.TERMINATED,
        reclaim_at=house.clock.now(),
    )
    await house.until(instance_id, State.STOPPED)
    return instance_id


async def test_what_is_due_is_begun_without_waiting_for_the_loop():
    """And its report says how many were looked at, and how many began to move."""
    async with running() as house:
        instance_id = await reclaimed(house)

        report = await triggered(house)
        await house.until(instance_id, State.READY)

        assert (report.checked, report.begun) == (1, 1)
        assert len(house.provider.made("migrate")) == 1


@pytest.mark.parametrize("environment", [{"MIGRATION_DRY_RUN": "true"}, {"MIGRATION_ENABLED": "false"}])
async def test_a_trigger_does_no_more_than_the_loop_may(environment):
    """A dry run stays one, and what is off stays off."""
    async with running(**environment) as house:
        await reclaimed(house)

        report = await triggered(house)
        await house.clock.advance(60.0)

        assert report.begun == 0
        assert house.provider.made("migrate") == []


async def test_the_loop_and_a_trigger_at_once_move_once():
    """Each decision is guarded by what it was made on."""
    async with running() as house:
        instance_id = await reclaimed(house)
        house.program.keepers.migration.start()

        house.program.keepers.migration.nudge()
        await triggered(house)
        await house.until(instance_id, State.READY)

        assert len(house.provider.made("migrate", "create")) == 2
