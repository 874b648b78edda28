"""The coordination of the contract suite: every test runs once for each keeper."""

from collections.abc import AsyncIterator, Callable

import pytest

from novitai.coordination.local import LocalCoordination
from novitai.ports.coordination import Coordination
from novitai.resilience.breaker import BreakerSettings
from support.clock import FakeClock

LIMITS = {"public": 100, "internal": 50}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def opened() -> AsyncIterator[list[Coordination]]:
    keepers: list[Coordination] = []
    yield keepers
    for keeper in keepers:
        await keeper.close()


@pytest.fixture(params=["local", "local-with-files"])
def open_keeper(request, clock, tmp_path, opened) -> Callable[[], Coordination]:
    """Open a keeper, as a process does when it starts. A further keeper adds its name and how to open it."""

    def open_one() -> Coordination:
        data_dir = tmp_path if request.param == "local-with-files" else None
        keeper = LocalCoordination(clock=clock, limits=LIMITS, breaker=BreakerSettings(), data_dir=data_dir)
        opened.append(keeper)
        return keeper

    return open_one


@pytest.fixture
def keeper(open_keeper) -> Coordination:
    return open_keeper()


@pytest.fixture
def survives(request, open_keeper) -> None:
    """Skip for keepers whose windows end with their process."""
    if request.node.callspec.params["open_keeper"] == "local":
        pytest.skip("local lacks: windows that outlive the process")
