"""Start, stop, restart and delete, whatever their calls come to."""

import pytest

from novitai.domain.errors import (
    Broken,
    Code,
    Gone,
    InvalidState,
    NoCapacity,
    NotAllowed,
    QuotaExceeded,
    TryLater,
    Unclear,
)
from novitai.domain.instance import DesiredState, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from support.running import House, running


async def stopped(house: House) -> str:
    """An instance that was ready and is stopped."""
    made = await house.ready()
    await house.ask(made, Verb.STOP)
    await house.until(made, State.STOPPED)
    return made


async def test_a_whole_life_makes_one_call_for_each_wish():
    """Create, stop, start, restart, delete: five calls, no more."""
    async with running() as house:
        made = await stopped(house)
        await house.ask(made, Verb.START)
        await house.until(made, State.READY)
        await house.ask(made, Verb.RESTART)
        await house.until(made, State.READY)
        await house.ask(made, Verb.DELETE)
        await house.until(made, State.DELETED)

        assert [one.method for one in house.provider.changes()] == ["create", "stop", "start", "restart", "delete"]
        assert await house.live_jobs() == []
        assert not house.provider.present()


@pytest.mark.parametrize("effect", [True, False])
@pytest.mark.parametrize("verb", [Verb.START, Verb.STOP, Verb.RESTART, Verb.DELETE])
async def test_a_lost_answer_is_cleared_up_by_looking(verb, effect):
    """Done or not done: looked at first, and in the end what was asked is so."""
    async with running() as house:
        made = await (stopped(house) if verb is Verb.START else house.ready())
        await house.clock.advance(5.0)
        house.provider.fail(str(verb), Unclear("timeout"), effect=effect)
        await house.ask(made, verb)
        ends = {Verb.STOP: State.STOPPED, Verb.DELETE: State.DELETED}.get(verb, State.READY)
        await house.clock.advance(1.0)
        await house.until(made, ends)

        assert len(house.provider.made(str(verb))) <= 2
        if not effect:
            assert len(house.provider.made(str(verb))) == 2


async def test_a_look_that_fails_is_no_look():
    """After a lost answer nothing is sent again on the strength of a read that did not come about."""
    async with running() as house:
        made = await house.ready()
        house.provider.fail("stop", Unclear("timeout"), effect=True)
        house.provider.fail("machine", *[Broken("bad gateway")] * 3)
        await house.ask(made, Verb.STOP)
        await house.until(made, State.STOPPED)

        assert len(house.provider.made("stop")) == 1


async def test_looking_at_one_machine_is_not_looking_at_another():
    """A discarded machine that is looked at says nothing of the present one."""
    async with running(INSTANCE_STARTUP_TIMEOUT="60s") as house:
        house.provider.gone = ((0.0, MachineStatus.REMOVING),)
        up = house.provider.up
        house.provider.up = ((0.0, MachineStatus.PENDING),)
        made = await house.create()
        await house.clock.run_until(lambda: len(house.provider.made("create")) == 1)
        house.provider.up = up
        await house.until(made, State.READY)
        assert (await house.instance(made)).discarded

        house.provider.fail("stop", Unclear("timeout"), effect=True)
        await house.ask(made, Verb.STOP)
        await house.until(made, State.STOPPED)
        assert len(house.provider.made("stop")) == 1


@pytest.mark.parametrize(
    ("failure", "code"), [(NoCapacity("full"), Code.NO_CAPACITY), (QuotaExceeded("enough"), Code.QUOTA_EXCEEDED)]
)
async def test_a_start_that_is_refused_leaves_the_machine_and_says_why(failure, code):
    """Stopped as before, with its disk; one event; tried again only when asked."""
    async with running() as house:
        made = await stopped(house)
        house.provider.fail("start", failure)
        await house.ask(made, Verb.START)
        refused = await house.until(made, State.STOPPED)
        await house.clock.advance(3600.0)

        assert refused.last_error.code is code
        assert refused.wants is DesiredState.STOPPED
        assert len(house.provider.made("start")) == 1
        assert (await house.told(made)).count("failed") == 1


