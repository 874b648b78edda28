"""Stop-all in the middle of everything: what is on its way is called off, and nothing is bought or started afterwards."""

from novitai.domain.errors import Unclear
from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.operations.bulk import Bulk, Outcome
from novitai.operations.requests import VerbRequest
from support.running import context, running


async def stop_all(house):
    """What each came to."""
    bulk = Bulk(verbs=house.program.operations.verbs, reads=house.program.operations.reads)
    return await bulk.perform(bulk.running([]), Verb.STOP, VerbRequest(), context(), dry_run=False)


async def test_stop_all_in_the_middle_of_creates_leaves_nothing_running_and_buys_nothing_more():
    """Creates at every stage: ready, coming up, in the middle of the call, with a lost answer, and not yet begun."""
    async with running() as house:
        await house.ready(name="ready")
        await house.create(name="coming-up")
        await house.clock.advance(8.0)
        house.provider.fail("create", Unclear("lost"), effect=True)
        await house.create(name="unclear")
        await house.clock.advance(1.0)
        house.provider.seconds["create"] = 20.0
        await house.create(name="in-the-call")
        await house.clock.advance(5.0)
        await house.create(name="just-asked")
        results = await stop_all(house)
        bought = len(house.provider.made("create"))
        await house.clock.advance(900.0)

        assert {result.outcome for result in results} == {Outcome.ACCEPTED}
        assert len(results) == 5
        assert len(house.provider.made("create")) == bought
        assert {machine.status for machine in house.provider.present()} == {MachineStatus.STOPPED}
        states = {snapshot.instance.state for snapshot in house.program.operations.reads.all()}
        assert states == {State.STOPPED}


async def test_a_start_that_waits_for_its_stop_does_not_survive_stop_all():
    """Whatever moment of it is hit."""
    for seconds in (0.0, 4.0, 8.0, 9.0, 12.0):
        async with running() as house:
            made = await house.ready()
            await house.ask(made, Verb.STOP)
            await house.clock.advance(1.0)
            await house.ask(made, Verb.START)
            await house.clock.advance(seconds)
            await stop_all(house)
            await house.clock.advance(600.0)

            assert house.state(made) is State.STOPPED, seconds
            assert [machine.status for machine in house.provider.present()] == [MachineStatus.STOPPED], seconds
