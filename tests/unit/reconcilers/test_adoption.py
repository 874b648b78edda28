"""What Novita has and we have not: shown within a poll, ours taken back, the rest left alone (promise M5)."""

import pytest

from novitai.domain.automation import Part
from novitai.domain.errors import Refusal, TryLater
from novitai.domain.ids import InstanceId, MachineId, Marker, machine_name
from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.domain.orphan import Standing
from novitai.operations.sync import SyncOptions
from support import builders
from support.clock import FakeClock
from support.running import context, running
from support.timed_provider import TimedProvider

FOREIGN = MachineId("feedfacefeedface")
POLL = 30.0


def foreign(provider, *, machine_id=FOREIGN, name="somebody-elses", status=MachineStatus.RUNNING, **fields):
    """A machine that nobody of us made."""
    return provider.keep(
        builders.machine(id=machine_id, name=name, status=status, provider_status=str(status), **fields)
    )


def marked(instance_id, *, attempt=1, installation="test"):
    return machine_name("demo", Marker(installation=installation, instance_id=instance_id, attempt=attempt))


async def test_a_machine_that_nobody_knows_is_shown_and_told_within_one_poll_and_never_touched():
    """Age and price are known; and nothing is called but reads."""
    async with running() as house:
        await house.clock.advance(POLL)
        foreign(house.provider)
        await house.clock.advance(POLL + 1.0)

        [orphan] = house.program.operations.orphans.all()
        assert (orphan.id, orphan.ours, orphan.standing) == (FOREIGN, False, Standing.OPEN)
        assert orphan.price_per_hour is not None
        [told] = [event for event in await house.events() if event.type == "instance.orphan_found"]
        assert told.instance_id is None
        assert told.data["machineId"] == FOREIGN
        assert told.data["pricePerHour"] is not None

        await house.clock.advance(3600.0)
        assert house.provider.changes() == []
        assert (await house.told()).count("orphan_found") == 1


async def test_a_machine_that_is_gone_is_not_shown_any_more():
    """Two complete sweeps without it end its record; coming back is told again."""
    async with running() as house:
        foreign(house.provider)
        await house.clock.advance(POLL + 1.0)
        kept = house.provider.kept[FOREIGN]
        house.provider.vanish(FOREIGN)
        await house.clock.advance(3 * POLL)
        assert house.program.operations.orphans.all() == []

        house.provider.kept[FOREIGN] = kept
        await house.clock.advance(POLL + 1.0)
        assert (await house.told()).count("orphan_found") == 2


async def test_an_emptied_store_gets_its_instances_back_under_their_old_ids():
    """The marker in the name is all that is left; each comes back as it is, and nothing is bought, stopped or deleted."""
    clock = FakeClock()
    provider = TimedProvider(clock=clock)
    async with running(clock=clock, provider=provider) as house:
        up, down = await house.ready(name="up"), await house.ready(name="down")
        await house.ask(down, Verb.STOP)
        await house.until(down, State.STOPPED)
    before = len(provider.changes())

    async with running(clock=clock, provider=provider) as house:  # over a new, empty store
        await clock.run_until(lambda: house.state(up) is State.READY, within=4 * POLL)
        assert house.state(down) is State.STOPPED
        restored = await house.instance(up)
        assert restored.name == "up"
        assert restored.desired.by == "adoption"
        assert len(provider.changes()) == before
        assert house.program.operations.orphans.all() == []

        await house.ask(up, Verb.DELETE)
        await house.until(up, State.DELETED)
        assert [machine.name.startswith("down") for machine in provider.present()] == [True]


async def test_a_machine_that_comes_back_after_its_delete_is_shown_and_not_adopted():
    """Somebody wanted it gone: that its record was forgotten since does not make it wanted again."""
    async with running(SYNC_OBSOLETE_INSTANCE_RETENTION="5m") as house:
        made = await house.ready()
        name = (await house.instance(made)).machine.name
        await house.ask(made, Verb.DELETE)
        await house.until(made, State.DELETED)
        await house.clock.advance(1500.0)
        assert await house.program.operations.ledger.load(made) is None

        foreign(house.provider, name=name)
        await house.clock.advance(5 * POLL)
        assert [orphan.id for orphan in house.program.operations.orphans.all()] == [FOREIGN]
        assert not house.program.operations.reads.all()
        assert [call.method for call in house.provider.changes()] == ["create", "delete"]


async def test_an_adopted_machine_that_does_not_come_up_is_left_alone():
    """Only a create's own machine is deleted when it does not run in time."""
    async with running() as house:
        foreign(house.provider, status=MachineStatus.STARTING)
        await house.clock.advance(POLL + 1.0)
        taken = (await house.program.operations.orphans.adopt(FOREIGN, context())).instance

        await house.clock.advance(1200.0)
        assert house.state(taken.id) is State.FAILED
        assert house.provider.changes() == []


@pytest.mark.parametrize("installation", ["test", "othr"])
async def test_a_marker_of_another_installation_is_foreign(installation):
    """Two installations on one account leave each other's machines alone."""
    async with running() as house:
        foreign(house.provider, name=marked(InstanceId("inst_" + "1" * 26), installation=installation))
        await house.clock.advance(4 * POLL)

        taken = [snapshot.instance.machine.id for snapshot in house.program.operations.reads.all()]
        assert taken == ([FOREIGN] if installation == "test" else [])
        assert len(house.program.operations.orphans.all()) == (0 if installation == "test" else 1)
        assert house.provider.changes() == []


