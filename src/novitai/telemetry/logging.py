"""Logs as events: a stable name and fields, one line each, with the request and the instance they belong to.

`configure` is called once, by whoever starts the process; it takes over the standard library's loggers (uvicorn,
aiohttp, asyncio) too, so that every line has the same form and passes the same redaction. Parts log with
`structlog.get_logger()`; what is bound by `about` is added to every line of the work it surrounds, across awaits.
"""

import contextlib
import io
import json
import logging
import re
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO, cast

import structlog
from structlog.typing import Processor

from novitai.telemetry.redaction import Redactor

FIRST = ("time", "level", "event", "requestId", "correlationId", "instanceId", "client")

LARGEST_BODY = 10 * 1024
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tabs and the line breaks of traces

READABLE = ("application/json", "application/x-www-form-urlencoded", "application/problem+json", "text/")


class CalmStream(io.TextIOBase):
    """A stream whose failures are nobody's business: a full disk or a reader that went away must not stop the work that
    is logged.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write if possible."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream was closed
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush if possible."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def configure(*, level: str, as_json: bool, redactor: Redactor, stream: TextIO) -> None:
    """Send all logs of this process to `stream`: from `level` (debug, info, warning, error) on, as JSON lines or for
    people.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    colours = not as_json and stream.isatty()
    render = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=colours, event_key="event")
    )
    calm = cast("TextIO", CalmStream(stream))
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time" if as_json else "timestamp"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redactor,
        _in_order,
        *(() if as_json else (_printable,)),
    ]
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=calm),
        cache_logger_on_first_use=False,
    )
    _take_over_standard_library(shared, render, number=number, stream=calm)


def about(
    *, request_id: str | None = None, correlation_id: str | None = None, **fields: str
) -> contextlib.AbstractContextManager[Any]:
    """Add these fields to every line logged inside of the `with`; `instanceId` and `client` are the usual others."""
    named = {"requestId": request_id, "correlationId": correlation_id, **fields}
    return structlog.contextvars.bound_contextvars(
        **{name: value for name, value in named.items() if value is not None}
    )


def loggable_body(body: bytes, content_type: str) -> object:
    """A body as it may be logged: JSON as values (so that redaction sees names), small text as it is, all else as type
    and size.
    """
    kind = content_type.split(";", 1)[0].strip().lower()
    if len(body) > LARGEST_BODY or not kind.startswith(READABLE):
        return {"type": kind or "unknown", "size": len(body)}
    try:
        text = body.decode("utf-8")
        return json.loads(text) if "json" in kind and text else text
    except (ValueError, RecursionError):
        return {"type": kind, "size": len(body)}


def _take_over_standard_library(shared: list[Processor], render: Processor, *, number: int, stream: TextIO) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shared, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.INFO))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "aiohttp.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in ("uvicorn.access", "aiohttp.access"):  # requests are logged once, by us, with their ids
        logging.getLogger(name).setLevel(logging.WARNING)


def _printable(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Texts of one line without control characters: what a stranger sends must not steer the terminal that shows the log."""
    return {name: _escaped(value) if isinstance(value, str) else value for name, value in event.items()}


def _escaped(text: str) -> str:
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _in_order(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    leading = {name: event[name] for name in FIRST if name in event}
    return {**leading, **{name: value for name, value in event.items() if name not in leading}}
