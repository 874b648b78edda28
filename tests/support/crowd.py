"""A crowd of endpoints behind one port, some of which misbehave; each is a path, `/<manner>/<number>`.

Told from outside: when each event arrived first, and how long a caller stayed with an endpoint that gave it no proper answer.
"""

import asyncio
import contextlib
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

OK = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
HANGING = ("silent", "slow-head", "slow-body", "turning")
FLOODING = ("endless", "bomb")


@dataclass
class Crowd:
    """The endpoints, once started. Those of the manner `turning` answer until `turned` is set."""

    url: str = ""
    arrived: dict[str, float] = field(default_factory=dict)
    stays: list[tuple[str, float]] = field(default_factory=list)
    turned: bool = False
    hanging: int = 0
    most_hanging: int = 0

    def __post_init__(self) -> None:
        self._news = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._bomb = _bomb()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0, backlog=2_000)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def until(self, told: Callable[[], bool], *, seconds: float) -> bool:
        """Wait until something has arrived; False when it has not in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(told)
        return told()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began = time.monotonic()
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            manner = await self._take(reader)
            if manner == "good" or (manner == "turning" and not self.turned):
                writer.write(OK)
                await writer.drain()
            else:
                await self._misbehave(manner, reader, writer)
                self.stays.append((manner, time.monotonic() - began))
        writer.close()

    async def _take(self, reader: asyncio.StreamReader) -> str:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        await reader.readexactly(int(headers["content-length"]))
        self.arrived.setdefault(headers["webhook-id"], time.time())
        async with self._news:
            self._news.notify_all()
        return head.split("/", 2)[1]

    async def _misbehave(self, manner: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the caller goes away."""
        self.hanging += 1
        self.most_hanging = max(self.most_hanging, self.hanging)
        doing = asyncio.create_task(self._do(manner, writer))
        try:
            await reader.read()
        finally:
            self.hanging -= 1
            doing.cancel()
            await asyncio.gather(doing, return_exceptions=True)

    async def _do(self, manner: str, writer: asyncio.StreamWriter) -> None:
        match manner:
            case "slow-head":
                await _drip(writer, b"HTTP/1.1 200 OK\r\n" + b"X-More: yes\r\n" * 10_000)
            case "slow-body":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                await _drip(writer, b"x" * 100_000)
            case "endless":
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    writer.write(b"x" * 65_536)
                    await writer.drain()
            case "bomb":
                head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(self._bomb)
                writer.write(head + self._bomb)


async def _drip(writer: asyncio.StreamWriter, text: bytes) -> None:
    for place in range(len(text)):
        writer.write(text[place : place + 1])
        await asyncio.sleep(0.2)


def _bomb() -> bytes:
    """200 kB that would become 200 MB."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([packer.compress(bytes(10_000_000)) for _ in range(20)]) + packer.flush()
