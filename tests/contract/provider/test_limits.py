"""The limits that the client keeps, as the simulated Novita sees them arrive."""

import asyncio
import time

import msgspec
import pytest

from contract.provider.harness import ACT, SimulatorHarness, WatchedCoordination
from novita_simulator.scenario import Scenario
from novita_simulator.server import Simulator
from novita_simulator.settings import Settings, Switches
from novitai.coordination.local import LocalCoordination
from novitai.domain.errors import Code, TryLater
from novitai.novita.provider import NovitaProvider
from novitai.novita.settings import NovitaSettings
from support.clock import FakeIds

WINDOW = 0.5


class RealClock:
    """The machine's own."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def test_no_window_of_novitas_clock_holds_more_calls_than_the_limit():
    """Twenty callers at once, answers that take their time, a limit of eight: whatever the jitter, never a ninth."""
    clock = RealClock()
    coordination = LocalCoordination(clock=clock, limits={"public": 8, "internal": 8}, window_seconds=WINDOW)
    async with Simulator(Scenario(settings=Settings(switches=Switches(apps=False)))) as simulator:
        simulator.stage.perform(
            "faults", {"match": "GET .*instances", "mode": "slow", "seconds": 0.05, "count": 10}, time.time()
        )
        settings = NovitaSettings(
            api_key="k", api_base_url=simulator.environment()["NOVITA_API_BASE_URL"], rate_limit=8
        )
        provider = NovitaProvider(settings, coordination=coordination, clock=clock, chance=FakeIds())

        patient = msgspec.structs.replace(ACT, longest_wait=600.0)
        await asyncio.gather(*(provider.machines(1, 10, patient) for _ in range(20)))
        await provider.close()

        arrivals = [call.received_at for call in simulator.calls.since(0)]
    await coordination.close()

    assert len(arrivals) == 20
    assert all(sum(begin <= one < begin + WINDOW for one in arrivals) <= 8 for begin in arrivals)


async def test_five_failures_in_a_row_silence_the_client():
    """Then nothing more arrives, and everybody is told when to come back; other breakers are untouched."""
    async with SimulatorHarness() as world:
        world.coordination = WatchedCoordination(world.clock, failure_threshold=5)
        provider = world.another()
        machine_id = await world.running()
        world.spoil("POST .*instance/stop", "status", status=500, count=-1)

        failures = []
        for _ in range(7):
            with pytest.raises(Exception, match="Novita") as failure:
                await provider.stop(machine_id, ACT)
            failures.append(failure.value)

        (public, _) = await provider.upstream()
        assert len(world.arrived("stop")) == 5
        assert isinstance(failures[-1], TryLater)
        assert failures[-1].code is Code.CIRCUIT_BREAKER_OPEN
        assert 0 < failures[-1].retry_after <= 60
        assert (public.breakers["gpu"].state, public.breakers["account"].state) == ("OPEN", "CLOSED")
