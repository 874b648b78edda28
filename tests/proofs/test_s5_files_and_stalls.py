"""S5: what else the machine does to a process: no more files may be opened, thousands of callers stay connected, the whole process is held
still for seconds. It sheds what it cannot serve, burns no processor over it, floods no log, and is whole again by itself.

Judged by callers, by the kernel's count of processor time, and by the lines of the log.
"""

import asyncio
import os
import resource
import signal
import socket
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support.processes import Forks
from support.sites import KEY, Server, Site, forks, open_site, order

__all__ = ["forks"]

HEADERS = {"Authorization": f"Bearer {KEY}"}
STALL = 6.0
"""Seconds; more than the five that count as a stall."""
TICKS = os.sysconf("SC_CLK_TCK")
USUAL = ("WEBHOOK_RETRY_SCHEDULE", "INSTANCE_POLL_INTERVAL", "INSTANCE_FAST_POLL_INTERVAL", "HEALTH_CHECK_INTERVAL")
"""Settings left at their defaults: how often something is tried again decides how much there is to be said."""
ONCE = aiohttp.ClientTimeout(total=5.0)


@dataclass
class Shortage:
    """What callers and kernel saw while no further file could be opened."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    processor: float = 0.0
    noise: float = 0.0
    whole_after: float = 0.0
    kept_alive: int = 0


async def fetch(server: Server, path: str = "/api/instances", method: str = "GET", **body: Any) -> int | str:
    """One request on a connection of its own: its status, or how it was refused."""
    try:
        async with (
            aiohttp.ClientSession(headers=HEADERS, timeout=ONCE) as session,
            session.request(method, server.url + path, **body) as answer,
        ):
            await answer.read()
            return answer.status
    except aiohttp.ClientError:
        return "refused"
    except TimeoutError:
        return "hung"


async def out_of_files(site: Site, *, seconds: float) -> Shortage:
    """Let the process open no further file for a while, with callers who come all the same, and one who was there before."""
    found = Shortage()
    server = await site.serve(**dict.fromkeys(USUAL))
    pid = server.process.pid
    await server.create("known")
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    async with aiohttp.ClientSession(server.url, headers=HEADERS, timeout=ONCE) as session:
        async with session.get("/api/instances") as answer:
            await answer.read()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (first_free_file(pid), usual[1]))
        used, lines, began = processor_seconds(pid), len(server.process.lines), time.monotonic()
        while time.monotonic() - began < seconds:
            asked = time.monotonic()
            found.outcomes[str(await fetch(server))] += 1
            found.slowest = max(found.slowest, time.monotonic() - asked)
            async with session.get("/api/instances") as answer:
                await answer.read()
                found.kept_alive += answer.status == 200
            await asyncio.sleep(0.1)
        found.processor = (processor_seconds(pid) - used) / seconds
        noise = [line for line in server.process.lines[lines:] if '"request_served"' not in line]
        found.noise = len(noise) / seconds
    resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
    ended = time.monotonic()
    async with asyncio.timeout(30):
        while await fetch(server, method="POST", json=order("after")) != 201 or await fetch(server, "/readyz") != 200:
            await asyncio.sleep(0.02)
    found.whole_after = time.monotonic() - ended
    return found


def first_free_file(pid: int) -> int:
    """The number that the next file to be opened would have: with the limit there, none can be opened."""
    taken = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def processor_seconds(pid: int) -> float:
    """What the process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@pytest.mark.alone
async def test_a_server_that_may_open_no_more_files_sheds_and_recovers(
    scale: Any, book: Any, forks: Forks, tmp_path: Path
) -> None:
    """S5: newcomers are refused at once, those who are connected are served, and no processor is burnt over it."""
    async with open_site(forks, tmp_path) as site:
        found = await out_of_files(site, seconds=scale.pick(short=2.0, prove=15.0))

    odd = found.outcomes.total() - found.outcomes["refused"] - found.outcomes["503"] - found.outcomes["200"]
    book.figure(
        "S5", "out of files: newcomers turned away", found.outcomes["refused"] + found.outcomes["503"], at_least=1
    )
    book.figure("S5", "out of files: newcomers who hung or got another answer", odd, exactly=0)
    kept = found.outcomes.total() - found.kept_alive
    book.figure("S5", "out of files: requests on a connection of before that failed", kept, exactly=0)
    book.figure("S5", "out of files: log lines a second besides one per request", found.noise, at_most=6.0, timed=True)
    book.figure("S5", "out of files: share of a core", found.processor, at_most=0.3, timed=True)
    book.figure("S5", "out of files: slowest refusal", found.slowest, at_most=5.0, unit="s", timed=True)
    book.figure("S5", "out of files: whole again after it ends", found.whole_after, at_most=5.0, unit="s", timed=True)