@pytest.mark.parametrize(
    "failure", [TryLater("breaker open", retry_after=30.0), NotAllowed("invalid key"), InvalidState("busy")]
)
async def test_a_stop_that_is_not_possible_now_is_done_later(failure):
    """Accepted is accepted: it costs until it is done."""
    async with running() as house:
        made = await house.ready()
        house.provider.fail("stop", failure, failure)
        await house.ask(made, Verb.STOP)
        await house.until(made, State.STOPPED)

        assert house.provider.present()[0].status is MachineStatus.STOPPED


async def test_a_start_that_novita_refuses_for_the_state_for_ever_comes_to_an_end():
    """Growing pauses, a bounded number of calls, and one failure that says why; the machine is left as it is."""
    async with running() as house:
        made = await stopped(house)
        house.provider.fail("start", *[InvalidState("invalid state change")] * 100)
        asked = house.clock.now()
        await house.ask(made, Verb.START)
        failed = await house.until(made, State.FAILED)
        await house.clock.advance(3600.0)

        sent = house.provider.made("start")
        assert 600.0 <= house.clock.now() - 3600.0 - asked <= 720.0
        assert len(sent) <= 30
        assert failed.last_error.code is Code.INVALID_STATE
        assert (await house.told(made)).count("failed") == 1
        assert house.provider.present()[0].status is MachineStatus.STOPPED


async def test_a_delete_is_tried_for_ever_with_growing_pauses():
    """Hours of refusals, a bounded number of calls, and an end as soon as it is possible."""
    async with running() as house:
        made = await house.ready()
        real = house.provider.trouble
        house.provider.trouble = lambda method: Broken("bad gateway") if method == "delete" else None
        await house.ask(made, Verb.DELETE)
        await house.clock.advance(3600.0)
        assert 60 <= len(house.provider.made("delete")) <= 130

        house.provider.trouble = real
        began = house.clock.now()
        await house.until(made, State.DELETED)
        assert house.clock.now() - began <= 90.0


async def test_a_delete_counts_only_when_a_reading_confirms_it():
    """Novita's yes is not the end of the machine."""
    async with running() as house:
        made = await house.ready()
        house.provider.gone = ((0.0, MachineStatus.REMOVING), (400.0, MachineStatus.REMOVED))
        await house.ask(made, Verb.DELETE)
        await house.clock.advance(390.0)
        assert house.state(made) is State.DELETING

        await house.until(made, State.DELETED)


async def test_a_machine_that_novita_does_not_know_once_is_not_deleted_yet():
    """Two pieces of evidence, half a minute apart, also when it is to be deleted."""
    async with running() as house:
        made = await house.ready()
        house.provider.fail("delete", Gone("not found"))
        await house.ask(made, Verb.DELETE)
        await house.clock.advance(10.0)
        assert house.state(made) is State.DELETING

        await house.until(made, State.DELETED)
        assert not house.provider.present()


async def test_a_start_while_stopping_is_queued():
    """It waits for the end of the stop."""
    async with running() as house:
        made = await house.ready()
        await house.ask(made, Verb.STOP)
        await house.clock.advance(1.0)
        await house.ask(made, Verb.START)
        await house.until(made, State.READY)

        assert [one.method for one in house.provider.changes()] == ["create", "stop", "start"]


async def test_what_is_remembered_of_looks_ends_with_the_instance():
    """A year of instances does not grow the memory."""
    async with running() as house:
        for number in range(5):
            made = await house.ready(name=f"m{number}")
            await house.ask(made, Verb.DELETE)
            await house.until(made, State.DELETED)
        await house.clock.advance(60.0)

        handler = house.program.keepers.lanes[0]._handler.__self__
        assert handler._looked_at == {}
        assert handler._buying._rate_limited == {}
