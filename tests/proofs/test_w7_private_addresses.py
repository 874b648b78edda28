"""W7: nothing is ever sent to a private address, by webhook or by health check, however it is spelled and whatever leads to it.

Judged by canaries, which listen on every address of this machine, and by the interpreter, which tells each address that a socket is to
connect to. One address is listed by the operator; that it is reached shows that both can see.
"""

import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from novitai.egress.addresses import Guard
from novitai.egress.client import EgressClient
from novitai.egress.errors import EgressError
from proofs.planted.w7_check_then_connect import CheckThenConnect
from proofs.planted.w7_guard_in_the_resolver import GuardInTheResolver
from proofs.planted.w7_leaves_it_to_the_library import LeavesItToTheLibrary
from support.peers import ToldResolver
from support.private_addresses import ADDRESSES, LISTED, SPELLINGS, Canary, dials

OPERATOR = Guard([f"{LISTED}/32"])
PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")
SECONDS = 2.0

Make = Callable[[Guard, ToldResolver | None], EgressClient]
Call = Callable[[EgressClient, str], Awaitable[object]]


def guarded(guard: Guard, resolver: ToldResolver | None) -> EgressClient:
    """The client as the program has it."""
    return EgressClient(guard, connect_timeout=1.0, resolver=resolver)


async def webhook(client: EgressClient, authority: str) -> object:
    return await client.post(f"http://{authority}/", b"{}", {}, deadline_seconds=SECONDS)


async def http_check(client: EgressClient, authority: str) -> object:
    return await client.get(f"http://{authority}/", {}, deadline_seconds=SECONDS)


async def tcp_check(client: EgressClient, authority: str) -> object:
    host, _, port = authority.rpartition(":")
    return await client.connect_tcp(host.strip("[]"), int(port), deadline_seconds=SECONDS)


CALLS: tuple[Call, ...] = (webhook, http_check, tcp_check)


@dataclass
class Findings:
    """What was seen from outside. `answered`: calls that ended well although they should have been refused."""

    cases: Counter[str] = field(default_factory=Counter)
    canaries: int = 0
    dialled: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    listed: int = 0

    @property
    def violations(self) -> int:
        return self.canaries + len(self.dialled) + len(self.answered)


class Look:
    """One look at a client, way by way. `names` leads its names where they are to lead."""

    def __init__(self, client: EgressClient, names: ToldResolver, by_system: EgressClient, canary: Canary) -> None:
        self._client = client
        self._names = names
        self._by_system = by_system
        self._canary = canary
        self.found = Findings()

    async def literal(self, spelling: str) -> None:
        """The host is the address, and what is no address to us is asked of the system's resolver."""
        for call in CALLS:
            await self._refused("literal", call, self._by_system, f"{spelling}:{self._canary.port}")

    async def name(self, address: str) -> None:
        """The host is a name that leads there, alone or beside a good address."""
        for answers in ([address], [LISTED, address], [address, LISTED]):
            for call in CALLS:
                name = self._named(answers)
                await self._refused("DNS", call, self._client, f"{name}:{self._canary.port}")

    async def rebinding(self, address: str) -> None:
        """The name leads to a good address when it is asked first, and there ever after."""
        for call in CALLS:
            name = self._named([LISTED], [address])
            await self._tried("rebinding", call, self._client, f"{name}:{self._canary.port}")
            # Another port: a kept answer is not used for it.
            await self._refused("rebinding", call, self._client, f"{name}:{self._canary.other_port}")

    async def redirect(self, spelling: str) -> None:
        """A good address answers with the way there."""
        self._canary.leads_to = f"http://{spelling}:{self._canary.other_port}/"
        for call in (webhook, http_check):
            await self._tried("redirect", call, self._client, f"{LISTED}:{self._canary.port}")
        self._canary.leads_to = ""

    async def proxy(self, spelling: str) -> None:
        """The environment names it as the proxy for everything."""
        os.environ.update(dict.fromkeys(PROXIES, f"http://{spelling}:{self._canary.other_port}"))
        try:
            for call in CALLS:
                await self._tried("proxy environment", call, self._client, f"{LISTED}:{self._canary.port}")
        finally:
            for name in PROXIES:
                del os.environ[name]

    def _named(self, *answers: list[str]) -> str:
        name = f"h{len(self._names.names)}.example"
        self._names.names[name] = list(answers)
        return name

    async def _refused(self, way: str, call: Call, client: EgressClient, authority: str) -> None:
        if await self._tried(way, call, client, authority):
            self.found.answered.append(f"{way} {call.__name__} {authority}")

    async def _tried(self, way: str, call: Call, client: EgressClient, authority: str) -> bool:
        self.found.cases[way] += 1
        try:
            await call(client, authority)
        except EgressError:
            return False
        return True