@pytest.mark.alone
async def test_a_process_that_was_held_still_says_so_and_is_ready_again_soon(
    book: Any, forks: Forks, tmp_path: Path
) -> None:
    """S5: a stall is seen by whoever distributes traffic, by the metrics, and by one line in the log."""
    async with open_site(forks, tmp_path) as site:
        server = await site.serve()
        assert await fetch(server, "/readyz") == 200
        os.kill(server.process.pid, signal.SIGSTOP)
        await asyncio.sleep(STALL)
        os.kill(server.process.pid, signal.SIGCONT)
        went_on = time.monotonic()
        seen_after, ready_after = await readiness(server, went_on)
        _, metrics = await server.ask("GET", "/api/metrics")
        lines = [line for line in server.process.entries() if line["event"] == "event_loop_stalled"]

    book.figure("S5", "held still for 6 s: lines in the log about it", len(lines), exactly=1)
    book.figure("S5", "held still for 6 s: not ready after", seen_after, at_most=1.0, unit="s", timed=True)
    book.figure("S5", "held still for 6 s: ready again after", ready_after, at_most=10.0, unit="s", timed=True)
    assert metrics["eventLoopLagSeconds"]["sumSeconds"] > STALL - 1.0


async def readiness(server: Server, since: float) -> tuple[float, float]:
    """When `/readyz` first said no, and when it said yes again, in seconds since a moment."""
    seen: float | None = None
    async with asyncio.timeout(20):
        while True:
            status = await fetch(server, "/readyz")
            if seen is None and status == 503:
                seen = time.monotonic() - since
            if seen is not None and status == 200:
                return seen, time.monotonic() - since
            await asyncio.sleep(0.05)


def until_all_closed(talks: list[socket.socket]) -> None:
    for talk in talks:
        with suppress(ConnectionResetError):
            while talk.recv(4096):
                pass


@pytest.mark.alone
@pytest.mark.timeout(300)
async def test_thousands_of_silent_connections_keep_nobody_out_for_long(
    scale: Any, book: Any, forks: Forks, tmp_path: Path
) -> None:
    """S5: who says nothing is closed within seconds, and who is too many is turned away at once."""
    wanted = scale.pick(short=300, prove=2_500)
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed < 2 * wanted + 200:
        book.left_out("S5", "thousands of silent connections", why=f"only {allowed} files may be opened here")
        return
    async with open_site(forks, tmp_path) as site:
        server = await site.serve()
        port = int(server.url.rpartition(":")[2])
        with ExitStack() as silent:
            talks = [
                silent.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)) for _ in range(wanted)
            ]
            began = time.monotonic()
            outcomes = Counter([str(await fetch(server)) for _ in range(20)])
            async with asyncio.timeout(60):
                while await fetch(server) != 200:
                    await asyncio.sleep(0.05)
            served_after = time.monotonic() - began
            if scale.name != "short":
                await asyncio.to_thread(until_all_closed, talks)
            closed_after = time.monotonic() - began
        noise = [line for line in server.process.entries() if line["event"] == "connections_refused"]

    hung = outcomes.total() - outcomes["200"] - outcomes["503"] - outcomes["refused"]
    book.figure("S5", f"{wanted:,} silent connections: requests that hung", hung, exactly=0)
    book.figure(
        "S5", f"{wanted:,} silent connections: others served after", served_after, at_most=15.0, unit="s", timed=True
    )
    book.figure("S5", f"{wanted:,} silent connections: lines about callers turned away", len(noise), at_most=1)
    if scale.name != "short":
        book.figure(
            "S5", f"{wanted:,} silent connections: all closed after", closed_after, at_most=15.0, unit="s", timed=True
        )
