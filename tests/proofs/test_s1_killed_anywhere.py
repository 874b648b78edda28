"""S1: kill -9 anywhere. A server with a long past is killed again and again under load; it serves again within seconds, takes up what it had
not finished, and nothing that it acknowledged is lost.

The driver's ledger of acknowledged requests is compared with the stand-in's machines; what is taken up, and when, is read from the stand-in's
log of calls. The server itself is asked for one thing: `GET /readyz`.
"""

import asyncio
import random
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest

from faults.processes.test_kills import WIDE_WINDOWS, Asked, Driver
from support.fresh import Fresh
from support.past import TOLD, write_past
from support.processes import Forks
from support.sites import CREATE, Server, Site, forks, instance_of, open_site

__all__ = ["forks"]

MOST_PLANTED_KILLS = 8
PLANTED = Path(__file__).parent / "planted" / "s1_late_commit.py"
LISTS = "/gpu-instance/openapi/v1/gpu/instances"
SLOW_ACTIONS = (
    ("POST .*instance/create", {"mode": "hang", "seconds": 0.8, "count": 2}),
    ("POST .*instance/(stop|start|delete)", {"mode": "status", "status": 502, "count": 4}),
)
"""Besides the usual troubles: what keeps work unfinished until the kill."""


class Starter(Protocol):
    """Forks or Fresh."""

    def start(self, argv: list[str], environment: dict[str, str], folder: Path, *, output: int, errors: int) -> int: ...

    def wait(self, pid: int) -> int: ...


@dataclass
class Found:
    """What the rounds showed, in seconds from the start of the process. `denied`: acknowledged, and unknown to the server afterwards;
    `lost`: these, and those whose machines were never as was promised.
    """

    serving: list[float] = field(default_factory=list)
    taken_up: dict[str, float] = field(default_factory=dict)
    never_taken_up: list[str] = field(default_factory=list)
    acknowledged: int = 0
    lost: dict[str, str] = field(default_factory=dict)
    denied: dict[str, str] = field(default_factory=dict)
    doubled: list[str] = field(default_factory=list)


class Ledger(Driver):
    """A driver that goes on when it is told that what was acknowledged does not exist, and notes it. `denied`: such instances."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self.denied: dict[str, str] = {}

    async def _ask(self, server: Server, asked: Asked) -> None:
        try:
            await super()._ask(server, asked)
        except AssertionError:
            if asked.instance_id not in self.wanted:
                raise
            self.denied[asked.instance_id] = self.wanted.pop(asked.instance_id)
            self.pending.remove(asked)


async def killed_under_load(
    site: Site, *, rounds: int, seed: int, window: tuple[float, float], patience: float
) -> Found:
    """Ask, kill, start again; at the end compare what was acknowledged with what is there."""
    chance = random.Random(seed)
    driver, found = Ledger(chance), Found()
    unfinished: dict[str, str] = {}
    for _ in range(rounds):
        server, began = await served(site, found)
        await take_up(site, unfinished, began, found, patience)
        for match, fault in (*chance.sample(WIDE_WINDOWS, 3), *SLOW_ACTIONS):
            site.fault(match, **fault)
        for _ in range(2):
            driver.think_of_more()
        asking = asyncio.create_task(driver.ask_all(server))
        await asyncio.sleep(chance.uniform(*window))
        await server.process.kill()
        await asking
        site.simulator.faults.clear()
        unfinished = not_done(site, driver.wanted)
    server, began = await served(site, found)
    await take_up(site, unfinished, began, found, patience)
    await driver.ask_all(server)
    try:
        await site.until(lambda: not not_done(site, driver.wanted), seconds=patience)
    except TimeoutError:
        found.lost = not_done(site, driver.wanted)
    for one in driver.wanted:
        status, _ = await server.ask("GET", f"/api/instances/{one}")
        if status == 404:
            driver.denied[one] = driver.wanted[one]
    found.denied = driver.denied
    found.lost |= driver.denied
    found.acknowledged = len(driver.wanted)
    found.doubled = [one for one in driver.wanted if len(site.machines(one, ever=True)) > 1]
    return found


async def served(site: Site, found: Found) -> tuple[Server, float]:
    """Start a server; note how long it took until it accepts traffic."""
    began, clock = time.time(), time.monotonic()
    server = await site.serve()
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{server.url}/readyz") as answer:
                if answer.status == 200:
                    break
            await asyncio.sleep(0.005)
    found.serving.append(time.monotonic() - clock)
    return server, began


def not_done(site: Site, wanted: dict[str, str]) -> dict[str, str]:
    """Instances whose machines are not as was promised."""
    site.simulator.advance()
    holding: dict[str, list[bool]] = {}
    for machine in site.simulator.world.machines.values():
        holding.setdefault(instance_of(machine.name), []).append(machine.holds_gpus)
    right = {"running": ([True],), "stopped": ([False], []), "deleted": ([],)}
    return {one: state for one, state in wanted.items() if holding.get(one, []) not in right[state]}


async def take_up(site: Site, unfinished: dict[str, str], began: float, found: Found, patience: float) -> None:
    """Wait until each unfinished instance was looked at or acted upon by the new process; note when that was."""
    left = set(unfinished)

    def all_seen() -> bool:
        for call in site.simulator.calls.since(began):
            for one in concerned(site, call, left):
                left.discard(one)
                found.taken_up[one] = max(found.taken_up.get(one, 0.0), call.received_at - began)
        return not left

    try:
        await site.until(all_seen, seconds=patience)
    except TimeoutError:
        found.never_taken_up += sorted(left)


def concerned(site: Site, call: Any, among: set[str]) -> set[str]:
    """Whom a call is about: by the marker in a create, by the machine that is named, or by a whole list when the machine is there."""
    if call.path == CREATE:
        return among & {instance_of(call.body["name"])}
    present = {one.id: instance_of(one.name) for one in site.simulator.world.ever()}
    if call.path == LISTS:
        return among & set(present.values())
    named = call.body.get("instanceId") if isinstance(call.body, dict) else None
    named = named or call.query.partition("instanceId=")[2].partition("&")[0]
    return among & {present.get(str(named), "")}


@pytest.fixture(scope="session")
async def past(scale: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A store with a long past, made once."""
    count = scale.pick(short=1_000, prove=100_000)
    folder = tmp_path_factory.mktemp("past")
    await write_past(folder / "novitai.db", count)
    return folder, count


