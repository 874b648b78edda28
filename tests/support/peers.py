"""Peers for calls outward: raw listeners that behave as told and count who connects, and a resolver that answers as told."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

from aiohttp.abc import AbstractResolver

LOOPBACK = ["127.0.0.0/8", "::1/128"]

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Listener:
    """A TCP server that counts who connects, keeps what the first lines said, and then does what its handler does."""

    def __init__(self, handler: Handler | None, host: str) -> None:
        self.handler, self.host = handler, host
        self.connections = 0
        self.requests: list[bytes] = []
        self.port = 0

    async def open(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._server = await asyncio.start_server(self._meet, self.host, 0, family=family, backlog=2_000)
        self.port = self._server.sockets[0].getsockname()[1]
        self._writers: set[asyncio.StreamWriter] = set()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if self.handler is not None:
                await self.handler(reader, writer)
        self._writers.discard(writer)
        writer.close()

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        """Read one request, as far as its length says."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        whole = head + await reader.readexactly(length)
        self.requests.append(whole)
        return whole

    def url(self, path: str = "/") -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{path}"

    async def close(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)


class ToldResolver(AbstractResolver):
    """Answers each name with its next list of addresses; the last one stays."""

    def __init__(self, **names: list[list[str]]) -> None:
        self.names = {name.replace("_", "."): answers for name, answers in names.items()}
        self.asked: list[str] = []

    async def resolve(self, host, port=0, family=socket.AF_UNSPEC):
        self.asked.append(host)
        answers = self.names.get(host)
        if answers is None:
            raise OSError(None, "Name or service not known")
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in addresses
        ]

    async def close(self):
        pass
