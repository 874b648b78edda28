"""U4: whatever Novita, or what stands between, answers: an error of ours in bounded time and memory, and no instance is lost over it.

Three looks: true answers spoiled at random, read by the real client; a server on a real socket that misbehaves in every way we know; and the
whole program with a fleet, over hours of such answers. Verdicts come from outside: what is raised, the clock, the memory of the process,
Novita's own log and machines, and what the webhook receiver was told.
"""

import asyncio
import random
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from novita_simulator.account import REGISTRY_AUTH_ID
from novitai.coordination.local import LocalCoordination
from novitai.domain.errors import ProviderFailure
from novitai.domain.ids import MachineId
from novitai.domain.lifecycle import State
from novitai.domain.offers import Offer
from novitai.novita.calls import Effect, Reply, Request
from novitai.novita.provider import NovitaProvider
from novitai.novita.settings import NovitaSettings, Pacing
from novitai.ports.coordination import Share
from novitai.ports.provider import Call, MachineOrder, ProviderJobQuery
from novitai.resilience.breaker import BreakerSettings
from novitai.world import SystemClock
from support.builders import offer
from support.clock import FakeIds
from support.memory_store import MemoryDisk, MemoryStore
from support.receivers import Receivers
from support.running import HOOK, running
from support.simulation_loop import LoopClock, run_virtually
from support.strange_answers import DEEP, HTML, spoiled, unbelievable
from support.virtual_novita import VirtualNovita

ACT = Call(share=Share.ACT, longest_wait=60.0)
NO_LIMIT = {"public": 1_000_000, "internal": 1_000_000}
NEVER_OPENS = BreakerSettings(failure_threshold=1_000_000)
Verb = Callable[[NovitaProvider], Awaitable[object]]
MIB = 1024 * 1024


def order(place: Offer) -> MachineOrder:
    return MachineOrder(machine_name="u4-nvtest", offer=place, image_url="docker.io/library/nginx:1", rootfs_gb=60)


def verbs(machine: MachineId, place: Offer) -> dict[str, Verb]:
    """Everything that the program asks of Novita."""
    return {
        "list": lambda client: client.machines(1, 100, ACT),
        "get": lambda client: client.machine(machine, ACT),
        "create": lambda client: client.create(order(place), ACT),
        "create with a credential": lambda client: client.create(
            msgspec.structs.replace(order(place), image_auth_id=REGISTRY_AUTH_ID), ACT
        ),
        "start": lambda client: client.start(machine, ACT),
        "stop": lambda client: client.stop(machine, ACT),
        "restart": lambda client: client.restart(machine, ACT),
        "migrate": lambda client: client.migrate(machine, ACT),
        "delete": lambda client: client.delete(machine, ACT),
        "catalogue": lambda client: client.catalogue(ACT),
        "templates": lambda client: client.templates(ACT),
        "template": lambda client: client.template("107672", ACT),
        "credentials": lambda client: client.registry_auths(ACT),
        "storages": lambda client: client.network_storages(ACT),
        "jobs": lambda client: client.jobs(ProviderJobQuery(type="instanceMigrate"), ACT),
    }


# ── spoiled at random ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Survived:
    """How calls ended; `untyped` holds what should never be raised, with what was answered."""

    ended: Counter[str] = field(default_factory=Counter)
    untyped: list[str] = field(default_factory=list)


class Spoiling:
    """Keeps `novita.transport.Sender`: answers each call with the true answer to it, spoiled."""

    def __init__(self, truth: dict[str, Reply], chance: random.Random) -> None:
        self._truth, self._chance = truth, chance
        self.last: list[Reply] = []

    async def send(self, request: Request[Any], *, correlation_id: str, seconds: float) -> Reply:
        self.last.append(strange(self._truth[request.operation], self._chance))
        return self.last[-1]

    async def close(self) -> None:
        pass


async def truth() -> dict[str, Reply]:
    """The true answer to every call that the program makes, from the simulated Novita."""
    clock, answers = LoopClock(asyncio.get_running_loop()), {}
    novita = VirtualNovita(clock)
    client = novita.client(LocalCoordination(clock=clock, limits=NO_LIMIT, breaker=NEVER_OPENS))

    def note(request: Request[Any], reply: Reply) -> Reply:
        assert reply.succeeded, (request, reply)
        answers[request.operation] = reply
        return reply

    novita.spoil = note
    catalogue = await client.catalogue(ACT)
    product = next(one for one in catalogue.products if one.deployable)
    place = offer(catalogue.regions[0], product_id=product.id, billing_mode=product.billing_mode)
    machine = await client.create(order(place), ACT)
    asks = verbs(machine, place)
    in_order = ["list", "get", "stop", "start", "restart"]
    for kind in [*in_order, *sorted(set(asks) - {*in_order, "delete"}), "delete"]:
        await clock.sleep(600.0)
        await asks[kind](client)
    await client.close()
    return answers


