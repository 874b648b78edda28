"""Addresses that must never be called, in every spelling that some resolver, library or network takes for one, and canaries that sing when
somebody connects.
"""

import asyncio
import contextlib
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

LISTED = "127.0.0.9"
"""Stands for a public address: nearer than one, and listed by the operator. That it is reached shows that the canaries can see."""

SPELLINGS = [
    # loopback, as resolvers read it
    "127.0.0.1",
    "127.0.0.2",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "127.0.0.1.",
    "2130706433",
    "0x7f000001",
    "0x7f.0x0.0x0.0x1",
    "0X7F.1",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "0177.1",
    "127.0x0.0.01",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "\uff11\uff12\uff17.0.0.1",
    "%31%32%37.0.0.1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    # any address of this machine
    "0.0.0.0",
    "0",
    "0x0",
    "[::]",
    # IPv6 loopback, and IPv4 inside IPv6
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    # metadata services
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "169.254.170.2",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    # other people's networks, and what is nobody's
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.1.1",
    "198.18.0.1",
    "192.0.2.2",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[fe80::1%25lo]",
    "[fe80::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00::2]",
    "[ff02::1]",
    "[2001:db8::1]",
]

ADDRESSES = [
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "0.0.0.0",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:0:7f00:1",
    "::7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "fd00:ec2::254",
    "fd20:ce::254",
    "169.254.170.2",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.1.1",
    "198.18.0.1",
    "192.0.2.2",
    "224.0.0.1",
    "255.255.255.255",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd00::2",
]
"""What a name can lead to."""

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


class Canary:
    """Listens on every address of this machine, IPv4 and IPv6, on two ports; tells at which address it was reached, and how often.

    The listed address answers, so that a call to it is a success; with a redirect to `leads_to` when that is set, and to the canary
    itself under the path `/redirect`.
    """

    def __init__(self) -> None:
        self.touched: Counter[str] = Counter()
        self.leads_to = ""
        self._servers: list[asyncio.Server] = []
        self._meetings: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self.port = await self._open()
        self.other_port = await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        meetings = list(self._meetings)
        for meeting in meetings:
            meeting.cancel()
        await asyncio.gather(*meetings, return_exceptions=True)
        await asyncio.sleep(0)  # closed connections are told so in the next round

    @property
    def alarms(self) -> int:
        """Connections anywhere but at the listed address."""
        return self.touched.total() - self.touched[LISTED]

    async def _open(self) -> int:
        four = await asyncio.start_server(self._meet, "0.0.0.0", 0, backlog=500)
        port: int = four.sockets[0].getsockname()[1]
        six = await asyncio.start_server(self._meet, "::", port, family=socket.AF_INET6, backlog=500)
        self._servers += [four, six]
        return port

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at = str(writer.get_extra_info("sockname")[0])
        self.touched[at] += 1
        meeting = asyncio.current_task()
        assert meeting is not None
        self._meetings.add(meeting)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                if at == LISTED:
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._answer(head.split(b" ")[1]))
                    await writer.drain()
        finally:
            self._meetings.discard(meeting)
            writer.close()

    def _answer(self, path: bytes) -> bytes:
        leads_to = f"http://127.0.0.1:{self.other_port}/" if path == b"/redirect" else self.leads_to
        if not leads_to:
            return _ANSWER
        return f"HTTP/1.1 307 Moved\r\nLocation: {leads_to}\r\nContent-Length: 0\r\n\r\n".encode()


@contextmanager
def dials() -> Iterator[list[str]]:
    """Every address that this process's sockets are told to connect to, as the interpreter sees it: also those that no canary can sit on."""
    seen: list[str] = []
    _LISTENERS.append(seen)
    _listen_once()
    try:
        yield seen
    finally:
        _LISTENERS.remove(seen)


_LISTENERS: list[list[str]] = []
_LISTENING: list[bool] = []


def _listen_once() -> None:
    if not _LISTENING:
        _LISTENING.append(True)
        sys.addaudithook(_note)  # for good: an audit hook cannot be taken away


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect" and _LISTENERS:
        address = arguments[1]
        if isinstance(address, tuple):
            for listener in _LISTENERS:
                listener.append(str(address[0]))
