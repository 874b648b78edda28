"""A2: every route is locked. Each route of the application by each way of not being allowed, judged by the answers alone; paths and headers that
are meant to get round the door, over real sockets; and how soon a key that was revoked stops working.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from novitai.api import app as application
from novitai.api.auth import GUESSES
from novitai.api.routing import GuardedRoute
from novitai.domain.keys import KeyLimits, Scope
from novitai.domain.lifecycle import State
from proofs.planted import a2_deaf_to_revocation, a2_declared_open, a2_unguarded_route
from support import builders
from support.api_house import House, open_house
from support.running import context
from support.sites import KEY, Server, forks, open_site

__all__ = ["forks"]

LINK = f"/api/instances/{builders.INSTANCE_ID}/snooze"
"""Behind the link in the announcement of an idle stop: its signed token is looked at instead of a key."""
OPEN = {("GET", path) for path in ("/healthz", "/readyz", "/health", "/docs", "/openapi.json", LINK)} | {("POST", LINK)}
"""What needs no key outside of production. One more is a decision that changes this list."""
REFUSED = frozenset({401, 403, 404})
BELOW = {Scope.READ: (), Scope.WRITE: (Scope.READ,), Scope.ADMIN: (Scope.READ, Scope.WRITE)}

Place = tuple[str, str]


def places(house: House) -> dict[Place, Scope | None]:
    """Every route with an id filled in, and the scope that it says it needs; one that says nothing counts as an admin's."""
    found: dict[Place, Scope | None] = {}
    for route in application.build_inner(house.parts).routes:
        path = re.sub(r"{\w+(:\w+)?}", builders.INSTANCE_ID, route.path)
        for method in route.methods:
            found[method, path] = route.rule.scope if isinstance(route, GuardedRoute) else Scope.ADMIN
    return found


async def strangers(house: House) -> dict[str, list[tuple[str, str]]]:
    """Every way of not being let in, as the headers that are sent."""
    keys = house.parts.keys
    admin = house.keys[Scope.ADMIN]
    soon = house.clock.now() + 1
    expired = await keys.make(context(), name="x", scope=Scope.ADMIN, expires_at=soon, limits=KeyLimits())
    revoked = await keys.make(context(), name="y", scope=Scope.ADMIN, expires_at=None, limits=KeyLimits())
    await keys.revoke(revoked.key.id, context())
    await house.clock.advance(2.0)
    return {
        "no key": [],
        "empty": [("Authorization", "")],
        "malformed": [("Authorization", "Token abc")],
        "basic": [("Authorization", f"Basic {admin}")],
        "bare": [("Authorization", admin)],
        "non-ASCII": [("Authorization", "Bearer nvk_ü_ß")],
        "unknown": [("Authorization", "Bearer nvk_0123456789ab_" + "A" * 43)],
        "revoked": [("Authorization", f"Bearer {revoked.text}")],
        "expired": [("Authorization", f"Bearer {expired.text}")],
        "cut short": [("Authorization", f"Bearer {admin[:-1]}")],
        "another case": [("Authorization", f"Bearer {admin.swapcase()}")],
        "two headers": [("Authorization", f"Bearer {admin}"), ("Authorization", f"Bearer {admin}")],
        "in a cookie": [("Cookie", f"key={admin}; Authorization=Bearer {admin}")],
        "in X-API-Key": [("X-API-Key", admin)],
    }


Found = dict[tuple[str, str, str], int]


async def answers(house: House) -> Found:
    """The status of every route for every caller that must not get in, by caller, method and path."""
    asked: Found = {}
    for number, (name, headers) in enumerate((await strangers(house)).items()):
        async with house.client(None, address=f"10.1.0.{number}") as client:
            sent = [(key.encode(), value.encode("latin-1")) for key, value in headers]
            for method, path in locked(house):
                asked[name, method, path] = await status_of(client, method, path, sent)
    return asked | await answers_below(house)


async def answers_below(house: House) -> Found:
    """The status of every route for every scope below the one that it says it needs."""
    asked: Found = {}
    for scope in (Scope.READ, Scope.WRITE):
        async with house.client(scope) as client:
            for (method, path), needed in locked(house).items():
                if scope in BELOW[needed]:
                    asked[f"only {scope}", method, path] = await status_of(client, method, path)
    return asked


