"""Reading the event log, and following it over broken connections."""

from itertools import islice

import pytest

from novitai_client import AsyncClient, Client, NotAllowed, ServerAway
from unit.client.stand_in import Reply, StandIn, error

WHERE = "/api/events/stream"


def sent(*ids: int, tail: bytes = b"") -> Reply:
    """A connection that brings these events and ends."""
    chunks = [
        b": hello\n\n",
        *(b'id: %d\ndata: {"id": "%d", "type": "instance.ready"}\n\n' % (i, i) for i in ids),
        tail,
    ]
    return Reply(chunks=chunks)


def test_following_goes_on_after_the_last_event_seen(server: StandIn, client: Client) -> None:
    """The connection ends, even in the middle of an event: nothing is lost and nothing comes twice."""
    server.on(
        "GET", WHERE, sent(1, 2, tail=b"id: 3\ndata: {"), error(503, "STORE_UNAVAILABLE"), Reply(drop=True), sent(3, 4)
    )

    seen = [event.id for event in islice(client.follow_events(), 4)]

    assert seen == ["1", "2", "3", "4"]
    assert [asked.headers.get("last-event-id") for asked in server.asked] == [None, "2", "2", "2"]


def test_following_can_begin_after_a_known_event(server: StandIn, client: Client) -> None:
    server.on("GET", WHERE, sent(8))

    next(client.follow_events(last_event_id="7"))

    assert server.asked[0].headers["last-event-id"] == "7"


def test_a_refused_key_ends_it(server: StandIn, client: Client) -> None:
    server.on("GET", WHERE, error(401, "UNAUTHORIZED"))

    with pytest.raises(NotAllowed):
        next(client.follow_events())


def test_a_server_that_was_never_there_is_said_soon(server: StandIn, client: Client) -> None:
    server.on("GET", WHERE, Reply(drop=True))

    with pytest.raises(ServerAway):
        next(client.follow_events())

    assert len(server.asked) == 3


async def test_the_asyncio_client_follows_in_the_same_way(server: StandIn, async_client: AsyncClient) -> None:
    server.on("GET", WHERE, sent(1), sent(2))
    seen: list[str] = []

    async for event in async_client.follow_events():
        seen.append(event.id)
        if len(seen) == 2:
            break

    assert seen == ["1", "2"]


def test_the_log_is_read_page_by_page(server: StandIn, client: Client) -> None:
    """Of everything, or of one instance."""
    page = {"events": [{"id": "e1", "type": "instance.ready", "at": "2026-01-01T00:00:00Z", "before": "running"}]}
    server.on("GET", "/api/events", Reply(body={**page, "nextCursor": "c"}), Reply(body=page))
    server.on("GET", "/api/instances/trainer/events", Reply(body=page))

    everything = list(client.events())
    one = client.events_page("trainer", limit=5)

    assert [event.before for event in everything] == ["running", "running"]
    assert one.events[0].type == "instance.ready"
    assert server.asked[2].query == [("limit", "5")]