@asynccontextmanager
async def old_site(starter: Starter, folder: Path, past: Path | None = None) -> AsyncIterator[Site]:
    data = folder / "data"
    data.mkdir(mode=0o700)
    if past is not None:
        shutil.copy(past / "novitai.db", data)
    async with open_site(starter, folder) as site:
        yield site


@pytest.mark.alone
@pytest.mark.timeout(600)
async def test_a_server_killed_under_load_serves_soon_and_has_lost_nothing(
    scale: Any, book: Any, past: tuple[Path, int], tmp_path: Path, forks: Forks
) -> None:
    """S1: serving within 3 s of its start, unfinished work taken up within 30 s, every acknowledged request kept."""
    store, count = past
    starter: Starter = scale.pick(short=forks, prove=Fresh())

    async with old_site(starter, tmp_path, store) as site:
        found = await killed_under_load(
            site, rounds=scale.pick(short=2, prove=12, full=60), seed=1, window=(0.3, 1.2), patience=60.0
        )

    about = f"{count:,} past instances with {len(TOLD)} events each"
    worst = max(found.taken_up.values(), default=0.0)
    book.figure(
        "S1", "unfinished at a kill, first call about it after the start, latest", worst, at_most=30.0, unit="s"
    )
    book.figure("S1", "unfinished work that no call was about", len(found.never_taken_up), exactly=0)
    book.figure("S1", "kills under load", len(found.serving) - 1)
    book.figure("S1", f"acknowledged and lost, of {found.acknowledged} instances", len(found.lost), exactly=0)
    book.figure("S1", "machines that nobody asked for", len(found.doubled), exactly=0)
    book.figure(
        "S1", f"process start to ready, {about}, slowest", max(found.serving), at_most=3.0, unit="s", timed=True
    )
    assert found.taken_up, "no kill left work unfinished: the proof has shown nothing"


async def test_a_commit_after_the_acknowledgement_is_noticed(book: Any, tmp_path: Path) -> None:
    """The same check on a store that acknowledges first and commits half a second later; a kill may fall just after a late commit."""
    late, caught, kills = Forks(PLANTED), False, 0
    try:
        while not caught and kills < MOST_PLANTED_KILLS:
            kills += 1
            folder = tmp_path / str(kills)
            folder.mkdir()
            async with old_site(late, folder) as site:
                found = await killed_under_load(site, rounds=1, seed=1 + kills, window=(0.2, 0.4), patience=1.0)
            caught = bool(found.denied)
    finally:
        late.close()

    book.planted("S1", "acknowledges before the commit", caught=caught)
