"""M1 for callers: a hundred identical creates at once, and a kill -9 somewhere in between, make one machine and have one answer.

Each round a hundred callers send the same request with the same Idempotency-Key to a real server. It is killed at a random moment within
the rush and started again; who has no answer asks again, and so does one who has. Judged by the answers, byte for byte, and by the
machines that the simulator ever made.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from proofs.planted import idempotency_in_memory
from support import sites
from support.processes import Forks
from support.sites import KEY, Server, Site, open_site, order

forks = sites.forks  # a fixture
CALLERS = 100
EARLY_SECONDS = 0.03
"""A kill before the first answer comes so soon after the rush began, at the latest."""
PAUSE = 0.02
ROOM = {"stock": [{"stock": 1000}]}
REPLAYED = "Idempotency-Replayed"


@dataclass
class Rush:
    """What became of one key. `anew`: answers that do not say they are replayed; `unheard`: callers who had no answer at the kill."""

    name: str
    answers: list[bytes] = field(default_factory=list)
    anew: int = 0
    others: Counter[str] = field(default_factory=Counter)
    unheard: int = 0
    machines: int = 0

    def take(self, status: int, body: bytes, *, replayed: bool) -> bool:
        """Whether that was an answer; else it is to be asked again."""
        if status == 409 and b"OPERATION_IN_PROGRESS" in body:
            return False
        if status == 201:
            self.answers.append(body)
            self.anew += not replayed
        else:
            self.others[f"{status} {json.loads(body)['error']['code']}"] += 1
        return True


@dataclass
class Door:
    """Where the server is now, and how it is asked."""

    server: Server
    session: aiohttp.ClientSession

    async def ask(self, rush: Rush, *, body: bytes) -> None:
        """Ask until there is an answer, whatever happens to the server."""
        headers = {"Idempotency-Key": rush.name, "Content-Type": "application/json"}
        while True:
            try:
                async with self.session.post(f"{self.server.url}/api/instances", data=body, headers=headers) as answer:
                    text = await answer.read()
                    if rush.take(answer.status, text, replayed=answer.headers.get(REPLAYED) == "true"):
                        return
            except (aiohttp.ClientError, OSError):
                pass  # killed: asked again once there is another server
            await asyncio.sleep(PAUSE)


async def rush_in(site: Site, rounds: int, chance: random.Random, *, early: float = 0.5) -> list[Rush]:
    """The rounds, one after the other; each leaves a fresh server to the next. `early`: the share of kills that do not wait for the first
    answer.
    """
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": f"Bearer {KEY}"}) as session:
        door = Door(await site.serve(), session)
        rushes = [Rush(f"rush-{number}") for number in range(rounds)]
        for rush in rushes:
            await _one_rush(site, door, rush, chance.uniform(0.0, EARLY_SECONDS) if chance.random() < early else None)
        await _all_ready(door.server)
    for rush in rushes:
        rush.machines = sum(machine.name.startswith(f"{rush.name}-nv") for machine in site.simulator.world.ever())
    return rushes


async def _one_rush(site: Site, door: Door, rush: Rush, kill_after: float | None) -> None:
    """A rush with a kill: so many seconds after it began, or (None) as soon as there is an answer."""
    body = json.dumps(order(rush.name)).encode()
    callers = [asyncio.create_task(door.ask(rush, body=body)) for _ in range(CALLERS)]
    await asyncio.wait(callers, timeout=kill_after, return_when=asyncio.FIRST_COMPLETED)
    await door.server.process.kill()
    rush.unheard = CALLERS - len(rush.answers)
    door.server = await site.serve()
    await asyncio.gather(*callers)
    await door.ask(rush, body=body)


async def _all_ready(server: Server) -> None:
    """Wait until everything that was accepted of late has its machine."""
    async with asyncio.timeout(60):
        while True:
            _, answer = await server.ask("GET", "/api/instances?limit=100")
            if {one["status"] for one in answer["instances"]} == {"ready"}:
                return
            await asyncio.sleep(PAUSE)


def wrong(rushes: Sequence[Rush]) -> list[str]:
    """Keys that did not come out as one machine and one answer to all."""
    return [
        f"{rush.name}: {rush.machines} machines, {len(set(rush.answers))} answers, {rush.anew} anew, {rush.others}"
        for rush in rushes
        if rush.machines != 1 or len(set(rush.answers)) != 1 or rush.anew > 1 or rush.others
    ]


@pytest.mark.timeout(600)
async def test_identical_creates_around_a_kill_make_one_machine(forks: Forks, tmp_path: Path, scale, book) -> None:
    """M1: one machine and one answer for a key, however many ask at once and whenever the server dies."""
    rounds = scale.pick(short=3, prove=40, full=200)
    async with open_site(forks, tmp_path, ROOM) as site:
        rushes = await rush_in(site, rounds, random.Random(7))

    print(*wrong(rushes), sep="\n")
    answers = [len(rush.answers) for rush in rushes]
    book.figure("M1", "identical creates under one Idempotency-Key, with a kill -9 among them", rounds * CALLERS)
    book.figure("M1", "keys killed with callers unanswered", sum(rush.unheard > 0 for rush in rushes), at_least=1)
    book.figure("M1", "callers that were never answered", sum((CALLERS + 1) - one for one in answers), exactly=0)
    book.figure("M1", "machines for a key, most", max(rush.machines for rush in rushes), exactly=1)
    book.figure("M1", "machines for a key, fewest", min(rush.machines for rush in rushes), exactly=1)
    book.figure("M1", "different answers to a key, most", max(len(set(rush.answers)) for rush in rushes), exactly=1)
    book.figure("M1", "answers to a key not marked as replayed, most", max(rush.anew for rush in rushes), at_most=1)


@pytest.mark.timeout(120)
async def test_the_rush_turns_red_when_keys_are_kept_in_memory_only(tmp_path: Path, scale, book) -> None:
    """M1 can fail: a key forgotten by a restart buys a second machine, and the same check sees it."""
    bugged = Forks(Path(str(idempotency_in_memory.__file__)))
    try:
        async with open_site(bugged, tmp_path, ROOM) as site:
            rushes = await rush_in(site, scale.pick(short=1, prove=5), random.Random(8), early=0.0)
    finally:
        bugged.close()

    book.planted("M1", idempotency_in_memory.BUG, caught=bool(wrong(rushes)))
