"""Applications are asked until they answer; `ready` is said when they do, and not before (promise W5)."""

import pytest

from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus, Port, PortMapping
from novitai.operations.requests import CheckRequest
from support.running import running


async def test_ready_is_told_within_a_round_of_the_first_answer():
    """The application answers; two seconds later at the most it is ready."""
    async with running() as house:
        house.receivers.healthy = False
        made = await house.create()
        await house.until(made, State.HEALTH_CHECKING)
        await house.clock.advance(61.0)
        house.receivers.healthy = True
        answers_at = house.clock.now()
        await house.until(made, State.READY)

        assert house.clock.now() - answers_at <= 2.5


async def test_an_application_that_does_not_answer_in_time_has_failed_and_is_still_asked():
    """Kept, told once, and welcome when it answers late."""
    async with running() as house:
        house.receivers.healthy = False
        made = await house.create(health_check=CheckRequest(max_wait_time_ms=60_000))
        await house.until(made, State.FAILED)
        await house.clock.advance(600.0)
        assert len(house.provider.present()) == 1
        assert (await house.told(made)).count("startup_failed") == 1

        house.receivers.healthy = True
        await house.until(made, State.READY)


async def test_what_is_seen_is_committed_when_the_picture_changes_and_not_per_round():
    """Ten minutes of the same answer cost one commit."""
    async with running() as house:
        house.receivers.healthy = False
        made = await house.create(health_check=CheckRequest(max_wait_time_ms=900_000))
        await house.until(made, State.HEALTH_CHECKING)
        await house.clock.advance(60.0)
        before = (await house.program.operations.ledger.load(made)).version
        await house.clock.advance(600.0)

        assert (await house.program.operations.ledger.load(made)).version - before <= 1


async def test_an_address_that_makes_no_sense_does_not_spin():
    """Novita tells an endpoint without a port number: unhealthy, asked at the usual pace."""
    async with running() as house:
        house.provider.up = ((0.0, MachineStatus.PENDING),)
        made = await house.create(
            ports=(Port(22, "tcp"),), health_check=CheckRequest(type="tcp", max_wait_time_ms=60_000)
        )
        await house.clock.advance(1.0)
        machine_id = (await house.instance(made)).machine.id
        house.provider.becomes(
            machine_id, ((0.0, MachineStatus.RUNNING),), ports=(PortMapping(22, "tcp", "host:port"),)
        )
        failed = await house.until(made, State.FAILED)

        assert "not an address" in failed.health.endpoints[0].error


async def test_nobody_is_asked_any_more_when_the_instance_stops():
    """The check ends with its reason."""
    async with running() as house:
        house.receivers.healthy = False
        made = await house.create()
        await house.until(made, State.HEALTH_CHECKING)
        await house.ask(made, Verb.STOP)
        await house.until(made, State.STOPPED)
        await house.clock.advance(30.0)
        asked = len(house.receivers.asked)
        await house.clock.advance(60.0)

        assert len(house.receivers.asked) == asked
        assert house.program.keepers.health_checks.under_way == 0


async def test_stopping_ends_every_check_for_good():
    """What ends is not begun again behind the back of who stops."""
    async with running() as house:
        house.receivers.healthy = False
        made = await house.create()
        await house.until(made, State.HEALTH_CHECKING)
        await house.program.keepers.health_checks.stop()
        await house.clock.advance(1.0)

        assert house.program.keepers.health_checks.under_way == 0


@pytest.mark.parametrize("kind", ["tcp", "none"])
async def test_other_ways_to_check(kind):
    """By connecting, or not at all."""
    async with running() as house:
        await house.ready(ports=(Port(22, "tcp"),), health_check=CheckRequest(type=kind))

        assert (kind == "tcp") == bool(house.receivers.asked)