async def spoiled_calls(answers: dict[str, Reply], count: int, seed: int) -> Survived:
    """So many calls of every kind, each with its answer spoiled, its status and its content type drawn."""
    clock, chance, found = LoopClock(asyncio.get_running_loop()), random.Random(seed), Survived()
    sender = Spoiling(answers, chance)
    settings = NovitaSettings(api_key="k", pacing=Pacing(attempts=1))
    coordination = LocalCoordination(clock=clock, limits=NO_LIMIT, breaker=NEVER_OPENS)
    client = NovitaProvider(
        settings, coordination=coordination, clock=clock, chance=FakeIds(), connect=lambda **_: sender
    )
    kinds = sorted(verbs(MachineId(msgspec.json.decode(answers["create"].body)["id"]), offer()).items())
    for number in range(count):
        kind, ask = kinds[number % len(kinds)]
        sender.last.clear()
        try:
            await ask(client)
            found.ended["an answer"] += 1
        except ProviderFailure as failure:
            found.ended[type(failure).__name__] += 1
        except Exception as error:
            found.untyped.append(f"{kind}: {error!r} over {sender.last}")
        if number % 50 == 0:
            await clock.sleep(61.0)  # what is remembered for a minute is asked for again
    await client.close()
    return found


def strange(reply: Reply, chance: random.Random) -> Reply:
    status = (
        reply.status
        if chance.random() < 0.7
        else chance.choice((200, 201, 204, 206, 299, 304, 400, 403, 404, 409, 418, 422, 429, 500, 520, 599))
    )
    kind = (
        reply.content_type
        if chance.random() < 0.7
        else chance.choice(("", "text/html", "application/json; charset=utf-7", "x", "\x7f"))
    )
    told = None if chance.random() < 0.8 else chance.choice(("-1", "soon", "9" * 30, "Fri, 31 Dec 9999 23:59:59 GMT"))
    return replace(reply, status=status, content_type=kind, retry_after=told, body=spoiled(reply.body, chance))


def test_no_spoiled_answer_is_more_than_an_error_of_ours(scale, book, quiet):
    """Whatever the bytes: read as far as they make sense, or refused with a name."""
    count = scale.pick(short=2_000, prove=40_000, full=400_000)

    found = run_virtually(spoiled_calls(run_virtually(truth()), count, seed=1))

    assert len(found.ended) >= 4, found.ended
    book.figure(
        "U4",
        f"answers spoiled at random, of 14 kinds of calls: errors that are not ours, in {count:,}",
        len(found.untyped),
        exactly=0,
    )


# ── on a real socket ──────────────────────────────────────────────────────────────────────────────────────────────────

Misbehave = Callable[[asyncio.StreamWriter], Awaitable[None]]
GIBIBYTE = 1024 * MIB