async def status_of(client: Any, method: str, path: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> int:
    """How a request with a body that cannot be read is answered; an answer without an end (a stream) is a 200."""
    try:
        async with asyncio.timeout(0.3):
            return (await client.request(method, path, headers=list(headers), content=b"{not json")).status_code
    except TimeoutError:
        return 200


def locked(house: House) -> dict[Place, Scope]:
    """The routes that are not on the list of open ones, whatever they say of themselves."""
    return {place: scope or Scope.ADMIN for place, scope in places(house).items() if place not in OPEN}


def let_in(asked: Mapping[tuple[str, str, str], int]) -> list[str]:
    """What answered anything but a refusal."""
    return [f"{status} {' '.join(place)}" for place, status in asked.items() if status not in REFUSED]


@asynccontextmanager
async def furnished() -> AsyncIterator[House]:
    """A house in which the instance that is asked for exists."""
    async with open_house() as house:
        await house.have(builders.instance(State.READY))
        yield house


async def test_no_route_answers_whom_its_rule_keeps_out(book):
    """Whatever else is wrong with the request: it is not looked at."""
    async with furnished() as house:
        asked = await answers(house)
        routes = len(locked(house))

    book.figure("A2", "routes that need a key", routes, at_least=40)
    book.figure(
        "A2", "route by caller who must not get in (14 kinds, and lower scopes)", len(asked), at_least=14 * routes
    )
    book.figure("A2", "of them answered anything but 401, 403, 404", len(let_in(asked)), exactly=0)


@pytest.mark.parametrize("bug", [a2_deaf_to_revocation, a2_declared_open, a2_unguarded_route], ids=lambda bug: bug.BUG)
async def test_an_open_door_is_noticed(book, bug):
    """The same check on a program that has one."""
    with bug.planted():
        async with furnished() as house:
            asked = await answers(house)

    book.planted("A2", bug.BUG, caught=bool(let_in(asked)))


# ── over real sockets ────────────────────────────────────────────────────────────────────────────────────────────────

DETOURS = [
    "//api/instances",
    "/api//instances",
    "/./api/instances",
    "/healthz/../api/instances",
    "/healthz/..%2fapi/instances",
    "/healthz%2f..%2fapi%2finstances",
    "/%2e/api/instances",
    "/api/instances/",
    "/api/instances;/healthz",
    "/api/instances%3b",
    "/api/instances?/healthz",
    "/api/instances#/healthz",
    "/api/instances%00",
    "/API/INSTANCES",
    "/healthz/api/instances",
    "/docs/../api/instances",
    "/openapi.json/../api/keys",
    "http://127.0.0.1/api/instances",
    "http://127.0.0.1/healthz/../api/instances",
    "/api/instances?key={key}",
    "/api/instances?access_token={key}&authorization=Bearer%20{key}",
    "/api/instances/%2e%2e/%2e%2e/healthz",
    "/api\\instances",
    "*",
]
"""Targets by which doors elsewhere were got round."""

OVERRIDES = [
    {"X-HTTP-Method-Override": "GET"},
    {"X-Original-URL": "/healthz"},
    {"X-Rewrite-URL": "/healthz"},
    {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"},
    {"X-Forwarded-Prefix": "/healthz", "X-Forwarded-User": "admin", "Remote-User": "admin"},
    {"Host": "localhost", "X-Forwarded-Host": "localhost"},
]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get"]


async def raw(port: int, head: str) -> int:
    """The status of an answer to these lines; 0 when the connection was closed without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head.encode("latin-1") + b"\r\n\r\n")
        line = await asyncio.wait_for(reader.readline(), 10)
        return int(line.split()[1]) if line else 0
    finally:
        writer.close()


async def got_round(port: int, *, whole: bool) -> tuple[int, list[str]]:
    """How many requests without a key were made, and which of them were answered with success."""
    methods = METHODS if whole else METHODS[:3]
    heads = [
        "\r\n".join([f"{method} {target.format(key=KEY)} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())])
        for target in (*DETOURS, "/api/instances")
        for method in methods
        for fields in [{"Host": "x"}, *({"Host": "x"} | more for more in (OVERRIDES if whole else OVERRIDES[:1]))]
    ]
    statuses = [(await raw(port, head), head.partition("\r\n")[0]) for head in heads]
    return len(heads), [f"{status} {first}" for status, first in statuses if 200 <= status < 400 or status >= 500]


async def revoked_after(server: Server) -> tuple[float, int]:
    """Make a key, use it, revoke it: seconds until it is refused, and events told to its open stream after that."""
    _, made = await server.ask("POST", "/api/keys", {"name": "short", "scope": "read"})
    bearer = f"Bearer {made['key']}"

    async def works() -> bool:
        status, _ = await server.ask("GET", "/api/instances", Authorization=bearer)
        assert status in {200, 401, 429}  # the eleventh wrong key of a minute
        return status == 200

    assert await works()
    async with (
        aiohttp.ClientSession(server.url, headers={"Authorization": bearer}) as owner,
        owner.get("/api/events/stream") as stream,
    ):
        await stream.content.readuntil(b"\n\n")
        await server.ask("DELETE", f"/api/keys/{made['id']}")
        began = time.perf_counter()
        while await works():
            assert time.perf_counter() - began < 10
        seconds = time.perf_counter() - began
        later = await server.create(f"after-{made['id']}")
        told = await asyncio.wait_for(stream.content.read(), 20)
    return seconds, told.count(later.encode())


async def test_nothing_gets_round_the_door_and_a_revoked_key_is_refused_at_once(book, scale, forks, tmp_path):
    """On a server as it is run: odd targets, methods and headers; then keys that are revoked while they are in use."""
    async with open_site(forks, tmp_path) as site:
        server = await site.serve()
        port = int(server.url.rpartition(":")[2])
        asked, through = await got_round(port, whole=scale.name != "short")
        revocations = [await revoked_after(server) for _ in range(scale.pick(short=1, prove=20))]

    book.figure("A2", "requests without a key by way of odd targets, methods, headers", asked, at_least=75)
    book.figure("A2", "of them answered with success or a 5xx", len(through), exactly=0)
    slowest = max(seconds for seconds, _ in revocations)
    book.figure("A2", "revoked to refused, slowest", round(slowest, 4), at_most=1.0, unit="s", timed=True)
    told = sum(events for _, events in revocations)
    book.figure("A2", "events told to an open stream after its key was revoked", told, exactly=0)


# ── guessing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def guesses_answered(house: House, *, tries: int, addresses: list[str], **headers: str) -> list[int]:
    """The statuses of so many different wrong keys from an address each in turn, within one minute."""
    found = []
    for number in range(tries):
        async with house.client(None, address=addresses[number % len(addresses)]) as client:
            sent = {"Authorization": f"Bearer nvk_{number:012d}_{'A' * 43}", **headers}
            answer = await client.get("/api/instances", headers=sent)
            assert answer.status_code != 429 or 1 <= int(answer.headers["Retry-After"]) <= 60
            found.append(answer.status_code)
    return found


async def test_guessing_is_slowed_down_by_address_and_nobody_else_is_locked_out(book, scale):
    """Ten guesses a minute, whatever is said in `X-Forwarded-For`; the rest of the network, and callers with a real key, go on."""
    tries = scale.pick(short=40, prove=2_000)
    async with furnished() as house:
        found = await guesses_answered(house, tries=tries, addresses=["10.2.0.1"], **{"X-Forwarded-For": "192.0.2.1"})
        async with house.client(Scope.READ, address="10.2.0.2") as elsewhere:
            beside = (await elsewhere.get("/api/instances")).status_code
        async with house.client(Scope.READ, address="10.2.0.1") as behind:
            same = (await behind.get("/api/instances")).status_code

    book.figure(
        "A2", f"of {tries} wrong keys from one address in a minute, answered 401", found.count(401), at_most=GUESSES
    )
    book.figure("A2", "the others, answered 429", found.count(429), exactly=tries - GUESSES)
    assert (beside, same) == (200, 200)
