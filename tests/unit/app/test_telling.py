"""The log tells every change of state, so that a night can be read afterwards without the database."""

from structlog.testing import capture_logs

from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from support.running import running
from support.timed_provider import machine_of


async def test_every_change_of_state_is_one_line_with_who_and_the_same_correlation_id():
    """What Novita is seen to do is told like what people ask."""
    with capture_logs() as lines:
        async with running() as house:
            instance_id = await house.ready()
            await house.ask(instance_id, Verb.STOP, reason="the night is over")
            await house.until(instance_id, State.STOPPED)

    told = [line for line in lines if line["event"] == "state_changed"]
    assert [line["after"] for line in told][-3:] == ["ready", "stopping", "stopped"]
    assert told[0]["before"] is None
    assert told[-2]["because"] == "the night is over"
    assert {(line["instanceId"], line["correlationId"], line["log_level"]) for line in told} == {
        (instance_id, "corr_1", "info")
    }


async def test_a_failure_is_told_as_an_error():
    """Nobody reads information lines at night."""
    with capture_logs() as lines:
        async with running() as house:
            instance_id = await house.create()
            await house.until(instance_id, State.READY)
            house.provider.vanish(machine_of(await house.instance(instance_id)))
            await house.clock.run_until(lambda: house.state(instance_id) is State.LOST, within=7200.0)

    told = next(line for line in lines if line["event"] == "state_changed" and line["after"] == "lost")
    assert told["log_level"] == "error"