@asynccontextmanager
async def looking(make: Make) -> AsyncIterator[Look]:
    """A look, with what canaries and interpreter saw noted at its end."""
    names = ToldResolver()
    async with Canary() as canary, make(OPERATOR, names) as client, make(OPERATOR, None) as by_system:
        look = Look(client, names, by_system, canary)
        with dials() as dialled:
            yield look
        look.found.canaries = canary.alarms
        look.found.listed = canary.touched[LISTED]
        look.found.dialled = [address for address in dialled if address != LISTED]


async def look_at(make: Make) -> Findings:
    """Every form by every way."""
    async with looking(make) as look:
        for spelling in SPELLINGS:
            await look.literal(spelling)
        for address in ADDRESSES:
            await look.name(address)
            await look.rebinding(address)
        for spelling in SPELLINGS:
            await look.redirect(spelling)
            await look.proxy(spelling)
    return look.found


async def test_no_form_of_a_private_address_is_reached_by_any_way(book) -> None:
    """0 connections at the canaries, 0 dialled, and the one listed address is reached."""
    found = await look_at(guarded)

    forms = len({*ADDRESSES, *(spelling.strip("[]") for spelling in SPELLINGS)})
    book.figure("W7", "forms of private, loopback and metadata addresses", forms, at_least=60)
    book.figure(
        "W7", f"calls by webhook and health check ({', '.join(found.cases)})", found.cases.total(), at_least=60 * 5
    )
    book.figure("W7", "connections that the canaries saw", found.canaries, exactly=0)
    book.figure("W7", "private addresses that a socket was told to connect to", len(found.dialled), exactly=0)
    book.figure("W7", "calls to a private address that got an answer", len(found.answered), exactly=0)
    book.figure("W7", "connections to the one address that the operator listed", found.listed, at_least=len(ADDRESSES))


async def test_no_list_of_the_operator_opens_a_metadata_service(book) -> None:
    """Whatever is allowed, those are refused."""
    everything = Guard(["0.0.0.0/0", "::/0"])
    found = Counter(everything.refusal(address) or "called" for address in METADATA_FORMS)

    book.figure(
        "W7", "forms of metadata addresses called when the operator lists everything", found["called"], exactly=0
    )


METADATA_FORMS = [
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::",
]


async def test_an_address_that_is_checked_and_then_resolved_again_is_noticed(book) -> None:
    """The same look at a client that checks first and connects by name."""
    async with looking(CheckThenConnect) as look:
        for address in ("127.0.0.1", "::1"):
            await look.rebinding(address)
    found = look.found

    book.planted("W7", f"check, then connect: {found.canaries} connections at the canaries", caught=found.canaries > 0)


async def test_a_guard_that_sits_in_the_resolver_alone_is_noticed(book) -> None:
    """The same look at a client that judges names only."""
    async with looking(GuardInTheResolver) as look:
        for spelling in ("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"):
            await look.literal(spelling)
    found = look.found

    book.planted(
        "W7", f"a guard in the resolver alone: {found.canaries} connections at the canaries", caught=found.canaries > 0
    )


async def test_redirects_and_proxies_that_are_left_to_the_library_are_noticed(book) -> None:
    """The same look at a client that judges only what it was asked for; each of the two by itself."""
    seen = {}
    for way in ("redirect", "proxy"):
        async with looking(LeavesItToTheLibrary) as look:
            for spelling in ("127.0.0.1", "[::1]"):
                await getattr(look, way)(spelling)
        seen[way] = look.found.canaries

    told = ", ".join(f"{count} by {way}" for way, count in seen.items())
    book.planted(
        "W7",
        f"redirects and proxies left to the library: connections at the canaries: {told}",
        caught=all(seen.values()),
    )
