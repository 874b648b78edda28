"""How failures end: the exit code for scripts, words for people, JSON for programs."""

import json

import pytest

from unit.client.stand_in import Reply, StandIn, created, error, instance

CREATE = ("create", "trainer", "--product", "x", "--image", "i")


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (404, "INSTANCE_NOT_FOUND", 3),
        (409, "INVALID_STATE", 4),
        (409, "NAME_AMBIGUOUS", 4),
        (409, "NO_CAPACITY", 4),
        (409, "BUDGET_EXCEEDED", 4),
        (402, "INSUFFICIENT_BALANCE", 4),
        (401, "UNAUTHORIZED", 5),
        (403, "FORBIDDEN", 5),
        (422, "VALIDATION_ERROR", 2),
        (502, "UPSTREAM_AUTH_FAILED", 1),
        (500, "INTERNAL_ERROR", 1),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(
    server: StandIn, novitai, status: int, code: str, exit_code: int
) -> None:
    server.on("POST", "/api/instances/trainer/stop", error(status, code, "because"))

    done = novitai("stop", "trainer")

    assert done.exit_code == exit_code
    assert done.stdout == ""
    assert f"novitai: because ({code})" in done.stderr
    assert "(request req_1)" in done.stderr


def test_a_store_that_is_away_is_a_server_away(server: StandIn, novitai) -> None:
    server.on(
        "GET", "/api/instances", error(503, "STORE_UNAVAILABLE", "the disk is full", headers={"Retry-After": "60"})
    )

    done = novitai("list")

    assert done.exit_code == 6
    assert "the disk is full" in done.stderr


def test_a_server_that_is_not_there_says_what_to_look_at(novitai) -> None:
    done = novitai("--url", "http://127.0.0.1:1", "list")

    assert done.exit_code == 6
    assert "NOVITAI_URL" in done.stderr


def test_fields_that_are_wrong_are_named(server: StandIn, novitai) -> None:
    fields = [{"field": "gpuNum", "message": "must be from 1 to 8"}]
    server.on("POST", "/api/instances", error(422, "VALIDATION_ERROR", "the request is wrong", validationErrors=fields))

    done = novitai(*CREATE, "--gpus", "9")

    assert done.exit_code == 2
    assert "  gpuNum: must be from 1 to 8" in done.stderr


def test_an_ambiguous_name_shows_the_ids_to_choose_from(server: StandIn, novitai) -> None:
    server.on(
        "GET", "/api/instances/trainer", error(409, "NAME_AMBIGUOUS", details={"instanceIds": ["inst_1", "inst_2"]})
    )

    done = novitai("show", "trainer")

    assert done.stderr.splitlines()[1:4] == ["  inst_1", "  inst_2", "Use one of these ids instead of the name."]


def test_no_capacity_shows_why_each_offer_failed(server: StandIn, novitai) -> None:
    offers = [{"productName": "RTX 4090", "region": "CN-HK-01", "billingMode": "spot", "reason": "no capacity now"}]
    server.on("POST", "/api/instances", error(409, "NO_CAPACITY", "nothing fits", details={"offers": offers}))

    done = novitai(*CREATE)

    assert "  RTX 4090 in CN-HK-01, spot: no capacity now" in done.stderr
    assert "--max-price" in done.stderr


def test_with_json_the_failure_is_json_on_stderr(server: StandIn, novitai) -> None:
    server.on("GET", "/api/instances/x", error(404, "INSTANCE_NOT_FOUND", "no such instance"))

    done = novitai("show", "x", "--json")

    assert done.stdout == ""
    assert json.loads(done.stderr)["error"] == {
        "code": "INSTANCE_NOT_FOUND",
        "message": "no such instance",
        "status": 404,
        "requestId": "req_1",
    }


def test_a_wait_that_takes_too_long_ends_with_7(server: StandIn, novitai) -> None:
    server.on("POST", "/api/instances", Reply(201, created()))
    server.on("GET", "/api/instances/inst_1", Reply(body=instance(status="creating")))

    done = novitai(*CREATE, "--wait", "1")

    assert done.exit_code == 7
    assert "novitai show inst_1" in done.stderr


@pytest.mark.parametrize(("code", "exit_code"), [("NO_CAPACITY", 4), ("HEALTH_CHECK_TIMEOUT", 1)])
def test_a_start_that_fails_while_we_wait_says_why(server: StandIn, novitai, code: str, exit_code: int) -> None:
    """Refused for lack of capacity is the same answer whether it comes at once or later."""
    server.on("POST", "/api/instances", Reply(201, created()))
    server.on(
        "GET",
        "/api/instances/inst_1",
        Reply(body=instance(status="failed", lastError={"code": code, "message": "that is why"})),
    )

    done = novitai(*CREATE, "--wait")

    assert done.exit_code == exit_code
    assert "that is why" in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("create", "x"),
        ("create", "x", "--product", "a", "--product-id", "b", "--image", "i"),
        ("create", "x", "--product", "a", "--image", "i", "--template", "t"),
        (*CREATE, "--env", "novalue"),
        (*CREATE, "--port", "8080/udp"),
        (*CREATE, "--wait", "0"),
        ("bogus",),
        ("list", "--no-such-option"),
        ("delete", "trainer"),
        ("keys", "revoke", "k1"),
        ("--url", "nonsense", "list"),
    ],
)
def test_wrong_usage_ends_with_2_and_asks_nothing_of_the_server(
    server: StandIn, novitai, args: tuple[str, ...]
) -> None:
    done = novitai(*args)

    assert done.exit_code == 2
    assert server.asked == []
