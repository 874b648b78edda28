"""A crash ledger at work: simulator, receiver, driver and checker as processes of their own, and a server that is killed and comes again.

What is judged is on disk, in the ledgers of driver and receiver; the checker reads nothing else but the simulator's machines at the end.
"""

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from support.processes import SOURCES, TESTS, Forks, Process, plain_environment
from support.sites import BRISK, KEY, NOVITA_KEY, SPEED, WEBHOOK_SECRET

READY_POLL = 0.02
PLACES = 64
"""Deliveries that a server has under way at most, to a receiver that does not make it wait."""
WITHOUT_DELETE = ("stop", "start", "stop", "start")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`events`: produce at least so many. `pace`: instances begun a second, in place of `lives` at a time; `verbs`: what is asked of each
    after its create. `kill_after`: seconds from ready to SIGKILL, None: never; `most_kills` bounds how often. `patience`: seconds without
    any arrival after which what is missing counts as lost. `settings`: the server's, beside where everything is; `delays`: of the simulated
    Novita, in its seconds, which pass `speed` times as fast.
    """

    events: int
    lives: int = 0
    pace: float | None = None
    kill_after: float | None = None
    most_kills: int = 1_000_000
    failing: float = 0.3
    verbs: Sequence[str] = ("stop", "start", "delete")
    patience: float = 75.0
    longest: float = 600.0
    seed: int = 1
    settings: Mapping[str, str] = field(default_factory=BRISK.copy)
    speed: float = SPEED
    delays: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The checker's verdict, with what only the hand on the processes knows. `seconds` until nothing was missing, or patience ended;
    `machines` as the simulator shows them then.
    """

    verdict: dict[str, Any]
    kills: int
    seconds: float
    machines: list[dict[str, Any]]

    def count(self, *names: str) -> int:
        """Findings of these kinds together."""
        found = [self.verdict[name] for name in names]
        return sum(one if isinstance(one, int) else len(one) for one in found)


@dataclass
class Helper:
    """One of the programs around the server; it ends when its input is closed."""

    process: asyncio.subprocess.Process

    @classmethod
    async def start(cls, module: str, *argv: object) -> "Helper":
        environment = plain_environment() | {"PYTHONPATH": f"{SOURCES}{os.pathsep}{TESTS}"}
        words = (sys.executable, "-m", module, *map(str, argv))
        return cls(await asyncio.create_subprocess_exec(*words, stdin=PIPE, stdout=PIPE, env=environment))

    async def line(self) -> str:
        assert self.process.stdout is not None
        text = await self.process.stdout.readline()
        assert text, "a program of the ledger ended early"
        return text.decode().rstrip("\n")

    def close_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


async def keep_ledger(forks: Forks, folder: Path, plan: Plan) -> Outcome:
    """Carry a plan out, from the first server to the verdict."""
    async with _surroundings(folder, plan) as around:
        servers = Servers(forks, folder, around.environment)
        watching = asyncio.create_task(around.watch(plan))
        try:
            began = time.monotonic()
            kills = await servers.come_and_go(watching, plan)
            seconds = watching.result() - began
            await servers.stop()
            machines = await around.machines()
            return Outcome(verdict=await around.verdict(), kills=kills, seconds=seconds, machines=machines)
        finally:
            watching.cancel()
            await servers.kill()


@dataclass
class Servers:
    """The server that comes, is killed and comes again."""

    forks: Forks
    folder: Path
    environment: dict[str, str]
    now: Process | None = None

    async def come_and_go(self, watching: asyncio.Task[float], plan: Plan) -> int:
        """Until the watch has ended; how often it was killed."""
        kills = 0
        async with aiohttp.ClientSession() as session, asyncio.timeout(plan.longest):
            while True:
                await self._serve(session)
                lasting = plan.kill_after if kills < plan.most_kills else None
                await asyncio.wait({watching}, timeout=lasting)
                if watching.done():
                    return kills
                await self.kill()
                kills += 1

    async def stop(self) -> None:
        """SIGTERM, so that what is under way is finished."""
        if self.now is not None:
            assert await self.now.terminate() == 0
            self.now = None

    async def kill(self) -> None:
        if self.now is not None:
            await self.now.kill()
            self.now = None

    async def _serve(self, session: aiohttp.ClientSession) -> None:
        self.now = await Process.start(self.forks, ["serve"], self.environment, self.folder)
        url = (await self.now.logged("listening"))["url"]
        while True:
            async with session.get(f"{url}/readyz") as answer:
                if answer.status == 200:
                    break
            await asyncio.sleep(READY_POLL)
        address = self.folder / "server"
        address.with_suffix(".new").write_text(url)
        address.with_suffix(".new").replace(address)


