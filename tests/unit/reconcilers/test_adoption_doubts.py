"""Where the list alone would mislead the adoption: what it claims of machines that went, came, or are there twice (promise M5)."""

import pytest

from novitai.domain.automation import Part
from novitai.domain.errors import Broken, Refusal, TryLater
from novitai.domain.ids import InstanceId, MachineId, Marker, machine_name
from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.domain.orphan import Standing
from novitai.operations.sync import SyncOptions
from novitai.stores.sqlite import open_sqlite
from support import builders
from support.clock import FakeClock
from support.running import HOOK, context, running
from support.timed_provider import TimedProvider

FOREIGN = MachineId("feedfacefeedface")
SECOND = MachineId("feedfacefeedfac2")
ONE = InstanceId("inst_" + "1" * 26)
POLL = 30.0


def arrives(provider, *, machine_id=FOREIGN, name="somebody-elses", status=MachineStatus.RUNNING, **fields):
    """A machine that is on the account, and in no record of ours."""
    return provider.keep(
        builders.machine(id=machine_id, name=name, status=status, provider_status=str(status), **fields)
    )


def marked(instance_id=ONE, *, attempt=1, installation="test"):
    return machine_name("demo", Marker(installation=installation, instance_id=instance_id, attempt=attempt))


@pytest.mark.parametrize("status", [status for status in MachineStatus if not status.going_down])
async def test_taking_a_machine_back_changes_nothing_on_novita_whatever_it_is_doing(status):
    """Nor does it later, when the machine never comes up."""
    async with running(EXTRA_MACHINES="delete") as house:
        arrives(house.provider, name=marked(), status=status)
        await house.clock.advance(3 * POLL)
        assert house.program.operations.reads.get(ONE) is not None

        await house.clock.advance(1200.0)
        assert house.provider.changes() == []


async def test_a_machine_taken_while_somebody_stops_it_is_not_stopped_by_us():
    """The stop is somebody else's: when the machine runs again, that holds."""
    async with running() as house:
        arrives(house.provider, name=marked(), status=MachineStatus.STOPPING)
        await house.clock.advance(3 * POLL)
        assert house.state(ONE) is State.STOPPING

        house.provider.becomes(FOREIGN, ((0.0, MachineStatus.RUNNING),))
        await house.clock.advance(600.0)
        assert house.state(ONE) is State.READY
        assert house.provider.changes() == []


async def test_a_machine_taken_while_it_stops_is_stopped_and_can_be_started():
    """As any other."""
    async with running() as house:
        arrives(house.provider, name=marked(), status=MachineStatus.STOPPING)
        await house.clock.advance(3 * POLL)
        house.provider.becomes(FOREIGN, ((0.0, MachineStatus.STOPPED),))
        await house.until(ONE, State.STOPPED)
        await house.ask(ONE, Verb.START)
        await house.until(ONE, State.READY)

        assert [call.method for call in house.provider.changes()] == ["start"]


async def test_of_two_machines_with_one_instance_s_marker_the_latest_attempt_is_taken_back():
    """The other is the extra one, which `EXTRA_MACHINES=delete` removes: never the one that the lost record held."""
    async with running(EXTRA_MACHINES="delete") as house:
        arrives(house.provider, name=marked(attempt=1), status=MachineStatus.STOPPED)
        arrives(house.provider, machine_id=SECOND, name=marked(attempt=2))
        await house.clock.advance(600.0)

        assert (await house.instance(ONE)).machine.id == SECOND
        assert [(call.method, call.argument) for call in house.provider.changes()] == [("delete", FOREIGN)]


@pytest.mark.parametrize("adopted", [False, True])
async def test_a_list_that_lags_behind_a_delete_is_no_unknown_machine(adopted):
    """A single read says that it is gone, so nobody is told of it; also without our marker in its name."""
    async with running() as house:
        if adopted:
            arrives(house.provider)
            await house.clock.advance(POLL + 1.0)
            made = (await house.program.operations.orphans.adopt(FOREIGN, context())).instance.id
            await house.until(made, State.READY)
        else:
            made = await house.ready()
        await house.clock.advance(200.0)
        told = len([event for event in await house.events() if event.type == "instance.orphan_found"])

        house.provider.lie = lambda: "stale"
        await house.ask(made, Verb.DELETE)
        await house.clock.advance(400.0)
        assert house.state(made) is State.DELETED
        assert (await house.told()).count("orphan_found") == told
        assert house.program.operations.orphans.all() == []


async def test_an_empty_list_forgets_neither_an_unknown_machine_nor_what_was_said_of_it():
    """What is gone is gone when a single read agrees; until then it stays ignored, and is not told of again."""
    async with running() as house:
        arrives(house.provider)
        await house.clock.advance(POLL + 1.0)
        await house.program.operations.orphans.ignore(FOREIGN, context())
        house.provider.lie = lambda: "empty"
        await house.clock.advance(10 * POLL)
        house.provider.lie = lambda: ""
        await house.clock.advance(3 * POLL)

        assert [orphan.standing for orphan in house.program.operations.orphans.all()] == [Standing.IGNORED]
        assert (await house.told()).count("orphan_found") == 1


