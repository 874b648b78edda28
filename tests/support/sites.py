"""Whole programs over real sockets: a site has a directory, a stand-in for Novita, a receiver of webhooks, and servers that come, are
killed and come again.

Everything is judged from outside: by the stand-in's log of calls and its machines, by the receiver's ledger, by answers and exit codes.
Waiting is for events: a line of a server's log, an arrival at the receiver, a call at the stand-in.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest

from novita_simulator.calls import Call
from novita_simulator.machine import Machine
from novita_simulator.scenario import read_scenario
from novita_simulator.server import Simulator
from novitai_client import AsyncClient
from support.processes import Forks, Process, plain_environment
from support.receiver import Receiver

KEY = "nvk_tests_0123456789abcdef0123456789"
WEBHOOK_SECRET = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0"
NOVITA_KEY = "novita-key-of-the-tests"
SPEED = 400.0
MARKER = re.compile(r"-nv[a-z0-9]{4}(?P<instance>[a-z0-9]{26})(?P<attempt>[a-z0-9]{2})$")
CREATE = "/gpu-instance/openapi/v1/gpu/instance/create"

BRISK = {
    "NOVITA_SETTLE_TIME": "2s",
    "INSTANCE_POLL_INTERVAL": "1s",
    "INSTANCE_FAST_POLL_INTERVAL": "200ms",
    "HEALTH_CHECK_INTERVAL": "100ms",
    "HEALTH_CHECK_RETRY_DELAY_MS": "50ms",
    "REQUEST_TIMEOUT": "1s",
    "RETRY_BASE_DELAY": "20ms",
    "RETRY_MAX_DELAY": "100ms",
    "UPSTREAM_RATE_LIMIT": "100000",
    "CIRCUIT_FAILURE_THRESHOLD": "1000",
    "WEBHOOK_RETRY_SCHEDULE": ",".join(["200ms"] * 50),
    "RATE_LIMIT_MAX_REQUESTS": "0",
}
"""Settings in which hours take seconds, without the limits that a test does not ask about."""

WORLD = {"speed": SPEED, "balance": 1000, "key": NOVITA_KEY, "delays": {"restarting": 0.6 * SPEED}}
"""The stand-in's scenario. A restart takes longer than the pause between two looks, or it could not be seen."""


