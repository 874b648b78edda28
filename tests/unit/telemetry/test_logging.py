"""Logs: one form for every line, with the ids of the work it belongs to, and without secrets."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from novitai.telemetry.logging import LARGEST_BODY, about, configure, loggable_body
from novitai.telemetry.redaction import REDACTED, Redactor


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    """Logging is global; each test leaves it as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    """What was written, parsed."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def logging_to(stream: io.StringIO, *, level: str = "info", as_json: bool = True) -> None:
    configure(level=level, as_json=as_json, redactor=Redactor(["known-secret"]), stream=stream)


def test_a_line_begins_with_time_level_event_and_the_ids_of_the_request() -> None:
    """The same fields in the same order, whoever logs."""
    stream = io.StringIO()
    logging_to(stream)

    with about(request_id="req_1", correlation_id="corr_1", instanceId="i_1"):
        structlog.get_logger().info("operation accepted", verb="stop")

    (line,) = lines(stream)
    assert list(line) == ["time", "level", "event", "requestId", "correlationId", "instanceId", "verb"]
    assert str(line["time"]).endswith("Z")
    assert (line["level"], line["event"], line["requestId"]) == ("info", "operation accepted", "req_1")


async def test_ids_do_not_outlive_the_work_they_belong_to() -> None:
    """The next request on the same task must not inherit them."""
    stream = io.StringIO()
    logging_to(stream)

    with about(request_id="req_1"):
        pass
    structlog.get_logger().info("poll done")

    assert "requestId" not in lines(stream)[0]


def test_lines_below_the_level_are_not_written() -> None:
    """`info` leaves out single calls to Novita."""
    stream = io.StringIO()
    logging_to(stream)

    structlog.get_logger().debug("call to Novita")

    assert stream.getvalue() == ""


def test_libraries_log_in_the_same_form_and_through_the_same_redaction() -> None:
    """uvicorn and aiohttp use the standard library."""
    stream = io.StringIO()
    logging_to(stream)

    with about(request_id="req_1"):
        logging.getLogger("uvicorn.error").warning("Cannot open %s", "https://x/?q=known-secret")
    logging.getLogger("uvicorn.access").info("a request, logged a second time")

    (line,) = lines(stream)
    assert line["event"] == f"Cannot open https://x/?q={REDACTED}"
    assert (line["level"], line["logger"], line["requestId"]) == ("warning", "uvicorn.error", "req_1")


def test_an_exception_is_one_field_without_secrets() -> None:
    """Tracebacks quote messages, and messages quote addresses."""
    stream = io.StringIO()
    logging_to(stream)

    try:
        int("known-secret")
    except ValueError:
        structlog.get_logger().exception("operation failed")

    (line,) = lines(stream)
    assert f"ValueError: invalid literal for int() with base 10: '{REDACTED}'" in str(line["exception"])
    assert "known-secret" not in stream.getvalue()


def test_a_text_with_line_ends_stays_one_line() -> None:
    """Nobody can forge a log line through a name."""
    stream = io.StringIO()
    logging_to(stream)

    structlog.get_logger().info("request served", path='/x\n{"level": "error"}')

    assert len(stream.getvalue().splitlines()) == 1


def test_for_people_the_same_is_written_as_text() -> None:
    """Without colours when it is not a terminal."""
    stream = io.StringIO()
    logging_to(stream, as_json=False)

    structlog.get_logger().info("poll done", pages=3, apiKey="x")

    assert "poll done" in stream.getvalue()
    assert "pages=3" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
    assert REDACTED in stream.getvalue()


def test_a_stream_that_cannot_be_written_does_not_stop_the_work() -> None:
    """A full disk under the log is bad enough."""
    stream = io.StringIO()
    logging_to(stream)
    stream.close()

    structlog.get_logger().info("operation accepted")
    logging.getLogger("aiohttp").warning("something")


@pytest.mark.parametrize(
    ("body", "kind", "logged"),
    [
        (b'{"a": [1]}', "application/json; charset=utf-8", {"a": [1]}),
        (b"plain", "text/plain", "plain"),
        (b"", "application/json", ""),
        (b"{broken", "application/json", {"type": "application/json", "size": 7}),
        (b"\xff\xfe", "text/plain", {"type": "text/plain", "size": 2}),
        (b"PK\x03", "application/zip", {"type": "application/zip", "size": 3}),
        (b"?", "", {"type": "unknown", "size": 1}),
        (b"x" * (LARGEST_BODY + 1), "text/plain", {"type": "text/plain", "size": LARGEST_BODY + 1}),
    ],
)
def test_a_body_is_logged_when_it_is_small_and_readable_else_its_type_and_size(
    body: bytes, kind: str, logged: object
) -> None:
    """10 KB at most, never binary."""
    assert loggable_body(body, kind) == logged


def test_what_a_stranger_sends_does_not_steer_the_terminal_that_shows_the_log() -> None:
    """A path may hold any bytes; the line shows them and does nothing else."""
    stream = io.StringIO()
    logging_to(stream, as_json=False)

    structlog.get_logger().info("request_served", path="/a\x1b[2J\x07\x00\x9b1m")

    assert "/a\\x1b[2J\\x07\\x00\\x9b1m" in stream.getvalue()
    assert all(character.isprintable() for character in stream.getvalue().rstrip("\n"))
