"""Callers who send as slowly as they can, or come in thousands: on raw sockets, with the bounds made small."""

import asyncio
import resource
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from starlette.requests import Request

from novitai.api.bodies import TooSlow, read_body
from novitai.api.connections import LARGEST_HEAD, Bounds
from novitai.api.server import FILES_KEPT, Server, default_bounds

BRISK = Bounds(head_seconds=0.2, request_seconds=0.4, connections=8)
PATIENT = Bounds(head_seconds=0.2, request_seconds=1.5, connections=8)
"""For a route that runs out of patience long before the connection, on a busy machine, too."""
STEADY = Bounds(head_seconds=0.8, request_seconds=1.6, connections=8)
"""For a caller who is only slow, on a busy machine, too."""
LONG = 5.0
"""Waiting longer than this is a hang."""


@dataclass
class Application:
    """Answers GET at once, POST with the size of its body, and `/held` when it is let go."""

    letting_go: asyncio.Event = field(default_factory=asyncio.Event)
    bodies: list[int] = field(default_factory=list)

    async def __call__(self, scope, receive, send) -> None:
        if scope["path"] == "/held":
            await self.letting_go.wait()
        if scope["path"] == "/slow-refused":
            try:
                await read_body(Request(scope, receive), seconds=0.1)
            except TooSlow as refused:
                await self._answer(send, refused.status, str(refused).encode())
                return
        if scope["method"] == "POST" and scope["path"] != "/unread":
            self.bodies.append(len(await read_body(Request(scope, receive))))
        await self._answer(send, 200, b"ok")

    async def _answer(self, send, status: int, body: bytes) -> None:
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def open_door(bounds: Bounds = BRISK) -> AsyncIterator[tuple[Application, Server]]:
    app = Application()
    server = Server(app, host="127.0.0.1", port=0, shutting_down=asyncio.Event(), bounds=bounds)
    await server.start()
    try:
        yield app, server
    finally:
        app.letting_go.set()
        await server.stop()


class Talk:
    """One connection; what it hears until it is closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, server: Server) -> "Talk":
        return cls(*await asyncio.open_connection("127.0.0.1", server.port))

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def drip(self, data: bytes, every: float) -> None:
        """One byte at a time, until the other side has had enough."""
        for byte in data:
            self.say(bytes([byte]))
            await asyncio.sleep(every)
            if self.ended:
                return

    @property
    def ended(self) -> bool:
        """Whether the other side closes: to write on would break what is still to be read."""
        heard = bytes(self.reader._buffer)
        return self.reader.at_eof() or b"connection: close" in heard.lower() or self.reader._eof

    async def all(self) -> bytes:
        async with asyncio.timeout(LONG):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return bytes(self.reader._buffer)  # a byte that met the closed end hides nothing that was heard before
            finally:
                self.writer.close()

    async def one(self) -> bytes:
        async with asyncio.timeout(LONG):
            head = await self.reader.readuntil(b"\r\n\r\n")
            return head + await self.reader.readexactly(2)


GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def test_a_head_that_drips_is_ended():
    """However steadily the bytes come."""
    async with open_door() as (_, server):
        talk = await Talk.open(server)

        await talk.drip(b"GET / HTTP/1.1\r\nx: " + b"a" * 200, every=0.01)

        assert (await talk.all()).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("opening", [b"", b"\r\n\r\n"], ids=["silence", "blank lines"])
async def test_a_connection_that_never_asks_is_closed(opening):
    """Without an answer: there was no request."""
    async with open_door() as (_, server):
        talk = await Talk.open(server)

        await talk.drip(opening * 40, every=0.01)

        assert await talk.all() == b""


@pytest.mark.parametrize(
    ("length", "chunk"), [("content-length: 900000", b"x"), ("transfer-encoding: chunked", b"1\r\nx\r\n")]
)
async def test_a_body_that_drips_is_answered_408_by_its_route(length, chunk):
    """With its own, shorter patience. What comes later is not taken for a request, and its time runs out with the connection's."""
    async with open_door(PATIENT) as (_, server):
        talk = await Talk.open(server)
        talk.say(f"POST /slow-refused HTTP/1.1\r\nhost: x\r\n{length}\r\n\r\n".encode())

        await talk.drip(chunk * 200, every=0.01)
        answer = await talk.all()

        assert answer.startswith(b"HTTP/1.1 408")
        assert answer.endswith(b"the body did not arrive within 0.1 seconds")
        assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("path", ["/", "/unread"])
