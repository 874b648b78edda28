"""What Novita does late, after its answer was lost and a look did not show it; and words of Novita's that nobody knows."""

from novitai.domain.errors import NotAllowed, TryLater, Unclear
from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from support.running import running
from support.timed_provider import UP, machine_of


async def test_a_start_that_takes_effect_after_a_stop_was_asked_is_stopped():
    """Its answer was lost and a look showed nothing: it may still come, so the stop is not done before it cannot come any more."""
    async with running() as house:
        made = await house.ready()
        await house.ask(made, Verb.STOP)
        stopped = await house.until(made, State.STOPPED)
        house.provider.fail("start", Unclear("reset"))
        house.provider.fail("start", TryLater("no room in the limiter", retry_after=60.0), sent=False)
        await house.ask(made, Verb.START)
        await house.clock.advance(3.0)
        await house.ask(made, Verb.STOP)
        await house.clock.advance(6.0)
        house.provider.becomes(machine_of(stopped), UP)
        await house.clock.advance(300.0)

        assert house.state(made) is State.STOPPED
        assert [machine.status for machine in house.provider.present()] == [MachineStatus.STOPPED]


async def test_a_start_after_a_stop_that_took_effect_unseen_starts_the_machine():
    """What is known may be older than the stop: the machine is read before the start counts as done, and is started."""
    async with running() as house:
        made = await house.ready()
        await house.clock.advance(10.0)
        house.provider.trouble = lambda method: TryLater("bad gateway") if method.startswith("machine") else None
        house.provider.fail("stop", Unclear("reset"), effect=True)
        house.provider.fail("stop", *[NotAllowed("invalid key", status=401)] * 5)
        await house.ask(made, Verb.STOP)
        await house.clock.advance(10.0)
        await house.ask(made, Verb.START)
        await house.clock.advance(100.0)
        await house.ask(made, Verb.STOP)
        await house.clock.advance(10.0)
        await house.ask(made, Verb.START)
        await house.clock.advance(10.0)
        house.provider.trouble = lambda _: None
        await house.until(made, State.READY)

        assert "startup_failed" not in await house.told(made)
        assert len(house.provider.made("start")) == 1


async def test_a_machine_with_an_unknown_word_at_the_end_of_its_time_is_kept():
    """Promise M2: nothing is concluded from a word that we do not know, least of all that a machine never ran."""
    async with running(INSTANCE_STARTUP_TIMEOUT="60s") as house:
        house.provider.up = (
            (0.0, MachineStatus.PENDING),
            (30.0, MachineStatus.UNKNOWN),
            (100.0, MachineStatus.RUNNING),
        )
        made = await house.create()
        await house.until(made, State.FAILED)
        await house.until(made, State.READY)

        assert [one.method for one in house.provider.changes()] == ["create"]
