"""SIGTERM under load: the door closes, what was begun is finished, and the process is gone within seconds."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count

import aiohttp
import pytest

from support.sites import KEY, Server, Site, order

PER_SECOND = 100
LONGEST_STOP = 10.0


@dataclass
class Load:
    """Requests at a steady rate, whether or not earlier ones are answered. `outcomes` counts statuses, refused connections (`closed`) and
    those that were reset (`unread`, which `served` proves).
    """

    server: Server
    outcomes: Counter[str] = field(default_factory=Counter)
    accepted: list[str] = field(default_factory=list)

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Until nobody listens any more."""
        async with asyncio.TaskGroup() as tasks:
            for number in count():
                if self.outcomes["closed"]:
                    return
                tasks.create_task(self._one(session, number))
                await asyncio.sleep(1 / PER_SECOND)

    async def _one(self, session: aiohttp.ClientSession, number: int) -> None:
        try:
            if number % 10 == 0:
                await self._create(session, number)
            else:
                async with session.get("/api/instances") as answer:
                    await answer.read()
                    self.outcomes[str(answer.status)] += 1
        except aiohttp.ClientConnectorError:
            self.outcomes["closed"] += 1
        except aiohttp.ClientError:
            self.outcomes["unread"] += 1  # the kernel took the connection in the instant in which the door was closed

    async def _create(self, session: aiohttp.ClientSession, number: int) -> None:
        async with session.post("/api/instances", json=order(f"load-{number}")) as answer:
            body = await answer.json()
            self.outcomes[str(answer.status)] += 1
            self.accepted.append(body["instanceId"])


@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept connections", "a connection each"])
async def test_a_server_that_is_told_to_stop_fails_nobody(site: Site, keep_alive: bool) -> None:
    """S2: at 100 requests a second no request fails, who waits is answered with what is known, and the exit code is 0 within 10 s."""
    server = await site.serve()
    site.fault("POST .*instance/create", "slow", seconds=0.2, count=-1)
    load = Load(server)
    connector = aiohttp.TCPConnector(force_close=not keep_alive, limit=0)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(server.url, headers=headers, connector=connector) as session:
        waiting_for = await server.create("waited-for")
        site.fault("GET .*", "hang", count=-1)
        polling = asyncio.create_task(server.ask("GET", f"/api/instances/{waiting_for}?wait=ready&timeout=60"))
        running = asyncio.create_task(load.run(session))
        await asyncio.sleep(1.0)

        told = time.monotonic()
        code = await server.process.terminate()
        took = time.monotonic() - told
        await running

    status, held = await polling
    assert (code, status, held["id"]) == (0, 200, waiting_for)
    assert took < LONGEST_STOP
    assert set(load.outcomes) <= {"200", "201", "closed", "unread"}, load.outcomes
    assert load.outcomes["200"] + load.outcomes["201"] == served(server), load.outcomes
    assert load.outcomes["unread"] <= 1
    print(f"stopped after {took:.2f} s; {dict(load.outcomes)}")

    site.simulator.faults.clear()
    server = await site.serve()
    for instance_id in [*load.accepted, waiting_for]:
        await server.reaches(instance_id, "ready")
        assert len(site.machines(instance_id, ever=True)) == 1


def served(server: Server) -> int:
    """Requests of the load that the server read, by its own log."""
    entries = [entry for entry in server.process.entries() if entry["event"] == "request_served"]
    return sum(entry["path"] == "/api/instances" for entry in entries) - 1
