"""Whole programs as real processes over real sockets: a site has a directory, a stand-in for Novita, a receiver of webhooks, and
servers that come, are killed and come again.

Everything is judged from outside: by the stand-in's log of calls and its bill, by the receiver's ledger, by answers and exit codes. Waiting is
for events: a line of a server's log (JSON), an arrival at the receiver, a call at the stand-in.
"""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
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
from support.receiver import Receiver

KEY = "nvk_tests_0123456789abcdef0123456789"
WEBHOOK_SECRET = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0"
NOVITA_KEY = "novita-key-of-the-tests"
SOURCES = Path(__file__).resolve().parents[2] / "src"
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
"""Settings in which hours take seconds. What they shorten are durations; nothing that is promised is turned off."""

WORLD = {"speed": SPEED, "balance": 1000, "key": NOVITA_KEY, "delays": {"restarting": 0.6 * SPEED}}
"""The stand-in's scenario. A restart takes longer than the pause between two looks, or it could not be seen."""


class Forks:
    """Starts our programs by forking a process that has imported them; see forking.py."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._wire = ours
        program = Path(__file__).with_name("forking.py")
        environment = _plain_environment()
        self._process = subprocess.Popen(
            [sys.executable, str(program), str(theirs.fileno())], env=environment, pass_fds=(theirs.fileno(),)
        )
        theirs.close()
        assert self._answer() == "ready"

    def start(self, argv: list[str], environment: dict[str, str], folder: Path, *, output: int, errors: int) -> int:
        """The pid of a new process."""
        request = {"argv": argv, "environment": environment, "folder": str(folder)}
        socket.send_fds(self._wire, [json.dumps(request).encode()], [output, errors])
        return self._answer()

    def wait(self, pid: int) -> int:
        """The exit code; blocks until the process has ended."""
        self._wire.send(json.dumps({"wait": pid}).encode())
        return self._answer()

    def close(self) -> None:
        self._wire.close()
        self._process.wait(10)

    def _answer(self) -> Any:
        return json.loads(self._wire.recv(4096))


class Process:
    """One of our programs as a process. `lines` is what it wrote to standard error."""

    def __init__(self, pid: int, forks: Forks, output: asyncio.StreamReader, errors: asyncio.StreamReader) -> None:
        self.pid = pid
        self.began = time.monotonic()
        self.lines: list[str] = []
        self.code: int | None = None
        self._forks = forks
        self._news = asyncio.Condition()
        self._ended = False
        self._output = asyncio.create_task(output.read())
        self._reading = asyncio.create_task(self._read(errors))

    @classmethod
    async def start(cls, forks: Forks, argv: list[str], environment: dict[str, str], folder: Path) -> "Process":
        output, output_end = await _pipe()
        errors, errors_end = await _pipe()
        try:
            pid = forks.start(argv, environment, folder, output=output_end, errors=errors_end)
        finally:
            os.close(output_end)
            os.close(errors_end)
        return cls(pid, forks, output, errors)

    async def end(self, *, seconds: float = 20.0) -> int:
        """Wait for its end; the exit code. It is killed when that takes too long."""
        if self.code is None:
            try:
                async with asyncio.timeout(seconds):
                    await asyncio.shield(self._reading)
            except TimeoutError:
                self._send(signal.SIGKILL)
                raise
            finally:
                await self._reading
                self.code = self._forks.wait(self.pid)
        return self.code

    async def output(self) -> str:
        """What it wrote to standard output, at its end."""
        return (await self._output).decode()

    async def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self._send(signal.SIGKILL)
        await self.end()

    async def terminate(self) -> int:
        """SIGTERM; the exit code."""
        self._send(signal.SIGTERM)
        return await self.end()

    async def logged(self, event: str, *, seconds: float = 20.0) -> dict[str, Any]:
        """Wait for the first event of a name in the log."""

        def found() -> dict[str, Any] | None:
            return next((entry for entry in self.entries() if entry.get("event") == event), None)

        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: found() is not None or self._ended)
        entry = found()
        assert entry is not None, f"ended without {event}:\n" + "\n".join(self.lines)
        return entry

    def entries(self) -> list[dict[str, Any]]:
        """The log, entry by entry."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def _send(self, number: signal.Signals) -> None:
        if self.code is None:
            os.kill(self.pid, number)  # not reaped before `end`, so the pid is still its own

    async def _read(self, errors: asyncio.StreamReader) -> None:
        while line := await errors.readline():
            async with self._news:
                self.lines.append(line.decode(errors="replace").rstrip("\n"))
                self._news.notify_all()
        async with self._news:
            self._ended = True
            self._news.notify_all()


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
            **_plain_environment(),
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


def _plain_environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {"PYTHONPATH": str(SOURCES), "NO_COLOR": "1"}


async def _pipe() -> tuple[asyncio.StreamReader, int]:
    reading, writing = os.pipe()
    reader = asyncio.StreamReader(limit=2**22)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", buffering=0)
    )
    return reader, writing


# ── fixtures ──


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
