"""Doctor over real sockets against the simulator, in a time that runs ahead instead of waiting; and as a process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog

from contract.provider.harness import HastyClock
from novita_simulator.billing import usd as billed_usd
from novita_simulator.scenario import read_scenario
from novita_simulator.server import Simulator
from novitai.config import load
from novitai.doctor.examination import Asked, Examination
from novitai.doctor.live import Terminal
from novitai.doctor.report import Check, Level
from novitai.domain.money import usd
from novitai.world import SystemIds
from support.sites import forks, site

__all__ = ["forks", "site"]


@dataclass
class Clinic:
    """An installation in a folder, the Novita that it uses, and somebody who answers questions."""

    simulator: Simulator
    clock: HastyClock
    folder: Path
    agrees: bool = True
    said: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    on_step: Callable[[str], object] = lambda _step: None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def examination(self, **settings: str) -> Examination:
        environ = {
            **self.simulator.environment(),
            "NOVITAI_DATA_DIR": str(self.data),
            "PORT": "0",
            **self.settings,
            **settings,
        }
        return Examination(
            settings=load({name: value for name, value in environ.items() if value}, self.folder, require_novita=False),
            clock=self.clock,
            ids=SystemIds(),
            terminal=Terminal(self._hear, self._answer),
        )

    async def examine(self, *, live: float | None = None, ping: bool = False, **settings: str) -> Examination:
        """One examination; `live` is the most that it may cost, USD."""
        made = self.examination(**settings)
        await made.run(Asked(ping=ping, live=None if live is None else usd(live)))
        return made

    def machines(self) -> list[str]:
        """Names of the machines that exist."""
        self.simulator.advance()
        return [one.name for one in self.simulator.world.machines.values() if one.status != "removed"]

    def spent(self) -> float:
        """What Novita charges for everything so far, USD."""
        return billed_usd(self.simulator.world.ledger.spent(self.clock.now()))

    def furnish(self, count: int) -> None:
        for number in range(count):
            self.perform("machines", name=f"other-{number}", productId="26", status="exited")

    def perform(self, action: str, **body: Any) -> dict[str, object]:
        return self.simulator.stage.perform(action, body, now=self.simulator.advance())

    def _hear(self, text: str) -> None:
        self.said.append(text)
        self.on_step(text)

    def _answer(self, question: str) -> bool:
        self.said.append(question)
        return self.agrees


Open = Callable[..., Awaitable[Clinic]]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    """A clinic with these switches and other parts of a scenario."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    async with AsyncExitStack() as closing:

        async def open_clinic(*, delays: dict[str, Any] | None = None, **switches: Any) -> Clinic:
            clock = HastyClock()
            scenario = {"switches": {"apps": False, **switches}, "delays": delays or {}}
            simulator = Simulator(read_scenario(scenario), clock=clock.now)
            await closing.enter_async_context(simulator)
            return Clinic(simulator=simulator, clock=clock, folder=tmp_path)

        yield open_clinic
    structlog.reset_defaults()


def check(examination: Examination, name: str) -> Check:
    """The first check of a name that is not well, else the first of that name."""
    found = [one for one in examination.checks if one.name == name]
    assert found, [one.name for one in examination.checks]
    return next((one for one in found if one.level is not Level.OK), found[0])


async def cancelled(work: Awaitable[object]) -> None:
    """Wait for work that is cancelled on its way."""
    with pytest.raises(asyncio.CancelledError):
        await work