async def test_paused_adoption_shows_what_is_ours_and_takes_it_when_it_may():
    """The switch for a bad night holds for adoption, too."""
    async with running() as house:
        await house.program.operations.automation.pause([Part.ADOPTION], "looking into it", context())
        foreign(house.provider, name=marked(InstanceId("inst_" + "1" * 26)))
        await house.clock.advance(10 * POLL)
        assert [orphan.ours for orphan in house.program.operations.orphans.all()] == [True]
        assert not house.program.operations.reads.all()

        await house.program.operations.automation.resume([Part.ADOPTION], "", context())
        await house.clock.advance(3 * POLL)
        assert len(house.program.operations.reads.all()) == 1


async def test_a_person_adopts_and_then_stops_a_machine():
    """From then on it is an instance like any other."""
    async with running() as house:
        foreign(house.provider)
        await house.clock.advance(POLL + 1.0)
        taken = (await house.program.operations.orphans.adopt("somebody-elses", context())).instance
        await house.until(taken.id, State.READY)
        await house.ask(taken.id, Verb.STOP)
        await house.until(taken.id, State.STOPPED)

        assert [call.argument for call in house.provider.changes()] == [FOREIGN]
        with pytest.raises(Refusal, match="managed already"):
            await house.program.operations.orphans.adopt(FOREIGN, context())


async def test_a_person_deletes_an_orphan():
    """It goes the way of every delete, and is told of at its end."""
    async with running() as house:
        foreign(house.provider)
        await house.clock.advance(POLL + 1.0)
        taken = (await house.program.operations.orphans.delete(FOREIGN, context())).instance
        await house.until(taken.id, State.DELETED)

        assert house.provider.present() == []
        assert [call.method for call in house.provider.changes()] == ["delete"]
        assert "deleted" in await house.told(taken.id)


async def test_an_ignored_orphan_stays_ignored():
    """Also when it is seen again and again."""
    async with running() as house:
        foreign(house.provider)
        await house.clock.advance(POLL + 1.0)
        await house.program.operations.orphans.ignore(FOREIGN, context())
        await house.clock.advance(10 * POLL)

        assert [orphan.standing for orphan in house.program.operations.orphans.all()] == [Standing.IGNORED]
        assert (await house.told()).count("orphan_found") == 1


async def test_a_machine_that_is_just_being_bought_is_no_orphan():
    """Between Novita's list and our commit of its answer a machine of ours may show: it is never told as unknown."""
    async with running() as house:
        house.provider.seconds["create"] = 45.0
        made = await house.create()
        await house.until(made, State.READY)
        await house.clock.advance(4 * POLL)

        assert "orphan_found" not in await house.told()


async def test_a_lost_instance_is_forgotten_after_its_retention():
    """By the operation that people use, in the name of the policy."""
    async with running(SYNC_OBSOLETE_INSTANCE_RETENTION="20m", SYNC_INTERVAL="5m") as house:
        made = await house.ready()
        house.provider.vanish((await house.instance(made)).machine.id)
        await house.until(made, State.LOST)
        await house.clock.advance(900.0)
        assert house.state(made) is State.LOST

        await house.clock.advance(900.0)
        assert house.state(made) is State.DELETED
        assert (await house.instance(made)).desired.by == "retention"


async def test_the_first_sync_is_made_at_the_start_and_then_at_its_interval():
    """What it found is kept for /health."""
    async with running(SYNC_INTERVAL="10m") as house:
        foreign(house.provider)
        await house.clock.advance(5.0)
        first = house.program.operations.sync.last
        assert first is not None
        await house.clock.advance(600.0)
        second = house.program.operations.sync.last
        assert second is not None
        assert second.at > first.at
        assert second.orphans == (FOREIGN,)


async def test_a_sync_that_cannot_read_the_list_says_why_and_is_tried_again_soon():
    """An outage at the start does not put the first sync off by half an hour."""
    clock = FakeClock()
    provider = TimedProvider(clock=clock)
    provider.trouble = lambda method: TryLater("busy") if method == "machines" else None
    async with running(clock=clock, provider=provider) as house:
        await clock.advance(60.0)
        assert house.program.operations.sync.last is None
        assert house.program.operations.sync.error

        provider.trouble = lambda _: None
        await clock.advance(180.0)
        assert house.program.operations.sync.last is not None
        assert house.program.operations.sync.error is None


async def test_a_rehearsed_sync_writes_nothing():
    """The store's revision does not move, and the answer says what a sync would do."""
    async with running() as house:
        made = await house.ready()
        await house.clock.advance(2 * POLL)
        foreign(house.provider)
        before = await house.store.revision()
        report = await house.program.operations.sync.rehearse(SyncOptions(force=True), context())

        assert await house.store.revision() == before
        assert report.dry_run
        assert report.orphans == (FOREIGN,)
        assert (report.missing, report.matched) == ((), 1)
        assert house.state(made) is State.READY


async def test_a_sync_on_request_leaves_its_report_under_its_job():
    """It reads the list anew, and says what it took back."""
    async with running() as house:
        await house.clock.advance(2 * POLL + 5.0)
        foreign(house.provider, name=marked(InstanceId("inst_" + "1" * 26)))
        asked_at = house.clock.now()
        job = await house.program.operations.sync.request(SyncOptions(force=True), context())
        await house.clock.advance(10.0)
        report = await house.program.operations.sync.outcome(job, asked_at=asked_at)

        assert report is not None
        assert report.adopted == (FOREIGN,)
        assert report.managed_after == report.managed_before + 1
