"""Errors by meaning, and what is repeated when the way to the server is bad."""

import socket
import threading
import time

import pytest

from novitai_client import (
    ApiError,
    AsyncClient,
    BudgetExceeded,
    Client,
    Conflict,
    InsufficientBalance,
    InvalidState,
    NameAmbiguous,
    NoCapacity,
    NotAllowed,
    NotFound,
    NovitaiError,
    RateLimited,
    Retries,
    ServerAway,
    UnexpectedAnswer,
    UpstreamTrouble,
    ValidationFailed,
)
from unit.client.stand_in import Reply, StandIn, accepted, created, error, instance

WHERE = "/api/instances/i"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "VALIDATION_ERROR", ValidationFailed),
        (422, "VALIDATION_ERROR", ValidationFailed),
        (422, "IDEMPOTENCY_KEY_REUSED", ValidationFailed),
        (413, "PAYLOAD_TOO_LARGE", ValidationFailed),
        (401, "UNAUTHORIZED", NotAllowed),
        (403, "FORBIDDEN", NotAllowed),
        (404, "INSTANCE_NOT_FOUND", NotFound),
        (404, "REGISTRY_AUTH_NOT_FOUND", NotFound),
        (409, "NAME_AMBIGUOUS", NameAmbiguous),
        (409, "INSTANCE_NOT_STARTABLE", InvalidState),
        (409, "INVALID_STATE", InvalidState),
        (409, "OPERATION_IN_PROGRESS", InvalidState),
        (409, "CONFLICT", Conflict),
        (409, "A_CODE_OF_TOMORROW", Conflict),
        (409, "BUDGET_EXCEEDED", BudgetExceeded),
        (409, "QUOTA_EXCEEDED", BudgetExceeded),
        (409, "NO_CAPACITY", NoCapacity),
        (409, "NO_OFFER_WITHIN_CAP", NoCapacity),
        (402, "INSUFFICIENT_BALANCE", InsufficientBalance),
        (429, "RATE_LIMIT_EXCEEDED", RateLimited),
        (502, "UPSTREAM_ERROR", UpstreamTrouble),
        (502, "UPSTREAM_AUTH_FAILED", UpstreamTrouble),
        (504, "UPSTREAM_TIMEOUT", UpstreamTrouble),
        (503, "CIRCUIT_BREAKER_OPEN", UpstreamTrouble),
        (503, "STORE_UNAVAILABLE", ServerAway),
        (500, "INTERNAL_ERROR", ApiError),
    ],
)
def test_each_code_has_its_class(
    server: StandIn, client: Client, status: int, code: str, kind: type[NovitaiError]
) -> None:
    """Exactly that class, with the server's words in it."""
    server.on("GET", WHERE, error(status, code, "because"))

    with pytest.raises(NovitaiError, match="because") as raised:
        client.get("i")

    assert type(raised.value) is kind


def test_an_error_carries_all_that_the_server_said(server: StandIn, client: Client) -> None:
    fields = [{"field": "gpuNum", "message": "1 to 8"}]
    server.on("GET", WHERE, error(422, "VALIDATION_ERROR", "wrong", validationErrors=fields))

    with pytest.raises(ValidationFailed) as raised:
        client.get("i")

    failure = raised.value
    assert (failure.status, failure.code, failure.request_id, failure.correlation_id) == (
        422,
        "VALIDATION_ERROR",
        "req_1",
        "c_1",
    )
    assert [(one.field, one.message) for one in failure.field_errors] == [("gpuNum", "1 to 8")]


def test_an_ambiguous_name_lists_the_ids(server: StandIn, client: Client) -> None:
    server.on("GET", WHERE, error(409, "NAME_AMBIGUOUS", details={"instanceIds": ["inst_1", "inst_2"]}))

    with pytest.raises(NameAmbiguous) as raised:
        client.get("i")

    assert raised.value.ids == ("inst_1", "inst_2")


def test_no_capacity_says_why_each_offer_failed(server: StandIn, client: Client) -> None:
    offers = [{"rank": 1, "productName": "RTX 4090", "region": "CN-HK-01", "reason": "no capacity now"}]
    server.on("POST", "/api/instances", error(409, "NO_CAPACITY", details={"offers": offers}))

    with pytest.raises(NoCapacity) as raised:
        client.create("x", product="y", image_url="z")

    assert raised.value.offers[0].reason == "no capacity now"


