"""S5: disk full, read-only, locked. A running server meets each of them from outside, under load, until it clears: writes are refused with a
reason, reads go on, and nothing that was acknowledged is missing afterwards, not even when the process is killed in the middle.

Judged by the callers (every answer with its time), by the stand-in's machines, and by SQLite's own check of the file.
"""

import asyncio
import json
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from novitai.domain.times import iso
from support.disks import DATABASE, TROUBLES, FilesMayNotGrow, HeldFile, Trouble, freeze, thaw
from support.processes import Forks
from support.sites import KEY, Server, Site, forks, open_site, order

__all__ = ["forks"]

PLANTED = Path(__file__).parent / "planted" / "s5_hopeful_commit.py"
PER_SECOND = 20
HEADERS = {"Authorization": f"Bearer {KEY}"}


@dataclass(frozen=True)
class Asked:
    """One create and what became of it. `reason`: the code of a refusal."""

    name: str
    at: float
    seconds: float
    status: int
    reason: str
    instance_id: str


@dataclass
class Found:
    """What the callers saw. `whole_after`: seconds from the end of the trouble until creates are accepted and traffic is wanted again."""

    asked: list[Asked] = field(default_factory=list)
    reads: list[tuple[float, int]] = field(default_factory=list)
    whole_after: float = 0.0
    lines_per_second: float = 0.0
    lost: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    integrity: str = ""

    @property
    def slowest(self) -> float:
        return max([one.seconds for one in self.asked] + [seconds for seconds, _ in self.reads])

    @property
    def refusals(self) -> Counter[str]:
        """How the creates that were not accepted were answered."""
        return Counter(f"{one.status} {one.reason}" for one in self.asked if one.status != 201)

    @property
    def failed_reads(self) -> int:
        return sum(status != 200 for _, status in self.reads)


class Callers:
    """Ask for instances, and read, at a steady rate, until told to end."""

    def __init__(self, server: Server, found: Found) -> None:
        self._server = server
        self._found = found
        self._tasks: list[asyncio.Task[None]] = []
        self._sent = 0

    async def run(self, known: str) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(
            self._server.url, headers=HEADERS, connector=connector, timeout=timeout
        ) as session:
            paths = ("/api/instances", f"/api/instances/{known}", f"/api/instances/{known}/events")
            async with asyncio.TaskGroup() as tasks:
                try:
                    while True:
                        tasks.create_task(self.create(session))
                        tasks.create_task(self._read(session, paths[self._sent % len(paths)]))
                        await asyncio.sleep(1 / PER_SECOND)
                except asyncio.CancelledError:
                    return

    async def create(self, session: aiohttp.ClientSession) -> int:
        """One create; its status, 0 when the connection broke."""
        self._sent += 1
        name, began = f"disk-{id(self):x}-{self._sent}", time.monotonic()
        try:
            async with session.post("/api/instances", json=order(name)) as answer:
                body = await answer.json()
                status, instance_id = answer.status, body.get("instanceId", "")
                error = body.get("error", {})
                reason = error.get("code", "") if error.get("message") else ""
        except (aiohttp.ClientError, TimeoutError) as broken:
            status, reason, instance_id = 0, type(broken).__name__, ""
        self._found.asked.append(Asked(name, began, time.monotonic() - began, status, reason, instance_id))
        return status

    async def _read(self, session: aiohttp.ClientSession, path: str) -> None:
        began = time.monotonic()
        try:
            async with session.get(path) as answer:
                await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        self._found.reads.append((time.monotonic() - began, status))


async def suffer(site: Site, trouble: Trouble, *, seconds: float, killed: bool, patience: float = 20.0) -> Found:
    """Serve under load while the trouble lasts; `killed`: the process does not survive it. Then judge what is left."""
    found = Found()
    server = await site.serve()
    known = await server.create("known")
    callers = Callers(server, found)
    running = asyncio.create_task(callers.run(known))
    await asyncio.sleep(0.3)

    trouble.begin(site.data, server.process.pid)
    began, lines = iso(time.time()), len(server.process.lines)
    await asyncio.sleep(seconds)
    # By its own time: what was said before is read late on a busy machine, and was said of work that went well.
    said = [json.loads(line) for line in server.process.lines[lines:] if line.startswith("{")]
    noise = [one for one in said if one["event"] != "request_served" and one["time"] > began]
    found.lines_per_second = len(noise) / seconds
    if killed:
        running.cancel()
        await running
        await server.process.kill()
    trouble.end()
    ended = time.monotonic()
    if killed:
        server = await site.serve()
    await whole(server, Callers(server, found) if killed else callers)
    found.whole_after = time.monotonic() - ended
    await asyncio.sleep(0.2)
    running.cancel()
    await running

    await server.process.kill()
    found.integrity = integrity(site)
    await site.serve()
    await judge(site, found, known, patience)
    return found


async def whole(server: Server, callers: Callers) -> None:
    """Until a create is accepted and readiness is promised."""
    async with aiohttp.ClientSession(server.url, headers=HEADERS) as session, asyncio.timeout(30):
        while True:
            status = await callers.create(session)
            async with session.get("/readyz") as answer:
                if (status, answer.status) == (201, 200):
                    return
            await asyncio.sleep(0.02)