async def test_a_body_that_no_route_ends_is_ended_by_the_connection(path):
    """Also when the request was answered already, as a refused key is, and nobody reads on."""
    async with open_door() as (app, server):
        talk = await Talk.open(server)
        talk.say(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n\r\n".encode())

        await talk.drip(b"x" * 100, every=0.01)

        assert (await talk.all()).startswith(b"HTTP/1.1 200" if path == "/unread" else b"HTTP/1.1 408")
        assert app.bodies == []


async def test_a_request_that_arrives_in_time_is_served_and_so_is_the_next():
    """The time runs anew for each request of a connection, and not while its answer is awaited."""
    async with open_door(STEADY) as (app, server):
        talk = await Talk.open(server)
        for _ in range(3):
            await talk.drip(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc", every=0.002)
            assert (await talk.one()).startswith(b"HTTP/1.1 200")

        talk.say(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nhost")
        await asyncio.sleep(STEADY.head_seconds * 2.5)
        app.letting_go.set()
        assert (await talk.one()).startswith(b"HTTP/1.1 200")
        talk.say(b": x\r\n\r\n")

        assert (await talk.one()).startswith(b"HTTP/1.1 200")
        talk.writer.close()
        assert app.bodies == [3, 3, 3]


async def test_one_connection_too_many_is_answered_503_and_the_others_go_on():
    """There is room again when somebody leaves."""
    async with open_door(Bounds(connections=2)) as (_, server):
        first, second, third = [await Talk.open(server) for _ in range(3)]
        assert (await third.all()).startswith(b"HTTP/1.1 503")

        for talk in (first, second):
            talk.say(GET)
            assert (await talk.one()).endswith(b"ok")
        first.writer.close()
        await first.writer.wait_closed()
        async with asyncio.timeout(LONG):
            while True:
                again = await Talk.open(server)
                again.say(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
                if (await again.all()).startswith(b"HTTP/1.1 200"):
                    break
        second.writer.close()


@pytest.mark.parametrize("pieces", [1, 40], ids=["at once", "in pieces"])
async def test_a_head_larger_than_the_bound_is_431(pieces):
    """Whether it comes in one read or in many."""
    size = LARGEST_HEAD + 40_000
    async with open_door(Bounds()) as (_, server):
        talk = await Talk.open(server)
        talk.say(b"GET / HTTP/1.1\r\nhost: x\r\n")
        for _ in range(pieces):
            talk.say(b"x-a: " + b"a" * (size // pieces) + b"\r\n")
            await asyncio.sleep(0.002)
            if talk.ended:
                break
        else:
            talk.say(b"\r\n")

        answer = await talk.all()

        assert answer == b"" or answer.startswith(b"HTTP/1.1 431")


async def test_a_request_of_http_1_0_is_answered_and_its_connection_closed():
    """As old probes expect."""
    async with open_door() as (_, server):
        talk = await Talk.open(server)
        talk.say(b"GET / HTTP/1.0\r\n\r\n")

        assert b"connection: close" in await talk.all()


async def test_pipelined_requests_are_answered_in_their_order():
    """Each whole."""
    async with open_door() as (_, server):
        talk = await Talk.open(server)
        talk.say(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nab" + GET * 3)

        assert [(await talk.one())[-2:] for _ in range(4)] == [b"ok"] * 4
        talk.writer.close()


def test_callers_never_get_all_the_files_that_we_may_open():
    """Whoever fills the door must not keep us from calling Novita."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    bounds = default_bounds()

    assert 0 < bounds.connections <= max(64, allowed - FILES_KEPT)


def come_and_go(port: int, outcomes: Counter[str]) -> None:
    """Ask again and again on connections of their own, until refused."""
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=LONG) as talk:
                talk.sendall(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
                answer = b""
                while more := talk.recv(4096):
                    answer += more
                outcomes["answered" if answer.endswith(b"ok") else "cut off"] += 1
        except ConnectionRefusedError:
            return
        except OSError as error:
            outcomes[type(error).__name__] += 1


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's filter for newcomers is Linux's")
async def test_a_closing_door_resets_nobody_who_came_through_it():
    """Whoever got a connection is answered; who comes later is refused before they have sent anything."""
    outcomes: Counter[str] = Counter()
    async with open_door(Bounds()) as (_, server):
        callers = [asyncio.create_task(asyncio.to_thread(come_and_go, server.port, outcomes)) for _ in range(6)]
        await asyncio.sleep(0.1)

        await server.stop()
        await asyncio.gather(*callers)

    assert set(outcomes) == {"answered"}
    assert outcomes["answered"] > 20
