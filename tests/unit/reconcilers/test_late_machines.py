"""Machines that Novita shows late: within the settle time they are waited for, beyond it an extra one may exist."""

import itertools

import msgspec
import pytest

from novitai.domain.errors import Code, Unclear
from novitai.domain.ids import MachineId
from novitai.domain.instance import AttemptOutcome, Verb
from novitai.domain.lifecycle import State
from support import builders
from support.clock import FakeClock
from support.crashing import Fuse, World
from support.create_outcomes import ACCEPTED, Outcome, RecordingNovita, cut, refusal
from support.running import House, running

RESET = Outcome("connection reset, made", lambda: cut("reset by peer"), made_after=0.0, always=True)
SILENT = Outcome("500 for ever", lambda: refusal(500), always=True, machines=0)


@pytest.fixture
def clock() -> FakeClock:
    """Time that only the test moves."""
    return FakeClock()


def novita(house: House) -> RecordingNovita:
    assert isinstance(house.provider, RecordingNovita)
    return house.provider


def late_by(seconds: float, *, clock, outcome: Outcome = RESET) -> RecordingNovita:
    made = RecordingNovita(clock=clock)
    made.outcome, made.list_lag = outcome, seconds
    return made


async def with_an_extra_machine(house: House, **fields: object) -> tuple[str, MachineId]:
    """An instance whose first create made a machine that showed too late: its id, and the extra machine."""
    made = await house.create(**fields)
    await house.clock.run_until(lambda: len(novita(house).creates) == 1)
    await house.clock.advance(5.0)
    novita(house).outcome, novita(house).list_lag = ACCEPTED, 0.0
    await house.until(made, State.READY)
    [extra] = [one for one in novita(house).kept if one != (await house.instance(made)).machine.id]
    return made, extra


async def orphans_told(house: House, instance_id: str) -> list[tuple[str, str]]:
    events = [event for event in await house.events(instance_id) if event.type == "instance.orphan_found"]
    return [(event.data["machineId"], event.data["action"]) for event in events]


async def test_an_extra_machine_is_reported_and_left_alone_by_default(clock):
    """It is told within two polls of showing, and stays until the instance is deleted."""
    async with running(clock=clock, provider=late_by(300.0, clock=clock)) as house:
        made, extra = await with_an_extra_machine(house)
        shown = novita(house).visible[extra]
        await house.clock.run_until(shown + 61.0)
        assert await orphans_told(house, made) == [(extra, "reported")]

        await house.clock.advance(3600.0)

        assert await orphans_told(house, made) == [(extra, "reported")]
        assert not novita(house).made("delete", "stop")


async def test_an_extra_machine_is_deleted_after_two_readings_when_the_settings_say_so(clock):
    """The instance keeps its machine; why the other one went is told."""
    async with running(clock=clock, provider=late_by(300.0, clock=clock), EXTRA_MACHINES="delete") as house:
        made, extra = await with_an_extra_machine(house)
        await house.clock.run_until(novita(house).visible[extra] + 300.0)

        [deleted] = novita(house).made("delete")
        assert (deleted.argument, deleted.at >= novita(house).visible[extra] + 30.0) == (extra, True)
        assert [machine.id for machine in novita(house).present()] == [(await house.instance(made)).machine.id]
        assert await orphans_told(house, made) == [(extra, "reported"), (extra, "deleting")]
        instance = await house.instance(made)
        assert (instance.state, instance.strays, instance.discarded) == (State.READY, (), ())


async def test_an_extra_machine_of_a_protected_instance_is_only_reported(clock):
    """`protect` holds for every machine of the instance."""
    async with running(clock=clock, provider=late_by(300.0, clock=clock), EXTRA_MACHINES="delete") as house:
        made, extra = await with_an_extra_machine(house, protect=True)
        await house.clock.run_until(novita(house).visible[extra] + 3600.0)

        assert await orphans_told(house, made) == [(extra, "reported")]
        assert not novita(house).made("delete")


async def test_an_extra_machine_that_has_another_name_at_the_second_reading_is_not_deleted(clock):
    """The marker must be there whenever something follows from it."""
    async with running(clock=clock, provider=late_by(300.0, clock=clock), EXTRA_MACHINES="delete") as house:
        made, extra = await with_an_extra_machine(house)
        await house.clock.run_until(novita(house).visible[extra] + 20.0)
        kept = novita(house).kept[extra]
        novita(house).becomes(extra, (), name=f"renamed-{kept.machine.name[-36:-1]}")

        await house.clock.advance(600.0)

        assert await orphans_told(house, made) == [(extra, "reported")]
        assert not novita(house).made("delete")