async def test_a_machine_that_cannot_be_read_singly_is_not_forgotten():
    """Not knowing is no evidence."""
    async with running() as house:
        arrives(house.provider)
        await house.clock.advance(POLL + 1.0)
        house.provider.lie = lambda: "empty"
        house.provider.trouble = lambda method: TryLater("busy") if method == "machine" else None
        await house.clock.advance(10 * POLL)

        assert [orphan.id for orphan in house.program.operations.orphans.all()] == [FOREIGN]


async def test_what_a_person_ignores_is_not_taken_back():
    """Not even with our marker: a person's word stands over the policy."""
    async with running() as house:
        await house.program.operations.automation.pause([Part.ADOPTION], "looking into it", context())
        arrives(house.provider, name=marked())
        await house.clock.advance(POLL + 1.0)
        await house.program.operations.orphans.ignore(FOREIGN, context())
        await house.program.operations.automation.resume([Part.ADOPTION], "", context())
        await house.clock.advance(5 * POLL)

        assert not house.program.operations.reads.all()


async def test_machines_that_cannot_be_read_do_not_keep_others_from_being_taken_back():
    """Only so many are read in one look; who was tried already waits."""
    async with running() as house:
        for number in range(45):
            instance_id = InstanceId(f"inst_{number:026d}")
            arrives(house.provider, machine_id=MachineId(f"{number:016x}"), name=marked(instance_id))
        read = house.provider.machine

        async def some_broken(machine_id, call):
            if int(machine_id, 16) < 40:
                raise Broken("no machine")
            return await read(machine_id, call)

        house.provider.machine = some_broken
        await house.clock.advance(6 * POLL)

        assert len(house.program.operations.reads.all()) == 5


async def test_three_hundred_machines_come_back_twenty_a_poll():
    """None is missed, none is taken twice, and nothing is changed."""
    clock = FakeClock()
    provider = TimedProvider(clock=clock)
    for number in range(300):
        instance_id = InstanceId(f"inst_{number:026d}")
        status = list(MachineStatus)[number % 8]
        arrives(provider, machine_id=MachineId(f"{number:016x}"), name=marked(instance_id), status=status)
    async with running(clock=clock, provider=provider) as house:
        await clock.advance(18 * POLL)

        assert len(house.program.operations.reads.all()) == 300
        assert house.program.operations.orphans.all() == []
        assert provider.changes() == []


async def test_hundreds_of_unknown_machines_are_told_of_in_small_commits_and_once():
    """An account full of others' machines floods neither one transaction nor, after a restart, its receiver."""
    clock = FakeClock()
    provider, store = TimedProvider(clock=clock), await open_sqlite(None, clock=clock)
    store_close, store.close = store.close, _nothing
    largest = [0]
    store_commit = store.commit

    async def watched(commit):
        largest[0] = max(largest[0], len(commit.appends))
        return await store_commit(commit)

    store.commit = watched
    for number in range(150):
        arrives(provider, machine_id=MachineId(f"{number:016x}"))
    for _life in range(2):
        async with running(clock=clock, provider=provider, store=store, WEBHOOK_URL=HOOK) as house:
            await clock.advance(3 * POLL)
            assert len(house.program.operations.orphans.all()) == 150
            assert (await house.told()).count("orphan_found") == 150
    assert largest[0] <= 50
    await store_close()


async def _nothing():
    return None


async def test_an_unknown_machine_is_told_of_with_its_price_at_the_first_look():
    """The first look waits for the catalogue, which is being read at that moment."""
    clock = FakeClock()
    provider = TimedProvider(clock=clock)
    provider.seconds["catalogue"] = 3.0
    arrives(provider, price_per_hour=None)
    async with running(clock=clock, provider=provider) as house:
        await clock.advance(10.0)
        [told] = [event for event in await house.events() if event.type == "instance.orphan_found"]

        assert told.data["pricePerHour"] is not None


# ── what a rehearsal and a failed sync say ────────────────────────────────────────────────────────────────────────────


async def rehearsed(house, **options):
    return await house.program.operations.sync.rehearse(SyncOptions(**options), context())


async def test_a_rehearsal_promises_no_adoption_while_that_is_paused():
    """It says what would be done now."""
    async with running() as house:
        await house.clock.advance(2 * POLL)
        arrives(house.provider, name=marked())
        assert (await rehearsed(house, force=True)).adopted == (FOREIGN,)

        await house.program.operations.automation.pause([Part.ADOPTION], "", context())
        report = await rehearsed(house, force=True)
        assert (report.adopted, report.orphans) == ((), (FOREIGN,))


async def test_a_rehearsal_promises_no_adoption_of_what_was_deleted():
    """It knows that we bought this machine, and that somebody wanted it gone."""
    async with running() as house:
        made = await house.ready()
        name = (await house.instance(made)).machine.name
        await house.ask(made, Verb.DELETE)
        await house.until(made, State.DELETED)
        arrives(house.provider, name=name)

        assert (await rehearsed(house, force=True)).adopted == ()


