"""What is told of each call: a line, a count, and the client's state."""

import msgspec
import pytest
from structlog.testing import capture_logs

from novitai.domain.errors import NoCapacity, NotAllowed, TryLater
from novitai.domain.ids import MachineId
from novitai.novita import v1
from novitai.novita.calls import Reply
from novitai.novita.journal import Journal
from novitai.ports.coordination import Share
from novitai.ports.provider import Call, ClientName
from support.clock import FakeClock
from unit.novita.doubles import CountingTelemetry, answer, order

LOOK = v1.machine(MachineId("37d312386c80a3b9"))
CREATE = v1.create(order(envs=(("TOKEN", "hunter2"),)), "me:hunter2")
CALL = Call(share=Share.ACT, correlation_id="c-1")
OK = answer(
    b'{"id": "37d312386c80a3b9", "connectComponentSSH": {"password": "hunter2"}, "envs": [{"key": "A", "value": "hunter2"}]}'
)
REFUSED = NotAllowed("Novita answered 401", status=401)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def telemetry():
    return CountingTelemetry()


@pytest.fixture
def journal(clock, telemetry):
    return Journal(ClientName.PUBLIC, telemetry, clock.now, slow_ms=2000)


def end(journal, clock, *, request=LOOK, reply=OK, failure=None, seconds=0.0):
    with capture_logs() as lines:
        journal.ended(request, CALL, began=clock.now() - seconds, reply=reply, failure=failure)
    return lines


def test_a_call_is_one_line_at_debug(journal, clock):
    """Path without query, status, duration, size, and the ids that connect it to its request."""
    (line,) = end(journal, clock, seconds=0.25)

    assert (line["event"], line["log_level"]) == ("novita_call", "debug")
    assert (line["client"], line["method"], line["path"]) == ("public", "GET", "/v1/gpu/instance")
    assert (line["status"], line["ms"], line["bytes"]) == (200, 250.0, len(OK.body))
    assert line["correlationId"] == "c-1"


@pytest.mark.parametrize("request_", [LOOK, CREATE])
def test_no_secret_is_in_a_line(journal, clock, request_):
    """Environment values, registry credentials and passwords are removed before anything else could see them."""
    lines = end(journal, clock, request=request_)

    assert "hunter2" not in str(lines)
    assert "[REDACTED]" in str(lines)


@pytest.mark.parametrize(
    "reply",
    [answer(b'{"x": "' + b"y" * 20_000 + b'"}'), Reply(status=200, body=b"\x89PNG" * 10, content_type="image/png")],
)
def test_large_and_binary_bodies_are_told_by_size(journal, clock, reply):
    """At most 10 KB of text."""
    (line,) = end(journal, clock, reply=reply)

    assert line["answer"]["size"] == len(reply.body)


def test_a_slow_call_is_worth_a_warning(journal, clock):
    """Over SLOW_OPERATION_MS."""
    warning, _ = end(journal, clock, seconds=2.5)

    assert (warning["event"], warning["log_level"], warning["ms"]) == ("novita_call_slow", "warning", 2500.0)


def test_each_call_is_counted_by_its_outcome(journal, clock, telemetry):
    """One count for each physical call, a cancelled one too."""
    end(journal, clock)
    end(journal, clock, failure=NoCapacity("x", status=400), reply=answer(status=400))
    journal.cancelled(LOOK, CALL, began=clock.now())

    assert telemetry.calls == [
        ("public", "get_machine", "ok"),
        ("public", "get_machine", "NoCapacity"),
        ("public", "get_machine", "cancelled"),
    ]


def test_a_refused_key_is_remembered_until_the_first_success(journal, clock):
    """Other refusals say nothing about the key."""
    end(journal, clock, failure=REFUSED, reply=answer(status=401))
    refused = journal.health
    end(journal, clock, failure=NoCapacity("x", status=400), reply=answer(status=400))
    still = journal.health
    end(journal, clock)

    assert (refused.auth_failed, refused.reachable, refused.last_success_at) == (True, True, None)
    assert still.auth_failed
    assert not journal.health.auth_failed


async def test_a_failure_is_remembered_with_its_time(journal, clock):
    """And forgotten by nobody: the last error stays to be read after things are well again."""
    end(journal, clock, reply=None, failure=TryLater("Novita could not be reached"))
    await clock.advance(5)
    end(journal, clock)

    health = journal.health
    assert (health.last_success_at, health.last_failure_at) == (clock.now(), clock.now() - 5)
    assert health.last_error == "get_machine: Novita could not be reached"
    assert health.reachable


def test_latencies_look_back_on_the_last_256_calls(journal, clock):
    """Old ones fade."""
    for _ in range(256):
        end(journal, clock, seconds=9.0)
    for number in range(256):
        end(journal, clock, seconds=(number + 1) / 1000)

    assert journal.latency_ms(0.50) == pytest.approx(129, abs=1)
    assert journal.latency_ms(0.99) == pytest.approx(254, abs=1)


def test_a_breaker_is_told_of_when_it_changes(journal):
    """Not at each call."""
    with capture_logs() as lines:
        for state in ("CLOSED", "OPEN", "OPEN", "HALF_OPEN", "CLOSED"):
            journal.breaker_seen("gpu", state)

    assert [line["state"] for line in lines] == ["OPEN", "HALF_OPEN", "CLOSED"]


def test_an_answer_that_quotes_the_order_is_written_without_the_quote(journal, clock):
    """Bodies are only for the most talkative level, and secrets not even for that."""
    body = b'{"reason":"REQUEST","message":"the value hunter2 is too long","details":[{"value":"hunter2"}]}'

    lines = end(journal, clock, request=CREATE, reply=Reply(status=400, body=body, content_type="application/json"))

    assert "is too long" in str(lines)
    assert "hunter2" not in str(lines)


def test_a_request_prints_without_its_body():
    """Values with secrets do not print."""
    assert "hunter2" not in repr(CREATE) + repr(msgspec.structs.astuple(CALL))
