"""Calls about instances, against a real server."""

from datetime import UTC, datetime
from uuid import UUID

import httpx2
import pytest

from novitai_client import AsyncClient, Client, HealthCheckSpec, Retries, UnexpectedAnswer
from unit.client.stand_in import Reply, StandIn, accepted, created, instance


def test_create_sends_what_was_given_and_nothing_else(server: StandIn, client: Client) -> None:
    """Every argument has its place in the body; the key of the caller is in the header."""
    server.on("POST", "/api/instances", Reply(201, created()))

    made = client.create(
        "trainer",
        product="RTX 4090 24GB",
        image_url="img:1",
        gpus=2,
        max_price=0.5,
        region=["CN-HK-01"],
        ports=["8080/http"],
        envs={"A": "1"},
        labels={"team": "nlp"},
        health_check=HealthCheckSpec(path="/up", timeout_ms=500),
        wait_for_capacity=1800,
    )

    [asked] = server.asked
    assert asked.body == {
        "name": "trainer",
        "productName": "RTX 4090 24GB",
        "imageUrl": "img:1",
        "gpuNum": 2,
        "maxPricePerHour": 0.5,
        "region": ["CN-HK-01"],
        "ports": [{"port": 8080, "type": "http"}],
        "envs": [{"key": "A", "value": "1"}],
        "labels": {"team": "nlp"},
        "healthCheck": {"path": "/up", "timeoutMs": 500},
        "waitForCapacity": "1800s",
    }
    assert asked.headers["authorization"] == "Bearer nvk_k1_secret"
    assert made.instance_id == "inst_1"
    assert made.estimated_ready_time == datetime(2026, 1, 1, 0, 4, tzinfo=UTC)
    assert made.offer is not None
    assert made.offer.candidates == 3


def test_every_change_carries_a_fresh_idempotency_key(server: StandIn, client: Client) -> None:
    server.on("POST", "/api/instances/inst_1/start", Reply(202, accepted("starting")))

    client.start("inst_1")
    client.start("inst_1")
    client.start("inst_1", idempotency_key="mine")

    first, second, mine = server.keys()
    assert UUID(str(first)) != UUID(str(second))
    assert mine == "mine"


def test_wait_asks_the_server_to_hold_its_answer(server: StandIn, client: Client) -> None:
    server.on("POST", "/api/instances", Reply(201, created()))

    client.create("trainer", product="x", image_url="i", wait=12)

    assert server.asked[0].headers["prefer"] == "wait=12"


@pytest.mark.parametrize(
    ("verb", "method", "path", "status"),
    [
        ("start", "POST", "/api/instances/a b/start", "starting"),
        ("stop", "POST", "/api/instances/a b/stop", "stopping"),
        ("restart", "POST", "/api/instances/a b/restart", "starting"),
        ("delete", "DELETE", "/api/instances/a b", "deleting"),
    ],
)
def test_verbs_go_where_the_api_has_them(
    server: StandIn, client: Client, verb: str, method: str, path: str, status: str
) -> None:
    server.on(method, path, Reply(202, accepted(status)))

    answer = getattr(client, verb)("a b")

    assert (answer.status, answer.operation_id) == (status, "op_1")


def test_an_instance_is_read_with_its_types(server: StandIn, client: Client) -> None:
    """Times are aware, money is USD, fields of a newer server do no harm."""
    server.on("GET", "/api/instances/trainer", Reply(body=instance()))

    found = client.get("trainer")

    assert found.created_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert (found.price_per_hour, found.cost_so_far) == (0.42, 1.5)
    assert found.port_mappings[0].endpoint == "http://10.0.0.1:8080"


def test_list_goes_on_from_page_to_page(server: StandIn, client: Client) -> None:
    """Filters are repeated with each page."""
    server.on(
        "GET",
        "/api/instances",
        Reply(body={"instances": [instance("inst_1")], "total": 2, "nextCursor": "c2"}),
        Reply(body={"instances": [instance("inst_2")], "total": 2, "nextCursor": None}),
    )

    found = [one.id for one in client.list(status="ready", label={"a": "b", "c": "d"})]

    filters = [("status", "ready"), ("label", "a=b"), ("label", "c=d")]
    assert found == ["inst_1", "inst_2"]
    assert [asked.query for asked in server.asked] == [filters, [*filters, ("cursor", "c2")]]