def says(*pieces: bytes) -> Misbehave:
    """These bytes, and the connection is closed."""

    async def say(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return say


def http(body: bytes, *, status: bytes = b"200 OK", headers: bytes = b"", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s" % (
        status,
        size,
        headers,
        body,
    )


def drips(first: bytes, seconds: float) -> Misbehave:
    """One byte after another, for longer than anybody waits."""

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(seconds)

    return drip


async def hangs(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def gigabyte(writer: asyncio.StreamWriter) -> None:
    """A body of a gibibyte, as announced."""
    writer.write(http(b"", length=GIBIBYTE))
    for _ in range(GIBIBYTE // MIB):
        writer.write(b" " * MIB)
        await writer.drain()


async def endless_chunks(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"100000\r\n" + b" " * MIB + b"\r\n")
        await writer.drain()


async def endless_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: " + b"a" * 1000 + b"\r\n")
        await writer.drain()


async def endless_continues(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        await writer.drain()
        await asyncio.sleep(0.001)


@cache
def bomb() -> bytes:
    """A gibibyte of blanks in about a megabyte: one packed block, a thousand times over."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    first, again = (packer.compress(b" " * MIB) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * 1023


async def zip_bomb(writer: asyncio.StreamWriter) -> None:
    writer.write(http(bomb(), headers=b"Content-Encoding: gzip\r\n"))
    await writer.drain()


MISBEHAVIOURS: dict[str, Misbehave] = {
    "a page of HTML as success": says(http(HTML)),
    "a page of HTML as 502": says(http(HTML, status=b"502 Bad Gateway")),
    "JSON cut, length as announced": says(http(b'{"instances": [{"id": "a", "sta')),
    "JSON cut, and the connection closed": says(http(b'{"instances": [', length=500)),
    "nothing": says(),
    "half a status line": says(b"HTTP/1.1 2"),
    "no HTTP": says(b"220 smtp.example.test ESMTP\r\n"),
    "a TLS alert": says(b"\x15\x03\x01\x00\x02\x02\x50"),
    "HTTP/9.9": says(b"HTTP/9.9 200 OK\r\n\r\n{}"),
    "status 999": says(http(b"{}", status=b"999 Odd")),
    "status 0": says(http(b"{}", status=b"000 Odd")),
    "a protocol switched": says(
        http(b"", status=b"101 Switching Protocols", headers=b"Upgrade: x\r\nConnection: upgrade\r\n")
    ),
    "a redirect to metadata": says(http(b"", status=b"302 Found", headers=b"Location: http://169.254.169.254/\r\n")),
    "two lengths": says(http(b"{}", headers=b"Content-Length: 7\r\n")),
    "a length and chunks": says(http(b"{}", headers=b"Transfer-Encoding: chunked\r\n")),
    "a negative length": says(http(b"{}", length=-5)),
    "a chunk that lies": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n{}"),
    "a chunk that is no number": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
    "gzip that is none": says(http(b"not gzip", headers=b"Content-Encoding: gzip\r\n")),
    "an unknown encoding": says(http(b"\x01\x02", headers=b"Content-Encoding: zstd\r\n")),
    "a header of a megabyte": says(b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * MIB + b"\r\n\r\n"),
    "a header with NUL": says(b"HTTP/1.1 200 OK\r\nX-N: a\x00b\r\nContent-Length: 2\r\n\r\n{}"),
    "JSON 50,000 deep": says(http(DEEP)),
    "a body of 1 GiB": gigabyte,
    "chunks without end": endless_chunks,
    "1 GiB in 1 MiB of gzip": zip_bomb,
    "headers without end": endless_headers,
    "100 Continue without end": endless_continues,
    "a byte now and then": drips(http(b"", length=1000), 0.05),
    "one byte a second": drips(http(b"", length=1000), 1.0),
    "a header now and then": drips(b"HTTP/1.1 200 OK\r\nX-A: ", 0.05),
    "no answer at all": hangs,
}


class Rogue:
    """A server on loopback that reads a request and then misbehaves as told; sound while it is told nothing."""

    def __init__(self) -> None:
        self.misbehave: Misbehave = says(http(b'{"instances": [], "total": 0}'))
        self._under_way: set[Any] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._under_way.add(asyncio.current_task())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(length[0] if length else 0)
            await self.misbehave(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has had enough
        finally:
            writer.close()

    async def end(self) -> None:
        """Nobody is served any more."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await asyncio.sleep(0)


@asynccontextmanager
async def misbehaving(deadline: float) -> AsyncIterator[tuple[Rogue, NovitaProvider]]:
    """The server, and a client of ours that calls it."""
    rogue, clock = Rogue(), SystemClock()
    listener = await asyncio.start_server(rogue.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    coordination = LocalCoordination(clock=clock, limits=NO_LIMIT, breaker=NEVER_OPENS)
    settings = NovitaSettings(api_key="k", api_base_url=url, pacing=Pacing(attempts=1, request_timeout=deadline))
    client = NovitaProvider(settings, coordination=coordination, clock=clock, chance=FakeIds())
    try:
        yield rogue, client
    finally:
        await client.close()
        listener.close()
        await rogue.end()
        await coordination.close()


@dataclass
class Met:
    """What became of calls to a misbehaving server."""

    calls: int = 0
    untyped: list[str] = field(default_factory=list)
    longest: float = 0.0
    sound_after: int = 0


async def met(names: list[str], kinds: list[str], *, deadline: float) -> Met:
    """Each kind of call to each misbehaviour; after each of them a sound answer must be heard."""
    found = Met()
    asks = verbs(MachineId("a1"), offer())
    async with misbehaving(deadline) as (rogue, client):
        sound = rogue.misbehave
        for name in names:
            rogue.misbehave = MISBEHAVIOURS[name]
            for kind in kinds:
                began = time.monotonic()
                try:
                    await asks[kind](client)
                except ProviderFailure:
                    pass
                except Exception as error:
                    found.untyped.append(f"{kind} met {name}: {error!r}")
                found.longest = max(found.longest, time.monotonic() - began)
                found.calls += 1
            rogue.misbehave = sound
            with suppress(ProviderFailure):
                await client.machines(1, 10, ACT)
                found.sound_after += 1
    return found


def memory(which: str) -> float:
    """MiB of this process: `VmRSS` now, `VmHWM` at most since `forget_peak`."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(which)) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="left out: the peak of memory is read from Linux"
)
def test_a_misbehaving_server_costs_a_bounded_time_and_memory(scale, book, quiet):
    """Pages, lies about lengths, bodies without end and one byte a second, on real sockets."""
    kinds = scale.pick(short=["list"], prove=["list", "create", "stop"], full=sorted(verbs(MachineId("a"), offer())))
    bomb()
    deadline = scale.pick(short=0.25, prove=1.0)
    asyncio.run(met(["a page of HTML as success"], ["list"], deadline=deadline))
    forget_peak()
    before = memory("VmRSS")

    found = asyncio.run(met(list(MISBEHAVIOURS), kinds, deadline=deadline))

    grown = memory("VmHWM") - before
    what = f"{found.calls} calls to a server that misbehaves in {len(MISBEHAVIOURS)} ways"
    book.figure("U4", f"{what}: errors that are not ours", len(found.untyped), exactly=0)
    book.figure(
        "U4",
        "by how much a call outlived its deadline, worst",
        max(0.0, found.longest - deadline),
        at_most=1,
        unit="s",
        timed=True,
    )
    book.figure(
        "U4", "growth of memory at most, with bodies of 1 GiB, zipped and without end", grown, at_most=64, unit="MiB"
    )
    book.figure(
        "U4",
        "misbehaviours after which a sound answer was not heard",
        len(MISBEHAVIOURS) - found.sound_after,
        exactly=0,
    )


# ── the whole program ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Fleet:
    """What was seen of a fleet over hours of strange answers."""

    calls: int
    changes: int
    machines_running: int
    told: list[str]
    not_ready: int


async def strange_hours(*, machines: int, hours: float, seed: int) -> Fleet:
    """A fleet that is ready, and then so many hours in which three of four answers are strange."""
    clock, chance = LoopClock(asyncio.get_running_loop()), random.Random(seed)
    novita = VirtualNovita(clock)
    receivers = Receivers(clock)  # type: ignore[arg-type]
    store = MemoryStore(MemoryDisk(), clock=clock)
    coordination = LocalCoordination(clock=clock, limits=NO_LIMIT, breaker=NEVER_OPENS)
    async with running(
        clock=clock,
        store=store,
        provider=novita.client(coordination),
        receivers=receivers,
        WEBHOOK_URL=HOOK,
        AUTO_STOP_ENABLED="false",
    ) as house:
        made = [await house.create(name=f"n{number}") for number in range(machines)]
        while any(house.state(one) is not State.READY for one in made):
            await clock.sleep(5.0)
        await clock.sleep(120.0)
        calls, told = len(novita.calls), len(receivers.received)

        def spoil(request: Request[Any], reply: Reply) -> Reply:
            if request.effect is not Effect.READ or chance.random() > 0.75:
                return reply
            return replace(reply, body=unbelievable(reply.body, chance))

        novita.spoil = spoil
        await clock.sleep(hours * 3600.0)
        novita.spoil = lambda _request, reply: reply
        await clock.sleep(300.0)
        during = novita.calls[calls:]
        return Fleet(
            calls=len(during),
            changes=sum(call.method != "GET" for call in during),
            machines_running=sum(one.status == "running" for one in novita.stage.world.machines.values()),
            told=receivers.events()[told:],
            not_ready=sum(house.state(one) is not State.READY for one in made),
        )


def test_no_instance_is_lost_over_hours_of_strange_answers(scale, book, quiet):
    """Nothing is stopped, deleted, bought or called lost because of an answer that makes no sense."""
    machines, hours = scale.pick(short=(10, 1.0), prove=(20, 12.0), full=(50, 72.0))

    fleet = run_virtually(strange_hours(machines=machines, hours=hours, seed=11))

    assert fleet.calls > hours * 60
    lost = machines - fleet.machines_running + fleet.not_ready
    book.figure("U4", f"instances lost, of {machines}, in {hours:g} hours with 3 of 4 answers strange", lost, exactly=0)
    book.figure("U4", "calls that changed something meanwhile", fleet.changes, exactly=0)
    book.figure("U4", "instances that receivers were told anything of meanwhile", len(fleet.told), exactly=0)
