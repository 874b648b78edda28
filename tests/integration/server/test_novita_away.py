"""Novita does not answer at all: whoever reads waits for nobody, and what is asked for is accepted and done later."""

import asyncio
import time
from typing import Any

import aiohttp

from support.sites import KEY, Server, Site

PROMPT_SECONDS = 0.1
START_SECONDS = 5.0
INTERVAL = 0.5
STALE_SECONDS = 2 * INTERVAL + 1.0
"""Without a whole list for two intervals, and a second for the reading itself, what is shown is called stale."""


async def test_reads_and_stops_go_on_while_novita_is_silent(site: Site) -> None:
    """Serving does not wait for Novita: lists and details are prompt and say that they are stale; a stop is accepted, and done when
    Novita is back.
    """
    ids = await two_instances(site)
    site.fault(".*", "hang", count=-1)
    began = time.monotonic()
    server = await site.serve(INSTANCE_POLL_INTERVAL=f"{INTERVAL}s")
    up_after = time.monotonic() - began
    slowest = 0.0

    async with (
        asyncio.timeout(STALE_SECONDS + 1.0),
        aiohttp.ClientSession(server.url, headers={"Authorization": f"Bearer {KEY}"}) as session,
    ):
        stale: set[bool] = set()
        while stale != {True}:
            for path in (f"/api/instances/{ids[0]}", "/health", "/api/upstream", "/api/instances"):
                seconds, body = await timed(session, path)
                slowest = max(slowest, seconds)
            stale = {instance["stale"] for instance in body["instances"]}
            await asyncio.sleep(0.01)
        status, _ = await server.ask("POST", f"/api/instances/{ids[0]}/stop")

    assert up_after < START_SECONDS
    assert slowest < PROMPT_SECONDS
    assert {instance["id"] for instance in body["instances"]} == set(ids)
    assert status == 202
    print(f"listening after {up_after:.2f} s; slowest read {slowest * 1000:.0f} ms")

    site.simulator.faults.clear()
    assert not (await server.reaches(ids[0], "stopped"))["stale"]
    assert [machine.status for machine in site.machines(ids[0])] == ["exited"]


async def test_a_create_is_accepted_while_novita_is_silent_and_made_once_when_it_is_back(site: Site) -> None:
    """201 comes when the intent is durable; only what Novita must be asked first (an unknown catalogue) is told as away."""
    server = await site.serve()
    await warm(server)
    site.fault("POST .*", "hang", count=-1)

    made = await server.create("patient")
    await site.until(lambda: len(site.calls("POST", "instance/create")) == 1)
    await server.process.kill()
    site.simulator.faults.clear()
    server = await site.serve()

    await server.reaches(made, "ready")
    assert len(site.machines(made, ever=True)) == 1


async def two_instances(site: Site) -> list[str]:
    """Two that are ready; the server is killed then."""
    server = await site.serve()
    ids = [await server.create(f"away-{number}") for number in range(2)]
    for instance_id in ids:
        await server.reaches(instance_id, "ready")
    await server.process.kill()
    return ids


async def warm(server: Server) -> None:
    """Let the server know the catalogue."""
    status, answer = await server.ask("GET", "/api/offers?productName=RTX%204090%2024GB")
    assert status == 200, answer


async def timed(session: aiohttp.ClientSession, path: str) -> tuple[float, Any]:
    """Seconds and body of one read."""
    began = time.monotonic()
    async with session.get(path) as answer:
        body = await answer.json()
    return time.monotonic() - began, body
