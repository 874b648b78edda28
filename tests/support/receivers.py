"""Whoever is called outward, without sockets: receivers of webhooks, and applications that are asked whether they answer.

`Receivers` stands in for the guarded client. Each URL answers as its script says, else 200 at once.
"""

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from novitai.egress.answers import Answer
from novitai.egress.client import EgressClient
from novitai.egress.errors import EgressError, TimedOut
from support.clock import FakeClock


@dataclass(frozen=True)
class Received:
    """A POST as it arrived."""

    at: float
    url: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def event(self) -> dict[str, Any]:
        return msgspec.json.decode(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass(frozen=True)
class Reply:
    """How one call is answered; `error` instead of an answer, `hangs` until the caller's deadline."""

    status: int = 200
    headers: Mapping[str, str] | None = None
    error: EgressError | None = None
    hangs: bool = False


class Receivers(EgressClient):
    """Keeps the interface of EgressClient and calls nobody."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.received: list[Received] = []
        self.asked: list[tuple[float, str]] = []
        self.under_way: defaultdict[str, int] = defaultdict(int)
        self.most_under_way: defaultdict[str, int] = defaultdict(int)
        self.healthy = True
        self.seconds = 0.0
        self._replies: defaultdict[str, deque[Reply]] = defaultdict(deque)
        self._always: dict[str, Reply] = {}

    def answer(self, url: str, *replies: Reply | int | EgressError) -> None:
        """The next answers of a URL."""
        self._replies[url] += [_reply(one) for one in replies]

    def always(self, url: str, reply: Reply | int | EgressError) -> None:
        """The answer of a URL when nothing else is scripted."""
        self._always[url] = _reply(reply)

    def events(self, url: str | None = None) -> list[str]:
        """Types of the events that arrived, in order."""
        return [one.event["type"] for one in self.received if url in {None, one.url}]

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, deadline_seconds: float = 15.0, max_body: int = 0
    ) -> Answer:
        self.received.append(Received(self._clock.now(), url, body, dict(headers)))
        reply = self._replies[url].popleft() if self._replies[url] else self._always.get(url, Reply())
        self.under_way[url] += 1
        self.most_under_way[url] = max(self.most_under_way[url], self.under_way[url])
        try:
            await self._clock.sleep(deadline_seconds if reply.hangs else self.seconds)
        finally:
            self.under_way[url] -= 1
        if reply.hangs:
            raise TimedOut(f"no complete answer within {deadline_seconds:g} s")
        if reply.error is not None:
            raise reply.error
        return Answer(status=reply.status, headers=reply.headers or {}, body_prefix=b"", elapsed_ms=1.0)

    async def get(
        self, url: str, headers: Mapping[str, str], *, deadline_seconds: float = 15.0, max_body: int = 0
    ) -> Answer:
        self.asked.append((self._clock.now(), url))
        await self._clock.sleep(0)
        return Answer(status=200 if self.healthy else 503, headers={}, body_prefix=b"ok", elapsed_ms=1.0)

    async def connect_tcp(self, host: str, port: int, *, deadline_seconds: float = 5.0) -> float:
        self.asked.append((self._clock.now(), f"{host}:{port}"))
        await self._clock.sleep(0)
        return 1.0

    async def close(self) -> None:
        pass


def _reply(given: Reply | int | EgressError) -> Reply:
    if isinstance(given, int):
        return Reply(status=given)
    return Reply(error=given) if isinstance(given, EgressError) else given
