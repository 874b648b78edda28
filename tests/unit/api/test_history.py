"""What happened to an instance, and following it as it happens."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from novitai.api.streams import BEAT_SECONDS, QUEUE_LENGTH
from novitai.domain.events import Fact, FactType
from novitai.domain.keys import KeyLimits, Scope
from novitai.domain.lifecycle import State
from support import builders
from support.api_house import House
from support.asking import create_body
from support.clock import settle
from support.running import context

ID = builders.INSTANCE_ID
SYSTEM_FACT = Fact(type=FactType.AUTH_FAILED, at=builders.NOW, actor="system")


async def test_events_are_listed_newest_first_with_who_and_why(house: House, admin):
    """By all, by type, by instance, in pages."""
    await house.have(builders.instance(State.READY))
    await admin.post(f"/api/instances/{ID}/stop", json={"reason": "lunch"}, headers={"X-Correlation-ID": "story-1"})
    made = (await admin.post("/api/instances", json=create_body())).json()

    everything = (await admin.get("/api/events")).json()
    stops = (await admin.get("/api/events?type=instance.stopping")).json()
    of_one = (await admin.get(f"/api/events?instanceId={made['instanceId']}")).json()
    first = (await admin.get("/api/events?limit=1")).json()
    second = (await admin.get("/api/events", params={"limit": 1, "cursor": first["nextCursor"]})).json()

    assert [event["type"] for event in everything["events"]] == ["instance.creating", "instance.stopping"]
    assert (stops["events"][0]["reason"], stops["events"][0]["correlationId"]) == ("lunch", "story-1")
    assert (stops["events"][0]["before"], stops["events"][0]["after"]) == ("ready", "stopping")
    assert of_one["total"] == 1
    assert (first["events"] + second["events"], second["nextCursor"]) == (everything["events"], None)


@pytest.mark.parametrize("query", ["type=instance.exploded", "type=instance.ready&instanceId=x", "cursor=abc"])
async def test_events_that_cannot_be_meant_are_refused(admin, query):
    """With what is allowed."""
    assert (await admin.get(f"/api/events?{query}")).status_code == 422


async def test_a_cursor_of_one_log_is_refused_by_another(house: House, admin):
    """It would skip silently."""
    for _ in range(2):
        await admin.post("/api/instances", json=create_body())
    cursor = (await admin.get("/api/events?limit=1")).json()["nextCursor"]

    assert (await admin.get("/api/events", params={"type": "instance.creating", "cursor": cursor})).status_code == 422


async def test_deliveries_never_show_the_tokens_of_an_address(house: House, admin):
    """Receivers keep them in the query."""
    made = (
        await admin.post("/api/instances", json=create_body(webhookUrl="https://example.com/hook?token=hush"))
    ).json()

    listed = await admin.get(f"/api/instances/{made['instanceId']}/deliveries")

    assert listed.json()["deliveries"][0]["url"] == "https://example.com/hook?…"
    assert "hush" not in listed.text


# ── the stream ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Reader:
    """A reader of the stream over plain ASGI, one message at a time. `slow`: it does not take what it is sent."""

    def __init__(self) -> None:
        self.status = 0
        self.text = ""
        self.ended = asyncio.Event()
        self.left = asyncio.Event()
        self.taking = asyncio.Event()
        self.taking.set()

    async def send(self, message) -> None:
        await self.taking.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.text += message["body"].decode()

    async def receive(self):
        await self.left.wait()
        return {"type": "http.disconnect"}

    def events(self) -> list[dict]:
        lines = [line for line in self.text.splitlines() if line.startswith("data: ")]
        return [json.loads(line.removeprefix("data: ")) for line in lines]

    def ids(self) -> list[int]:
        return [int(line.removeprefix("id: ")) for line in self.text.splitlines() if line.startswith("id: ")]


@asynccontextmanager
async def following(house: House, *, last: str | None = None, key: str | None = None):
    """A reader of the stream, for a while."""
    headers = [(b"authorization", f"Bearer {key or house.keys[Scope.READ]}".encode())]
    headers += [(b"last-event-id", last.encode())] if last is not None else []
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/events/stream",
        "raw_path": b"/api/events/stream",
        "query_string": b"",
        "headers": headers,
        "client": ("10.0.0.1", 1),
        "server": ("house.test", 80),
        "scheme": "http",
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
        "root_path": "",
    }
    reader = Reader()
    task = asyncio.create_task(house.app(scope, reader.receive, reader.send))
    task.add_done_callback(lambda _: reader.ended.set())
    await settle()
    try:
        yield reader
    finally:
        reader.left.set()
        reader.taking.set()
        await task


async def test_the_stream_tells_events_as_they_happen(house: House, admin):
    """From now on; what was before is in the log."""
    await admin.post("/api/instances", json=create_body(name="before"))

    async with following(house) as reader:
        await admin.post("/api/instances", json=create_body(name="during"))
        await settle()

    assert reader.status == 200
    assert [event["type"] for event in reader.events()] == ["instance.creating"]
    assert "event: instance.creating\n" in reader.text


async def test_a_reader_that_comes_back_misses_nothing(house: House, admin):
    """`Last-Event-ID` is a place in the log; everything after it is told, once, in order."""
    async with following(house) as reader:
        await admin.post("/api/instances", json=create_body())
        await settle()
    for _ in range(3):
        await admin.post("/api/instances", json=create_body())

    async with following(house, last=str(reader.ids()[0])) as again:
        await admin.post("/api/instances", json=create_body())
        await settle()

    assert len(again.ids()) == 4
    assert again.ids() == sorted(set(again.ids()))
    assert again.ids()[0] > reader.ids()[0]


@pytest.mark.parametrize("last", ["abc", "-1", "1.5", "9" * 30])
async def test_a_place_that_is_none_is_refused(house: House, last):
    """It was not given by this stream."""
    async with following(house, last=last) as reader:
        assert reader.status == 422


async def test_a_quiet_stream_shows_signs_of_life(house: House):
    """So that a dead connection is noticed on both sides."""
    async with following(house) as reader:
        await house.clock.advance(BEAT_SECONDS)
        assert reader.text.count(": still here") == 1


async def test_what_another_replica_wrote_is_found_within_seconds(house: House, admin):
    """Only the log is shared; nobody calls."""
    async with following(house) as reader:
        await house.parts.ledger.tell([SYSTEM_FACT])
        await house.clock.advance(2.0)

    assert [event["type"] for event in reader.events()] == ["upstream.auth_failed"]


async def test_a_reader_that_does_not_keep_up_is_let_go(house: House, admin):
    """It can come back with its last id; others are not held up by it."""
    async with following(house) as slow, following(house) as quick:
        slow.taking.clear()
        facts = [SYSTEM_FACT for _ in range(QUEUE_LENGTH + 2)]
        for start in range(0, len(facts), 100):
            await house.parts.ledger.tell(facts[start : start + 100])
            await house.clock.advance(2.0)

        assert slow.ended.is_set()
        assert not quick.ended.is_set()
        assert len(quick.ids()) == len(facts)


async def test_a_reader_whose_key_is_revoked_is_let_go(house: House):
    """An open stream is no way around a revocation."""
    made = await house.parts.keys.make(context(), name="k", scope=Scope.READ, expires_at=None, limits=KeyLimits())
    async with following(house, key=made.text) as reader:
        await house.parts.keys.revoke(made.key.id, context())
        await house.clock.advance(BEAT_SECONDS)

        assert reader.ended.is_set()


async def test_streams_end_when_the_server_stops(house: House):
    """A deploy waits for nobody."""
    async with following(house) as reader:
        house.parts.shutting_down.set()
        await settle()

        assert reader.ended.is_set()