def test_offers_that_cannot_be_read_do_not_hide_the_error(server: StandIn, client: Client) -> None:
    server.on("GET", WHERE, error(409, "NO_CAPACITY", details={"offers": "none"}))

    with pytest.raises(NoCapacity) as raised:
        client.get("i")

    assert raised.value.offers == ()


def test_a_read_is_repeated_until_the_trouble_is_over(server: StandIn, client: Client) -> None:
    server.on("GET", WHERE, Reply(drop=True), error(503, "STORE_UNAVAILABLE"), Reply(body=instance()))

    assert client.get("i").id == "inst_1"
    assert len(server.asked) == 3


def test_attempts_end(server: StandIn, client: Client) -> None:
    server.on("GET", WHERE, error(504, "UPSTREAM_TIMEOUT"))

    with pytest.raises(UpstreamTrouble):
        client.get("i")

    assert len(server.asked) == 3


def test_a_lost_reply_is_asked_for_again_with_the_same_key(server: StandIn, client: Client) -> None:
    """So the instance exists once, whatever the first request came to."""
    server.on("POST", "/api/instances", Reply(drop=True), Reply(201, created()))

    client.create("x", product="y", image_url="z")

    first, second = server.keys()
    assert first == second


def test_a_repeat_that_meets_its_own_first_attempt_waits_for_its_answer(server: StandIn, client: Client) -> None:
    server.on("POST", "/api/instances", Reply(drop=True), error(409, "OPERATION_IN_PROGRESS"), Reply(201, created()))

    assert client.create("x", product="y", image_url="z").instance_id == "inst_1"


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_change_with_an_unclear_answer_is_not_repeated(server: StandIn, client: Client, status: int) -> None:
    server.on("POST", "/api/instances/i/stop", error(status, "UPSTREAM_ERROR"), Reply(202, accepted("stopping")))

    with pytest.raises(ApiError):
        client.stop("i")

    assert len(server.asked) == 1


def test_a_long_retry_after_is_handed_to_the_caller(server: StandIn, client: Client) -> None:
    """Longer than the client would wait: no second request, and the caller knows when."""
    server.on("GET", WHERE, error(429, "RATE_LIMIT_EXCEEDED", headers={"Retry-After": "60"}))

    with pytest.raises(RateLimited) as raised:
        client.get("i")

    assert raised.value.retry_after == 60
    assert len(server.asked) == 1


def test_a_short_retry_after_is_waited_out(server: StandIn) -> None:
    server.on("GET", WHERE, error(429, "RATE_LIMIT_EXCEEDED", headers={"Retry-After": "0"}), Reply(body=instance()))

    with Client(server.url, "k", retries=Retries(base=60.0)) as client:
        begun = time.monotonic()
        client.get("i")

    assert time.monotonic() - begun < 5


def test_a_server_that_is_not_there_is_away() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"

        with (
            Client(url, "k", retries=Retries(base=0.001)) as client,
            pytest.raises(ServerAway, match="cannot be reached"),
        ):
            client.get("i")


def test_silence_is_not_asked_again(server: StandIn) -> None:
    """The time was given by the caller and is used up; the key to ask again with is in the error."""
    never = threading.Event()
    server.on("POST", "/api/instances/i/stop", Reply(after=never))

    with Client(server.url, "k", timeout=0.1) as client, pytest.raises(ServerAway, match="did not answer") as raised:
        client.stop("i", idempotency_key="mine")
    never.set()

    assert raised.value.idempotency_key == "mine"
    assert len(server.asked) == 1


def test_a_proxy_whose_server_is_down_is_a_server_away(server: StandIn, client: Client) -> None:
    server.on("GET", WHERE, Reply(502, b"<html>Bad Gateway</html>"))

    with pytest.raises(ServerAway, match="in front of it"):
        client.get("i")


def test_something_else_than_our_server_is_named_as_that(server: StandIn, client: Client) -> None:
    server.on("GET", WHERE, Reply(404, b"<html>nginx</html>"))

    with pytest.raises(UnexpectedAnswer, match="is this a Novitai server"):
        client.get("i")


async def test_the_asyncio_client_repeats_in_the_same_way(server: StandIn, async_client: AsyncClient) -> None:
    server.on("POST", "/api/instances", Reply(drop=True), error(503, "STORE_UNAVAILABLE"), Reply(201, created()))

    made = await async_client.create("x", product="y", image_url="z")

    assert made.instance_id == "inst_1"
    assert len(set(server.keys())) == 1
