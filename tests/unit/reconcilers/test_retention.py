"""What may be forgotten is forgotten, in small pieces, and nothing else."""

from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.operations import records
from support.running import HOOK, running

DAY = 86_400.0


async def test_a_deleted_instance_can_be_read_for_its_time_and_is_then_forgotten():
    """Seven days, or as set; live ones stay for ever."""
    async with running(SYNC_OBSOLETE_INSTANCE_RETENTION="1h", INSTANCE_POLL_INTERVAL="5m") as house:
        stays, goes = await house.ready(name="stays"), await house.ready(name="goes")
        await house.ask(goes, Verb.DELETE)
        await house.until(goes, State.DELETED)
        await house.clock.advance(3000.0)
        assert await house.store.get(records.INSTANCE, goes) is not None

        await house.clock.advance(1500.0)
        assert await house.store.get(records.INSTANCE, goes) is None
        assert await house.store.get(records.INSTANCE, stays) is not None


async def test_logs_are_trimmed_by_their_age():
    """Finished jobs after a week, events after three months."""
    async with running(start=False, WEBHOOK_URL=HOOK) as house:
        house.program.start()
        await house.ready()
        await house.clock.advance(1.0)
        for loop in house.program.keepers.loops:
            await loop.stop()
        jobs = await house.store.count_log(records.JOBS, "all")
        retention = house.program.keepers.loops[-1]._work
        house.clock._now += 8 * DAY
        await retention(None)
        assert jobs > 0
        assert await house.store.count_log(records.JOBS, "all") == 0
        assert await house.store.count_log(records.EVENTS, "all") > 0

        house.clock._now += 90 * DAY
        await retention(None)
        assert await house.store.count_log(records.EVENTS, "all") == 0