def test_a_change_sends_what_was_given_and_null_for_none(server: StandIn, client: Client) -> None:
    """What is not given is not named; None clears."""
    server.on("PATCH", "/api/instances/inst_1", Reply(200, instance()))

    client.change("inst_1", ttl=3600, labels={"team": None}, schedule=None)
    client.change("inst_1", webhook_url=None)

    first, second = server.asked
    assert first.body == {"ttl": "3600s", "labels": {"team": None}, "schedule": None}
    assert second.body == {"webhookUrl": None}
    assert all(server.keys())


def test_a_stop_may_hold_until_a_moment(server: StandIn, client: Client) -> None:
    """A time with its zone; one without could mean two moments."""
    server.on("POST", "/api/instances/inst_1/stop", Reply(202, accepted("stopping")))

    client.stop("inst_1", until=datetime(2027, 1, 15, 9, tzinfo=UTC))

    assert server.asked[0].body == {"until": "2027-01-15T09:00:00+00:00"}
    with pytest.raises(ValueError, match="time zone"):
        client.stop("inst_1", until=datetime(2027, 1, 15, 9))  # noqa: DTZ001 - what is refused


def test_last_used_may_name_a_moment(server: StandIn, client: Client) -> None:
    server.on(
        "PUT", "/api/instances/i/last-used", Reply(body={"instanceId": "i", "lastUsedAt": "2026-01-01T00:00:00Z"})
    )

    client.last_used("i")
    answer = client.last_used("i", datetime(2026, 1, 1, tzinfo=UTC))

    assert [asked.body for asked in server.asked] == [{}, {"lastUsedAt": "2026-01-01T00:00:00+00:00"}]
    assert answer.last_used_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_comprehensive_shows_where_each_one_was_found(server: StandIn, client: Client) -> None:
    body = {
        "instances": [instance(source="merged", dataConsistency="consistent")],
        "total": 1,
        "sources": {"merged": 1},
    }
    server.on("GET", "/api/instances/comprehensive", Reply(body=body))

    found = client.comprehensive()

    assert (found.instances[0].source, found.sources) == ("merged", {"merged": 1})


def test_an_answer_of_another_shape_is_not_taken(server: StandIn, client: Client) -> None:
    server.on("GET", "/api/instances/i", Reply(body={"hello": "world"}))

    with pytest.raises(UnexpectedAnswer) as strange:
        client.get("i")

    assert strange.value.body == b'{"hello": "world"}'


def test_a_correlation_id_is_passed_on(server: StandIn) -> None:
    """A fixed one, or the one that a function gives at that moment."""
    server.on("GET", "/api/instances/i", Reply(body=instance()))
    ids = iter(["first", "second"])

    with Client(server.url, "k", correlation_id=lambda: next(ids)) as client:
        client.get("i")
        client.get("i")
    with Client(server.url, "k", correlation_id="fixed") as client:
        client.get("i")

    assert [asked.headers["x-correlation-id"] for asked in server.asked] == ["first", "second", "fixed"]


async def test_the_asyncio_client_does_the_same(server: StandIn, async_client: AsyncClient) -> None:
    server.on("POST", "/api/instances", Reply(201, created()))
    server.on(
        "GET",
        "/api/instances",
        Reply(body={"instances": [instance("inst_1")], "total": 2, "nextCursor": "c2"}),
        Reply(body={"instances": [instance("inst_2")], "total": 2}),
    )

    made = await async_client.create("trainer", product="x", image_url="i")
    found = [one.id async for one in async_client.list()]

    assert (made.instance_id, found) == ("inst_1", ["inst_1", "inst_2"])


def test_an_http_client_of_ones_own_stays_open(server: StandIn) -> None:
    """It may serve others; who made it closes it."""
    server.on("GET", "/api/instances/i", Reply(body=instance()))
    with httpx2.Client() as http:
        with Client(server.url, "k", http=http, retries=Retries()) as client:
            client.get("i")

        assert not http.is_closed
