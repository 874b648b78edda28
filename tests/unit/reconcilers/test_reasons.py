"""What the whole program does by itself, and the reason that is found afterwards: each automatic action of a life, newest first."""

from novitai.domain.errors import NoCapacity
from novitai.domain.ids import InstanceId, MachineId, Marker, machine_name
from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus, SpotStatus
from novitai.operations.explanation import Decided
from support import builders
from support.reasons import unexplained
from support.running import House, running
from support.timed_provider import DOWN

FULL = NoCapacity("nothing free")
NEVER = ((0.0, MachineStatus.PENDING),)


async def reasons(house: House, instance_id: str) -> list[Decided]:
    """What was decided about an instance, oldest first."""
    explaining = house.program.operations.explaining
    return list(reversed((await explaining.decisions(instance_id, before=None, limit=100)).decisions))


def deeds(decisions: list[Decided]) -> list[tuple[str, str]]:
    return [(one.by, one.action) for one in decisions]


async def test_a_life_with_everything_in_it_leaves_nothing_without_a_reason():
    """Refusals, a reclaim and the move after it, hands outside, an idle stop and a loss: looked for from outside, as in the simulation."""
    async with running(AUTO_STOP_ENABLED="true", AUTO_STOP_THRESHOLD="20m", AUTO_STOP_WARN="5m") as house:
        house.provider.load = lambda _machine, _at: (0.0, 1.0)
        house.provider.fail("create", FULL)
        made = await house.ready()
        machine_id = (await house.instance(made)).machine.id
        house.provider.becomes(machine_id, DOWN, spot_status=SpotStatus.RECLAIMING)
        await house.clock.advance(900.0)
        await house.until(made, State.STOPPED, State.READY)
        await house.clock.advance(3600.0)
        house.provider.vanish((await house.instance(made)).machine.id)
        await house.clock.advance(900.0)

        policies = {one.by for one in await reasons(house, made)}
        assert policies >= {"placement", "observer", "migration", "idle"}
        assert await unexplained(house.store) == []


async def story(house: House, instance_id: str) -> str:
    snapshot = await house.program.operations.ledger.load(instance_id)
    assert snapshot is not None
    return house.program.operations.explaining.explain(snapshot).summary


async def test_each_offer_that_is_asked_is_explained_with_its_figures():
    """The best of three, then the next after each refusal, which is named."""
    async with running() as house:
        house.provider.fail("create", FULL, FULL)
        made = await house.ready()
        decisions = await reasons(house, made)

        assert deeds(decisions) == [("placement", "instance.place")] * 3
        assert [one.why.facts["attempt"] for one in decisions] == [1, 2, 3]
        assert [one.why.facts["fitting"] for one in decisions] == [3, 2, 1]
        assert "3 of 3 offers fit" in decisions[0].why.because
        assert "tried before in vain: " in decisions[2].why.because
        assert len(decisions[2].why.facts["refused"]) == 2


async def test_a_create_that_nobody_can_serve_says_who_refused():
    """The end of trying is a decision, too; and the story says what can be done."""
    async with running() as house:
        house.provider.fail("create", *[FULL] * 9)
        made = await house.create()
        await house.until(made, State.FAILED)
        decisions = await reasons(house, made)

        assert deeds(decisions)[-1] == ("startup", "instance.fail")
        assert len(decisions[-1].why.facts["refused"]) == 3
        assert "There is no machine, and nothing is billed" in decisions[-1].why.because
        assert "What can be done: start it to try again, or delete it." in await story(house, made)


async def test_a_machine_that_never_runs_is_replaced_and_that_is_explained():
    """Its own machine is deleted, the next offer is tried, and the refusal is in the next choice."""
    async with running(INSTANCE_STARTUP_TIMEOUT="2m") as house:
        house.provider.up = NEVER
        made = await house.create()
        await house.clock.run_until(lambda: len(house.provider.made("delete")) == 1)
        decisions = await reasons(house, made)

        assert deeds(decisions)[:2] == [("placement", "instance.place"), ("startup", "instance.replace")]
        assert decisions[1].why.facts["machineId"] == house.provider.made("delete")[0].argument
        assert "did not run within 120 s" in decisions[1].why.because


async def test_a_start_that_was_queued_behind_a_stop_is_explained():
    """Asked for while it was stopping; begun when it had."""
    async with running() as house:
        made = await house.ready()
        await house.ask(made, Verb.STOP)
        await house.clock.run_until(lambda: house.provider.made("stop"))
        await house.ask(made, Verb.START)
        await house.until(made, State.READY)

        assert ("startup", "instance.start") in deeds(await reasons(house, made))


async def test_hands_outside_of_us_belong_to_the_story():
    """A stop on Novita's console is told as what it was, and as whose word it counts."""
    async with running() as house:
        made = await house.ready()
        house.provider.becomes((await house.instance(made)).machine.id, DOWN)
        await house.until(made, State.STOPPED)
        decisions = await reasons(house, made)

        assert deeds(decisions)[-1] == ("observer", "instance.seen_stopped")
        assert "somebody outside of Novitai said so" in await story(house, made)


async def test_an_idle_stop_leaves_its_warning_and_its_evidence():
    """First that it is announced, then that it is done, each with every signal."""
    async with running(AUTO_STOP_ENABLED="true", AUTO_STOP_THRESHOLD="20m", AUTO_STOP_WARN="5m") as house:
        house.provider.load = lambda _machine, _at: (0.0, 1.0)
        made = await house.ready()
        await house.until(made, State.STOPPED)
        decisions = await reasons(house, made)

        assert deeds(decisions)[-2:] == [("idle", "instance.warn"), ("idle", "instance.stop")]
        assert all(len(one.why.facts["signals"]) == 3 for one in decisions[-2:])
        assert "the idle stop said so" in await story(house, made)


async def test_a_lost_record_that_is_forgotten_says_since_when_it_was_lost():
    """Retention is a policy like the others."""
    async with running(SYNC_OBSOLETE_INSTANCE_RETENTION="20m", SYNC_INTERVAL="5m") as house:
        made = await house.ready()
        house.provider.vanish((await house.instance(made)).machine.id)
        await house.until(made, State.DELETED)
        decisions = await reasons(house, made)

        assert deeds(decisions)[-2:] == [("observer", "instance.lose"), ("retention", "instance.delete")]
        assert "longer than records of lost machines are kept (20 min)" in decisions[-1].why.because


async def test_a_machine_that_is_taken_back_by_its_marker_says_so_under_its_old_id():
    """Also when the store was emptied and nothing else is known of it."""
    marked = InstanceId("inst_" + "2" * 26)
    async with running() as house:
        name = machine_name("worker", Marker("test", marked, 1))
        house.provider.keep(builders.machine(id=MachineId("feedfacefeedface"), name=name))
        await house.clock.run_until(lambda: house.program.operations.reads.get(marked) is not None)
        decisions = await reasons(house, marked)

        assert deeds(decisions)[0] == ("adoption", "orphan.adopt")
        assert "its record is gone" in decisions[0].why.because
