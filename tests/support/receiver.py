"""A receiver of webhooks with a ledger: what arrived, byte for byte, when, and what was answered. It can misbehave."""

import asyncio
import json
import random
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from aiohttp import web

Manner = Literal["ok", "503", "429", "reset", "lost"]
"""How an arrival is answered. `lost`: taken into the ledger, but the acknowledgement never gets back."""
UNLUCKY: tuple[Manner, ...] = ("503", "429", "reset", "lost")


@dataclass(kw_only=True)
class Arrival:
    """One attempt as it arrived."""

    id: str
    body: bytes
    headers: dict[str, str]
    at: float
    manner: Manner
    target: str = "/hooks"

    @cached_property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass
class Receiver:
    """`failing`: the share of arrivals that are not acknowledged, each in one of the `unlucky` manners."""

    failing: float = 0.0
    unlucky: tuple[Manner, ...] = UNLUCKY
    seed: int = 0
    url: str = ""
    ledger: list[Arrival] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._arrived = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._told: dict[str, dict[int, str]] = defaultdict(dict)

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hooks"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    # ── the ledger ──

    def types(self, instance_id: str) -> list[str]:
        """The types of an instance's acknowledged events, in their own order."""
        events = self._told[instance_id]
        return [events[sequence] for sequence in sorted(events)]

    def bodies(self) -> dict[str, set[bytes]]:
        """The different bodies that came under each id: never more than one."""
        found: dict[str, set[bytes]] = defaultdict(set)
        for arrival in self.ledger:
            found[arrival.id].add(arrival.body)
        return found

    def sequences(self) -> dict[str, list[int]]:
        """The sequence numbers acknowledged for each instance, sorted."""
        return {instance_id: sorted(events) for instance_id, events in self._told.items() if events}

    async def until(self, told: Callable[[], bool], *, seconds: float = 20.0) -> None:
        """Wait until the ledger shows something."""
        async with asyncio.timeout(seconds), self._arrived:
            await self._arrived.wait_for(told)

    # ── the wire ──

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        unlucky = self._chance.random() < self.failing
        manner = self._chance.choice(self.unlucky) if unlucky else "ok"
        arrival = Arrival(
            id=request.headers["webhook-id"],
            body=body,
            headers=dict(request.headers),
            at=time.time(),
            manner=manner,
            target=request.path_qs,
        )
        self.ledger.append(arrival)
        if manner == "ok" and arrival.event["instanceId"]:
            self._told[arrival.event["instanceId"]][arrival.event["sequence"]] = arrival.event["type"]
        async with self._arrived:
            self._arrived.notify_all()
        if manner in {"reset", "lost"} and request.transport is not None:
            connection = request.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", int(manner == "reset"), 0))
            request.transport.abort()
        return web.Response(status=int(manner) if manner.isdigit() else 204)