async def test_observing_deletes_no_extra_machine():
    """In observe mode nothing changes on Novita, whatever else is set."""
    world = await World.begin(RecordingNovita)
    async with world.house(Fuse()) as house:
        made = await house.ready()
        twin = msgspec.structs.replace(world.provider.present()[0], id=MachineId("f" * 16))
        world.provider.keep(twin)

    async with world.house(Fuse(), EXTRA_MACHINES="delete", NOVITAI_MODE="observe") as house:
        await house.clock.advance(600.0)

        assert await orphans_told(house, made) == [(twin.id, "reported")]
        assert not world.provider.made("delete")
    await world.close()


async def test_a_machine_that_shows_up_while_the_next_attempt_is_still_waited_for_is_adopted(clock):
    """The pauses between unclear creates are of use: what shows up in one is not bought again."""
    async with running(clock=clock, provider=late_by(0.0, clock=clock, outcome=SILENT)) as house:
        made = await house.create()
        await house.clock.run_until(lambda: len(novita(house).creates) == 2)
        novita(house).outcome, novita(house).list_lag = RESET, 150.0
        await house.clock.run_until(lambda: len(novita(house).creates) == 3)
        await house.until(made, State.READY)

        assert len(novita(house).creates) == 3
        assert [attempt.outcome for attempt in await house.attempts(made)][-1] is AttemptOutcome.ADOPTED
        assert len(novita(house).present()) == 1


async def test_creates_that_are_never_answered_clearly_come_to_an_end(clock):
    """Five unclear answers in a row, with growing pauses; each is resolved, and the failure is told once."""
    async with running(clock=clock, provider=late_by(0.0, clock=clock, outcome=SILENT)) as house:
        made = await house.create()
        failed = await house.until(made, State.FAILED)
        await house.clock.advance(3600.0)

        sent = [one.arrived for one in novita(house).creates]
        gaps = [later - earlier for earlier, later in itertools.pairwise(sent)]
        assert (len(sent), failed.open_attempt, failed.last_error.code) == (5, None, Code.UPSTREAM_ERROR)
        assert gaps == sorted(gaps)
        assert gaps[-1] >= 300.0
        assert {attempt.outcome for attempt in await house.attempts(made)} == {AttemptOutcome.ABSENT}
        assert (await house.told(made)).count("failed") == 1


async def test_a_call_that_takes_longer_than_the_settle_time_is_not_taken_for_lost(clock):
    """Whole lists without its machine prove nothing while the call is under way, nor when the process ends in it."""
    slow = Outcome("timeout, not made", lambda: cut("", timed_out=True), answers_after=30.0)
    world = await World.begin(RecordingNovita)
    world.provider.outcome = slow
    async with world.house(Fuse(), NOVITA_SETTLE_TIME="5s") as house:
        made = await house.create()
        await house.clock.advance(29.0)
        assert len(world.provider.sweeps) > 5
        assert (await house.instance(made)).open_attempt.disproved_at is None

    async with world.house(Fuse(), NOVITA_SETTLE_TIME="5s") as house:
        restarted = house.clock.now()
        await house.until(made, State.READY)

    assert [one.arrived >= restarted + 5.0 for one in world.provider.creates] == [False, True]
    await world.close()


async def test_a_stop_does_not_wait_for_the_pause_between_unclear_creates(clock):
    """The pause is for the next create, and none follows."""
    async with running(clock=clock, provider=late_by(0.0, clock=clock, outcome=SILENT)) as house:
        made = await house.create()
        await house.clock.run_until(lambda: len(novita(house).creates) == 3)
        await house.clock.advance(100.0)
        asked = house.clock.now()
        await house.ask(made, Verb.STOP)
        await house.until(made, State.STOPPED)

        assert house.clock.now() - asked <= 5.0


async def test_a_machine_that_neither_list_nor_read_shows_within_the_settle_time_is_not_lost(clock):
    """Several pages, so that machines in motion are read singly: not found is no evidence before Novita would surely show it."""
    provider = late_by(55.0, clock=clock, outcome=ACCEPTED)
    for number in range(250):
        provider.keep(builders.machine(id=MachineId(f"{number:016x}"), name=f"other-{number}"))
    async with running(clock=clock, provider=provider) as house:
        await house.clock.advance(5.0)
        made = await house.ready()

        assert "lost" not in await house.told(made)


@pytest.mark.parametrize("mode", ["report", "delete"])
async def test_a_machine_with_the_marker_of_another_installation_is_never_touched(clock, mode):
    """Two installations may share an account."""
    provider = late_by(0.0, clock=clock, outcome=ACCEPTED)
    async with running(clock=clock, provider=provider, EXTRA_MACHINES=mode) as house:
        made = await house.ready()
        [own] = provider.present()
        other = msgspec.structs.replace(own, id=MachineId("e" * 16), name=own.name.replace("-nvtest", "-nvabcd"))
        provider.keep(other)
        await house.clock.advance(3600.0)

        assert await orphans_told(house, made) == []
        assert not provider.made("delete", "stop", "start")


def test_unclear_is_the_failure_of_a_lost_answer():
    """What the doubles above rest on."""
    assert isinstance(RESET.failure(), Unclear)