@dataclass
class Server:
    """A server that listens."""

    process: Process
    url: str

    def client(self) -> AsyncClient:
        return AsyncClient(self.url, KEY)

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Status and body of one request on a connection of its own. Raises aiohttp.ClientError when it is broken off."""
        headers = {"Authorization": f"Bearer {KEY}", **{name.replace("_", "-"): text for name, text in headers.items()}}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, json=body, headers=headers) as answer,
        ):
            text = await answer.text()
            return answer.status, json.loads(text) if "json" in answer.content_type else text

    async def create(self, name: str, *, key: str | None = None, **more: Any) -> str:
        """Ask for an instance; its id."""
        status, answer = await self.ask(
            "POST", "/api/instances", order(name) | more, **{"Idempotency-Key": key or f"create-{name}"}
        )
        assert status == 201, answer
        return answer["instanceId"]

    async def reaches(self, instance_id: str, status: str, *, seconds: float = 20.0) -> dict[str, Any]:
        """Wait until an instance is in a state."""
        async with asyncio.timeout(seconds):
            while True:
                _, instance = await self.ask("GET", f"/api/instances/{instance_id}?wait=ready&timeout=1")
                if instance["status"] == status:
                    return instance
                await asyncio.sleep(0.05)


def order(name: str) -> dict[str, Any]:
    """The body of a plain create."""
    return {
        "name": name,
        "productName": "RTX 4090 24GB",
        "imageUrl": "ubuntu:22.04",
        "ports": [{"port": 8080, "type": "http"}],
    }


class Closable(Protocol):
    def close(self) -> object: ...


@dataclass
class Site:
    """One installation and what it meets."""

    forks: Forks
    folder: Path
    simulator: Simulator
    receiver: Receiver
    processes: list[Process] = field(default_factory=list)
    belongings: list[Closable] = field(default_factory=list)
    """What is to be closed at the end."""

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def environment(self, **settings: str | None) -> dict[str, str]:
        """The settings of a server here; None takes one away."""
        found: dict[str, str | None] = {
            **plain_environment(),
            **self.simulator.environment(),
            **BRISK,
            "NOVITAI_API_KEY": KEY,
            "NOVITAI_DATA_DIR": str(self.data),
            "PORT": "0",
            "LOG_FORMAT": "json",
            "WEBHOOK_URL": self.receiver.url,
            "WEBHOOK_SECRET": WEBHOOK_SECRET,
            **settings,
        }
        return {name: value for name, value in found.items() if value is not None}

    async def run(self, *argv: str, **settings: str | None) -> Process:
        """Start a program; it may not come up."""
        process = await Process.start(self.forks, list(argv), self.environment(**settings), self.folder)
        self.processes.append(process)
        return process

    async def serve(self, **settings: str | None) -> Server:
        """Start a server and wait until it listens."""
        process = await self.run("serve", **settings)
        return Server(process, (await process.logged("listening"))["url"])

    # ── the stand-in ──

    def fault(self, match: str, mode: str, **more: object) -> None:
        """Let calls go wrong."""
        self.perform("faults", {"match": match, "mode": mode, **more})

    def perform(self, action: str, body: dict[str, object]) -> Any:
        """A control call of the stand-in."""
        return self.simulator.stage.perform(action, body, now=self.simulator.advance())

    async def foreign(self, name: str) -> str:
        """Let somebody else rent a machine on the same account; its id on Novita."""
        headers = {"Authorization": f"Bearer {NOVITA_KEY}"}
        wanted = {"productId": "4090.16c62g", "gpuNum": 1, "rootfsSize": 60, "imageUrl": "ubuntu:22.04", "kind": "gpu"}
        address = f"{self.simulator.url}{CREATE}"
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(address, json={"name": name, "ports": "8080/http", **wanted}) as answer,
        ):
            assert answer.status == 200, await answer.text()
            return str((await answer.json())["id"])

    def calls(self, method: str = "", part: str = "") -> list[Call]:
        """Calls that arrived at the stand-in."""
        return [call for call in self.simulator.calls.since(0) if method in call.method and part in call.path]

    def changing_calls(self) -> list[Call]:
        """Calls that change something."""
        return [call for call in self.simulator.calls.since(0) if call.method != "GET"]

    def machines(self, instance_id: str, *, ever: bool = False) -> list[Machine]:
        """Machines made for an instance of ours: those that exist, or all that ever did."""
        self.simulator.advance()
        world = self.simulator.world
        found = world.ever() if ever else world.machines.values()
        return [machine for machine in found if instance_of(machine.name) == instance_id]

    async def until(self, seen: Callable[[], bool], *, seconds: float = 20.0) -> None:
        """Wait until the stand-in shows something."""
        async with asyncio.timeout(seconds):
            while not seen():
                await asyncio.sleep(0.01)


def instance_of(machine_name: str) -> str:
    """Our id of the instance that a machine was made for, from its marker; empty for other people's machines."""
    marker = MARKER.search(machine_name)
    return f"inst_{marker['instance']}" if marker else ""


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """One per run of tests: importing takes a second."""
    made = Forks()
    yield made
    made.close()


@asynccontextmanager
async def open_site(forks: Forks, folder: Path, scenario: dict[str, object] | None = None) -> AsyncIterator[Site]:
    """A site; at the end everything is stopped and the logs are printed, which pytest shows when a test failed."""
    simulator = Simulator(read_scenario(WORLD | (scenario or {})))
    receiver = Receiver()
    await simulator.start()
    await receiver.start()
    site = Site(forks, folder, simulator, receiver)
    try:
        yield site
    finally:
        for process in site.processes:
            await process.kill()
            print(f"── process {process.pid}, exit code {process.code}", *process.lines[-300:], sep="\n")
        for belonging in site.belongings:
            belonging.close()
        await receiver.stop()
        await simulator.stop()


@pytest.fixture
async def site(forks: Forks, tmp_path: Path) -> AsyncIterator[Site]:
    """An installation with an empty directory."""
    async with open_site(forks, tmp_path) as made:
        yield made