def integrity(site: Site) -> str:
    """What SQLite says of the files that the killed process left."""
    copy = site.folder / "copy"
    copy.mkdir()
    for path in site.data.glob(f"{DATABASE}*"):
        shutil.copy(path, copy)
    with sqlite3.connect(copy / DATABASE) as reading:
        (answer,) = reading.execute("PRAGMA integrity_check").fetchone()
    reading.close()
    return str(answer)


async def judge(site: Site, found: Found, known: str, patience: float) -> None:
    """Every acknowledged create has its one machine; what was refused has none."""
    accepted = [known, *(one.instance_id for one in found.asked if one.status == 201)]

    def missing() -> list[str]:
        return [one for one in accepted if len(site.machines(one, ever=True)) != 1]

    try:
        await site.until(lambda: not missing(), seconds=patience)
    except TimeoutError:
        found.lost = missing()
    made = Counter(machine.name.rpartition("-")[0] for machine in site.simulator.world.ever())
    found.unasked = [one.name for one in found.asked if one.status not in {0, 201} and made[one.name]]


@asynccontextmanager
async def troubled(trouble: Trouble, starter: Forks, folder: Path) -> AsyncIterator[tuple[Site, str]]:
    """A site whose disk is prepared for the trouble, and why that cannot be done here."""
    folder.mkdir()
    data = folder / "data"
    data.mkdir(mode=0o700)
    lacking = trouble.prepare(data)
    try:
        async with open_site(starter, folder) as site:
            yield site, lacking
    finally:
        trouble.end()
        trouble.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", TROUBLES, ids=lambda kind: kind.__name__)
async def test_a_disk_in_trouble_refuses_writes_keeps_reads_and_loses_nothing(
    scale: Any, book: Any, forks: Forks, tmp_path: Path, kind: type[Trouble]
) -> None:
    """S5: 503 with a reason within 5 s; nothing acknowledged uncommitted; whole within 5 s after it clears, without a restart."""
    lasts = scale.pick(short=1.5, prove=30.0) if kind is HeldFile else scale.pick(short=0.8, prove=5.0)
    found: list[Found] = []
    for killed in scale.pick(short=(False,), prove=(False, True)):
        trouble = kind()
        async with troubled(trouble, forks, tmp_path / f"killed-{killed}") as (site, lacking):
            if lacking:
                book.left_out("S5", kind.name, why=lacking)
                return
            found.append(await suffer(site, trouble, seconds=3.0 if killed else lasts, killed=killed))

    survived = found[0]
    odd = sum((one.refusals for one in found), Counter())
    refused = odd.pop("503 STORE_UNAVAILABLE", 0)
    if len(found) > 1:
        odd.pop("0 ServerDisconnectedError", None), odd.pop("0 ClientOSError", None)  # the kill's doing
    accepted = sum(one.status == 201 for each in found for one in each.asked)
    book.figure("S5", f"{kind.name}: creates refused with 503 and a reason", refused, at_least=1)
    book.figure("S5", f"{kind.name}: creates answered in any other way", odd.total(), exactly=0)
    book.figure("S5", f"{kind.name}: reads that failed, of {len(survived.reads)}", survived.failed_reads, exactly=0)
    lost = sum(len(one.lost) for one in found)
    book.figure("S5", f"{kind.name}: acknowledged and lost, of {accepted} creates", lost, exactly=0)
    book.figure("S5", f"{kind.name}: refused and done all the same", sum(len(one.unasked) for one in found), exactly=0)
    book.figure("S5", f"{kind.name}: integrity_check not ok", sum(one.integrity != "ok" for one in found), exactly=0)
    slowest = max(one.slowest for one in found)
    book.figure("S5", f"{kind.name}: slowest answer", slowest, at_most=5.0, unit="s", timed=True)
    book.figure(
        "S5", f"{kind.name}: whole again after it clears", survived.whole_after, at_most=5.0, unit="s", timed=True
    )
    book.figure(
        "S5",
        f"{kind.name}: log lines a second besides one per request",
        survived.lines_per_second,
        at_most=5.0,
        timed=True,
    )


async def test_a_read_only_directory_at_the_start_is_said_in_one_line(book: Any, forks: Forks, tmp_path: Path) -> None:
    """S5: a server that cannot keep anything does not serve."""
    async with open_site(forks, tmp_path) as site:
        site.data.mkdir()
        try:
            lacking = freeze(site.data)
            if lacking:
                book.left_out("S5", "read-only directory at the start", why=lacking)
                return
            process = await site.run("serve")
            code = await process.end()
        finally:
            thaw(site.data)

    said = [line for line in process.entries() if line["event"] == "cannot_start"]
    book.figure("S5", "read-only directory at the start: lines that say why it does not serve", len(said), exactly=1)
    assert (code, str(site.data) in said[0]["why"]) == (1, True)


async def test_an_acknowledgement_without_a_commit_is_noticed(book: Any, tmp_path: Path) -> None:
    """The same check on a store that takes a failed commit for a success."""
    hopeful = Forks(PLANTED)
    trouble = FilesMayNotGrow()
    try:
        async with troubled(trouble, hopeful, tmp_path / "site") as (site, _):
            found = await suffer(site, trouble, seconds=0.5, killed=True, patience=3.0)
    finally:
        hopeful.close()

    book.planted("S5", "acknowledges what the disk refused", caught=bool(found.lost))
