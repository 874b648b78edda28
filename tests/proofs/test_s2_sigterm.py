"""S2: SIGTERM is clean. At 100 requests a second the process is told to stop; whoever was let in is answered, and who comes later is turned
away before they have sent anything.

Judged by the callers alone, who use an ordinary client (aiohttp, which sends a GET again when its kept connection was closed before). A request *failed* when it was answered with a server's error, or when its connection ended without an answer
after it was opened, kept or new. A connection that is refused is no failure: nothing was sent. Readiness is asked on connections of its own.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support.processes import Forks
from support.sites import KEY, Server, Site, forks, open_site, order

__all__ = ["forks"]

PER_SECOND = 100
PLANTED = Path(__file__).parent / "planted" / "s2_hurried_stop.py"
HEADERS = {"Authorization": f"Bearer {KEY}"}
REFUSED = "refused"
TIMED_OUT = aiohttp.ClientTimeout(total=20)


@dataclass
class Load:
    """Requests at a steady rate until nobody listens any more, every fifth on a connection of its own: lists, and one create in ten."""

    server: Server
    outcomes: Counter[str] = field(default_factory=Counter)
    accepted: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)

    async def run(self) -> None:
        own = aiohttp.TCPConnector(limit=0, force_close=True)
        kept = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(self.server.url, headers=HEADERS, connector=own, timeout=TIMED_OUT) as alone,
            aiohttp.ClientSession(self.server.url, headers=HEADERS, connector=kept, timeout=TIMED_OUT) as keeping,
            asyncio.TaskGroup() as tasks,
        ):
            for number in count():
                if self.outcomes[REFUSED] >= 3:
                    return
                tasks.create_task(self._one(alone if number % 5 == 0 else keeping, number))
                await asyncio.sleep(1 / PER_SECOND)

    async def _one(self, session: aiohttp.ClientSession, number: int) -> None:
        try:
            if number % 10 == 3:
                await self._create(session, number)
            else:
                async with session.get("/api/instances") as answer:
                    await answer.read()
                    self._note(answer.status)
        except aiohttp.ClientConnectorError:
            self.outcomes[REFUSED] += 1
        except (aiohttp.ClientError, TimeoutError) as error:
            self.failures.append(f"request {number}: {error!r}")

    async def _create(self, session: aiohttp.ClientSession, number: int) -> None:
        async with session.post("/api/instances", json=order(f"load-{number}")) as answer:
            body = await answer.json()
            self._note(answer.status)
            if answer.status == 201:
                self.accepted.append(body["instanceId"])

    def _note(self, status: int) -> None:
        self.outcomes[str(status)] += 1
        if status >= 500:
            self.failures.append(f"status {status}")


@dataclass
class Stop:
    """One stop: when readiness was last promised, when the process had ended (seconds after the signal), and how."""

    code: int
    took: float
    ready_until: float
    load: Load
    held_status: str


async def stop_under_load(site: Site, *, hang: bool = False, again: float | None = None) -> Stop:
    """Start, load, tell to stop. `hang`: Novita answers nothing. `again`: a second SIGTERM so many seconds after the first."""
    server = await site.serve(REQUEST_TIMEOUT="30s" if hang else "1s")
    site.fault("POST .*instance/create", "hang" if hang else "slow", seconds=60.0 if hang else 0.2, count=-1)
    waited_for = await server.create("waited-for")
    site.fault(".*", "hang", seconds=60.0, count=-1)  # so that it is still waited for at the signal
    load = Load(server)
    holding = asyncio.create_task(server.ask("GET", f"/api/instances/{waited_for}?wait=ready&timeout=60"))
    running = asyncio.create_task(load.run())
    probing = asyncio.create_task(last_ready(server))
    await asyncio.sleep(0.8)

    told = time.monotonic()
    os.kill(server.process.pid, signal.SIGTERM)
    if again is not None:
        await asyncio.sleep(again)
        told = time.monotonic()
        os.kill(server.process.pid, signal.SIGTERM)
    code = await server.process.end()
    took = time.monotonic() - told
    await running
    load.accepted.append(waited_for)
    try:
        status, _ = await holding
        held = str(status)
    except aiohttp.ClientError as error:
        held = repr(error)
    site.simulator.faults.clear()
    return Stop(code=code, took=took, ready_until=await probing - told, load=load, held_status=held)


async def last_ready(server: Server) -> float:
    """Ask `GET /readyz` every few milliseconds; when the last promise of readiness was asked for."""
    last = 0.0
    while True:
        asked = time.monotonic()
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.5)) as session,
                session.get(f"{server.url}/readyz") as answer,
            ):
                if answer.status == 200:
                    last = asked
        except (aiohttp.ClientError, TimeoutError):
            return last
        await asyncio.sleep(0.005)


async def lost(site: Site, accepted: list[str], *, seconds: float = 30.0) -> list[str]:
    """Start again and wait for every accepted create: those that never got their one machine."""

    def missing() -> list[str]:
        return [one for one in accepted if len(site.machines(one, ever=True)) != 1]

    await site.serve()
    try:
        await site.until(lambda: not missing(), seconds=seconds)
    except TimeoutError:
        return missing()
    return []


@asynccontextmanager
async def fresh_site(starter: Forks, folder: Path) -> AsyncIterator[Site]:
    folder.mkdir()
    async with open_site(starter, folder) as site:
        yield site


@pytest.mark.alone
@pytest.mark.timeout(600)
async def test_a_server_that_is_told_to_stop_fails_nobody(scale: Any, book: Any, forks: Forks, tmp_path: Path) -> None:
    """S2: at 100 requests a second 0 failed, not ready within 200 ms, ended within 10 s with exit code 0."""
    stops: list[Stop] = []
    missing: list[str] = []
    for number in range(scale.pick(short=1, prove=10, full=40)):
        async with fresh_site(forks, tmp_path / str(number)) as site:
            stops.append(await stop_under_load(site))
            missing += await lost(site, stops[-1].load.accepted)

    answered = sum(stop.load.outcomes.total() - stop.load.outcomes[REFUSED] for stop in stops)
    failures = [one for stop in stops for one in stop.load.failures]
    book.figure("S2", f"requests failed, of {answered} in {len(stops)} stops", len(failures), exactly=0)
    book.figure("S2", "held answers that were not given", sum(stop.held_status != "200" for stop in stops), exactly=0)
    book.figure("S2", "exit codes other than 0", sum(stop.code != 0 for stop in stops), exactly=0)
    book.figure("S2", "accepted creates without their one machine after the next start", len(missing), exactly=0)
    book.figure("S2", "SIGTERM to exit, slowest", max(stop.took for stop in stops), at_most=10.0, unit="s", timed=True)
    worst = max(0.0, *(stop.ready_until for stop in stops))
    book.figure("S2", "SIGTERM to the last promise of readiness", worst * 1000, at_most=200.0, unit="ms", timed=True)


@pytest.mark.alone
async def test_a_stop_ends_in_time_while_novita_hangs(scale: Any, book: Any, forks: Forks, tmp_path: Path) -> None:
    """S2: what waits for Novita is given back and goes on after the next start."""
    async with fresh_site(forks, tmp_path / "site") as site:
        stop = await stop_under_load(site, hang=True)
        missing = await lost(site, stop.load.accepted)

    book.figure("S2", "SIGTERM to exit while every call to Novita hangs", stop.took, at_most=10.0, unit="s", timed=True)
    book.figure("S2", "requests failed while every call to Novita hangs", len(stop.load.failures), exactly=0)
    assert (stop.code, stop.held_status, missing) == (0, "200", [])


async def test_a_second_sigterm_ends_it_at_once_and_loses_nothing(
    scale: Any, book: Any, forks: Forks, tmp_path: Path
) -> None:
    """S2: whoever is in a hurry may be: what was acknowledged is committed."""
    async with fresh_site(forks, tmp_path / "site") as site:
        stop = await stop_under_load(site, hang=True, again=0.1)
        missing = await lost(site, stop.load.accepted)

    book.figure("S2", "second SIGTERM to the end", stop.took, at_most=1.0, unit="s", timed=True)
    book.figure("S2", "lost by a second SIGTERM", len(missing), exactly=0)
    assert stop.code == -signal.SIGTERM


async def test_a_stop_without_a_farewell_is_noticed(book: Any, tmp_path: Path) -> None:
    """The same check on a server that closes its connections at once."""
    hurried = Forks(PLANTED)
    try:
        async with fresh_site(hurried, tmp_path / "site") as site:
            stop = await stop_under_load(site)
    finally:
        hurried.close()

    book.planted("S2", "closes every connection at once", caught=bool(stop.load.failures) or stop.held_status != "200")
