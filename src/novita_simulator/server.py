"""The simulator as one thing to start and stop: the world, its control API and the machines' own ports.

    async with Simulator(scenario) as simulator:
        simulator.url, simulator.environment(), simulator.world, simulator.faults, simulator.calls

`go_dark` and `come_back` rehearse an outage of Novita: its port is closed and opened again, while the machines run on. The clock is
handed in; a timer moves the world when something is due, and every request does so too.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Self

from aiohttp import web

from novita_simulator.apps import Apps
from novita_simulator.calls import CallLog
from novita_simulator.faults import Faults
from novita_simulator.http.app import build_app
from novita_simulator.scenario import Scenario
from novita_simulator.stage import Stage
from novita_simulator.world import World

DEFAULT_KEY = "sim-key"
DEFAULT_INTERNAL_KEY = "sim-internal-key"
_LOOPBACK_CIDR = "127.0.0.0/8"
_SHORTEST_WAIT, _LONGEST_WAIT = 0.005, 3600.0


class Simulator:
    """Port 0 takes a free one; `url` is known after `start`."""

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._host = host
        self._port = port
        self._clock = clock
        self.stage = Stage(scenario or Scenario(), now=clock())
        self._runner: web.AppRunner | None = None
        self._apps: Apps | None = None
        self._closing = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._seen_world = self.stage.world

    @property
    def world(self) -> World:
        return self.stage.world

    @property
    def faults(self) -> Faults:
        return self.stage.faults

    @property
    def calls(self) -> CallLog:
        return self.stage.calls

    @property
    def url(self) -> str:
        host = "127.0.0.1" if self._host in {"0.0.0.0", "::", ""} else self._host  # noqa: S104 - to say where it is
        return f"http://{host}:{self._port}"

    def environment(self) -> dict[str, str]:
        """The settings that point a client of Novita here."""
        return {
            "NOVITA_API_BASE_URL": f"{self.url}/gpu-instance/openapi",
            "NOVITA_INTERNAL_API_BASE_URL": self.url,
            "NOVITA_API_KEY": self.stage.scenario.key or DEFAULT_KEY,
            "NOVITA_INTERNAL_API_KEY": self.stage.scenario.internal_key or DEFAULT_INTERNAL_KEY,
            "WEBHOOK_ALLOW_CIDRS": _LOOPBACK_CIDR,
            "HEALTH_CHECK_ALLOW_CIDRS": _LOOPBACK_CIDR,
        }

    async def start(self) -> None:
        if self._apps is None:
            self._apps = Apps(self.stage, clock=self._clock)
            for machine in self.world.machines.values():
                self.world.touch(machine)
        await self.come_back()

    async def stop(self) -> None:
        """Stop listening, on the machines' ports too; the world stays. Stopping twice is fine."""
        await self.go_dark()
        if self._timer is not None:
            self._timer.cancel()
        if self._apps is not None:
            await self._apps.close()
            self._apps = None

    async def go_dark(self) -> None:
        """An outage of Novita: nobody listens on its port, while the machines run on and their applications answer."""
        if self._runner is not None:
            self._closing.set()
            await self._runner.cleanup()
            self._runner = None

    async def come_back(self) -> None:
        """The end of the outage, on the same port."""
        if self._runner is None:
            self._closing = asyncio.Event()
            app = build_app(self.stage, advance=self.advance, closing=self._closing)
            self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
            await self._runner.setup()
            await web.TCPSite(self._runner, self._host, self._port, reuse_address=True, backlog=1024).start()
            self._port = self._runner.addresses[0][1]
            self.advance()

    async def settle(self) -> None:
        """Bring everything up to the clock and wait until the machines' ports are as they should be."""
        self.advance()
        if self._apps is not None:
            await self._apps.settled()

    def advance(self) -> float:
        """Move the world to the clock's moment and return it."""
        now = self._clock()
        if self._seen_world is not self.world and self._apps is not None:
            self._apps.clear()
            self._seen_world = self.world
        self.world.advance(now)
        if self._apps is not None:
            self._apps.notice(now)
            self._set_timer(now)
        return now

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    def _set_timer(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.world.next_due()
        if due is not None:
            wait = min(max(due - now, _SHORTEST_WAIT), _LONGEST_WAIT)
            self._timer = asyncio.get_running_loop().call_later(wait, self.advance)