async def test_a_machine_bought_after_the_reading_is_not_missing_from_it():
    """A reading says nothing of what came later; and what is just being bought is no unknown machine."""
    async with running() as house:
        await house.clock.advance(100.0)
        made = await house.create()
        await house.clock.advance(2.0)
        assert (await house.instance(made)).machine is not None
        report = await rehearsed(house)
        anew = await rehearsed(house, force=True)

        assert (report.missing, anew.missing, anew.orphans) == ((), (), ())


async def test_a_sync_that_failed_says_why_to_whoever_asked():
    """And not that it goes on."""
    async with running() as house:
        await house.clock.advance(POLL + 10.0)
        house.provider.trouble = lambda method: TryLater("Novita is busy") if method == "machines" else None
        asked_at = house.clock.now()
        job = await house.program.operations.sync.request(SyncOptions(force=True), context())
        await house.clock.advance(120.0)

        with pytest.raises(Refusal, match=r"failed.*Novita is busy"):
            await house.program.operations.sync.outcome(job, asked_at=asked_at)


async def test_a_sync_asked_for_during_a_sweep_gets_a_sweep_of_its_own():
    """Also when polls are far apart, so that the next one would come too late for it."""
    async with running(INSTANCE_POLL_INTERVAL="10m") as house:
        await house.clock.advance(100.0)
        house.provider.seconds["machines"] = 5.0
        before = len(house.provider.made("machines"))
        await house.clock.run_until(lambda: len(house.provider.made("machines")) > before, within=900.0)
        arrives(house.provider)
        asked_at = house.clock.now()
        job = await house.program.operations.sync.request(SyncOptions(force=True), context())
        await house.clock.advance(30.0)
        report = await house.program.operations.sync.outcome(job, asked_at=asked_at)

        assert report is not None
        assert report.orphans == (FOREIGN,)


async def test_who_asks_while_a_sync_runs_gets_the_next_one():
    """What runs began before they asked, and may not show what they ask for."""
    async with running() as house:
        await house.clock.advance(100.0)
        sync = house.program.operations.sync
        house.provider.seconds["machines"] = 5.0
        first_at = house.clock.now()
        job = await sync.request(SyncOptions(force=True), context())
        await house.clock.advance(4.0)
        second_at = house.clock.now()
        again = await sync.request(SyncOptions(force=True), context())
        await house.clock.run_until(lambda: sync.last is not None and sync.last.began_at >= first_at, within=60.0)
        await house.clock.advance(0.1)
        earlier = await sync.outcome(job, asked_at=first_at)
        assert earlier is not None
        assert await sync.outcome(again, asked_at=second_at) is None

        await house.clock.advance(30.0)
        later = await sync.outcome(again, asked_at=second_at)

        assert again == job
        assert later is not None
        assert later.began_at >= second_at


async def test_a_clock_that_is_set_back_does_not_put_syncs_off():
    """The next is due within the interval, whatever the clock said when that was decided."""
    async with running(SYNC_INTERVAL="10m") as house:
        await house.clock.advance(60.0)
        loop = next(loop for loop in house.program.keepers.loops if loop.name == "adoption")
        await loop.stop()
        house.clock._now -= 7200.0
        await loop._work(None)

        assert house.program.operations.sync.last.at == house.clock.now()


async def test_a_machine_that_is_adopted_during_a_look_is_not_told_of_as_unknown():
    """The look asks Novita about another machine at that moment, and goes on with what it had seen before."""
    async with running() as house:
        orphans = house.program.operations.orphans
        arrives(house.provider)
        arrives(house.provider, machine_id=SECOND)
        await house.clock.advance(POLL + 1.0)
        other = (await orphans.adopt(SECOND, context())).instance.id
        await house.until(other, State.READY)
        await house.clock.advance(200.0)
        house.provider.lie = lambda: "stale"
        await house.ask(other, Verb.DELETE)
        await house.until(other, State.DELETED)
        reads = len(house.provider.made("machine"))
        house.provider.seconds["machine"] = 4.0
        await house.clock.run_until(lambda: len(house.provider.made("machine")) > reads, within=120.0)
        assert house.provider.made("machine")[-1].argument == SECOND
        house.provider.seconds["machine"] = 0.0
        await orphans.adopt(FOREIGN, context())
        await house.clock.advance(300.0)

        told = [event.data["action"] for event in await house.events() if event.type == "instance.orphan_found"]
        assert told == ["found", "found", "adopted", "adopted"]
        assert orphans.all() == []


async def test_a_novita_that_hangs_does_not_hold_up_a_look_for_minutes():
    """Twenty machines of ours with ten seconds each would; the rest waits for the next sweep."""
    async with running() as house:
        for number in range(20):
            arrives(
                house.provider, machine_id=MachineId(f"{number:016x}"), name=marked(InstanceId(f"inst_{number:026d}"))
            )
        adopting = next(loop for loop in house.program.keepers.loops if loop.name == "adoption")
        house.provider.seconds["machine"] = 10.0
        house.provider.trouble = lambda method: TryLater("too slow") if method == "machine" else None
        await house.clock.advance(2 * POLL)
        before = adopting.runs
        await house.clock.advance(300.0)

        assert house.provider.made("machine")
        assert adopting.runs - before >= 5