@dataclass
class Surroundings:
    """What is outside of the server and lives on."""

    driver: Helper
    checker: Helper
    environment: dict[str, str]
    state_url: str

    async def watch(self, plan: Plan) -> float:
        """Let the driver ask until there are events enough; the time at which nothing was missing any more, or patience ended."""
        asking = True
        while True:
            seen = json.loads(await self.checker.line())
            if asking and seen["events"] >= plan.events:
                self.driver.close_input()
                asking = False
            if seen["whole"]:
                return time.monotonic()
            if seen["quiet"] > plan.patience:
                return time.monotonic() - seen["quiet"]

    async def machines(self) -> list[dict[str, Any]]:
        async with aiohttp.ClientSession() as session, session.get(self.state_url) as answer:
            found: list[dict[str, Any]] = (await answer.json())["machines"]
            return found

    async def verdict(self) -> dict[str, Any]:
        self.checker.close_input()
        assert self.checker.process.stdout is not None
        lines = (await self.checker.process.stdout.read()).splitlines()
        found: dict[str, Any] = json.loads(lines[-1])
        return found


@asynccontextmanager
async def _surroundings(folder: Path, plan: Plan) -> AsyncIterator[Surroundings]:
    helpers: list[Helper] = []

    async def start(module: str, *argv: object) -> Helper:
        helpers.append(await Helper.start(module, *argv))
        return helpers[-1]

    asked, arrived, address = folder / "driver.jsonl", folder / "receiver.jsonl", folder / "server"
    address.write_text("http://127.0.0.1:1")
    scenario = folder / "scenario.json"
    world = {"speed": plan.speed, "delays": dict(plan.delays), "stock": [{"stock": 1000}]}
    scenario.write_text(json.dumps({"balance": 1000, "key": NOVITA_KEY, **world}))
    asking = {"lives": plan.lives, "pace": plan.pace, "seed": plan.seed, "verbs": plan.verbs}
    driving = {"ledger": str(asked), "server": str(address), "key": KEY, **asking}
    (folder / "driver.json").write_text(json.dumps(driving))
    try:
        simulator = await start("novita_simulator", "--port", 0, "--scenario", scenario)
        receiver = await start("proofs.ledger.receiver", arrived, WEBHOOK_SECRET, plan.failing, plan.seed)
        simulator_url = (await simulator.line()).partition("listening on ")[2]
        receiver_url = await receiver.line()
        state_url = f"{simulator_url}/_sim/state"
        checker = await start("proofs.ledger.checker", asked, arrived, state_url)
        driver = await start("proofs.ledger.driver", folder / "driver.json")
        where = _environment(folder, simulator_url, receiver_url)
        yield Surroundings(driver, checker, {**plan.settings, **where}, state_url)
    finally:
        for helper in helpers:
            await helper.kill()


def _environment(folder: Path, simulator_url: str, receiver_url: str) -> dict[str, str]:
    return {
        **plain_environment(),
        "NOVITA_API_BASE_URL": f"{simulator_url}/gpu-instance/openapi",
        "NOVITA_INTERNAL_API_BASE_URL": simulator_url,
        "NOVITA_API_KEY": NOVITA_KEY,
        "NOVITA_INTERNAL_API_KEY": "sim-internal-key",
        "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
        "HEALTH_CHECK_ALLOW_CIDRS": "127.0.0.0/8",
        "NOVITAI_API_KEY": KEY,
        "NOVITAI_DATA_DIR": str(folder / "data"),
        "PORT": "0",
        "LOG_FORMAT": "json",
        "WEBHOOK_URL": receiver_url,
        "WEBHOOK_SECRET": WEBHOOK_SECRET,
    }
