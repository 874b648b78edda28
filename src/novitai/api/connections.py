"""One connection of a caller, bounded in everything that a caller could stretch: the head's size, the time in which a request must have
arrived, and how many there are.

uvicorn's protocol reads a request for as long as its sender pleases, so a few thousand sockets that send a byte now and then would keep
everybody else out. What is answered and how is the application's business; what arrives too slowly for it is ended here.
"""

import asyncio
import math
from dataclasses import dataclass
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from novitai.api.bodies import ARRIVAL_SECONDS

log = structlog.get_logger("novitai.api")

LARGEST_HEAD = 64 * 1024
"""Bytes of request line and headers together; more is answered 431."""
MOST_CONNECTIONS = 2_000
LINGER_SECONDS = 1.0
SILENCE_SECONDS = 60.0
"""So long after it was said that callers are turned away, it is not said again."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What one caller, and all of them together, may take.

    `head_seconds`: from a request's first byte (or the connection) to the end of its headers. `request_seconds`: from there to the end of
    its body; more than a route allows, so that a route answers first. `connections`: open at once; further ones are answered 503.
    """

    head_seconds: float = 10.0
    request_seconds: float = ARRIVAL_SECONDS + 5.0
    connections: int = MOST_CONNECTIONS


class Turnstile:
    """Who is too many, and a line about it now and then: a flood of callers must not become a flood of lines."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._turned_away = 0
        self._silent_until = -math.inf

    def admits(self, connections: int, now: float) -> bool:
        """Whether there is room for the last of so many connections. `now` is the event loop's time."""
        if connections <= self._most:
            return True
        self._turned_away += 1
        if now >= self._silent_until:
            log.warning("connections_refused", count=self._turned_away, most=self._most)
            self._turned_away, self._silent_until = 0, now + SILENCE_SECONDS
        return False


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's protocol within `Bounds`."""

    def __init__(self, *args: Any, bounds: Bounds, turnstile: Turnstile, **options: Any) -> None:
        super().__init__(*args, **options)
        self._bounds = bounds
        self._turnstile = turnstile
        self._in_head = False
        self._over = False
        self._head = 0
        self._fields = 0
        self._due = math.inf
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        super().connection_made(transport)
        if self._turnstile.admits(len(self.connections), self.loop.time()):
            self._arrive_within(self._bounds.head_seconds)
        else:
            self._end(b"503 Service Unavailable", b"retry-after: 1\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._over or self.transport.is_closing():
            return
        if self._due == math.inf:
            self._arrive_within(self._bounds.head_seconds)  # for a further request; blank lines may never become one
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > LARGEST_HEAD and not self._over:
                self._refuse_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head, self._fields, self._in_head = 0, 0, True
        if self._due == math.inf:
            self._arrive_within(self._bounds.head_seconds)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += len(name) + len(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._fields + len(self.url) > LARGEST_HEAD:
            self._refuse_head()
            raise ValueError("the head is too large")  # ends the parser's work
        self._in_head = False
        self._arrive_within(self._bounds.request_seconds)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._due = math.inf
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if not self._over:
            super().send_400_response(msg)

    def _arrive_within(self, seconds: float) -> None:
        """Set the time by which what comes next must have come. The alarm is moved only when it would ring too late: requests
        are far more frequent than alarms.
        """
        self._due = self.loop.time() + seconds
        if self._due < self._alarm_at:
            self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = self._due
        self._alarm = self.loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._alarm, self._alarm_at = None, math.inf
        if self._due == math.inf or self.transport.is_closing():
            return
        answering = self._answering()
        if self.loop.time() < self._due:
            self._set_alarm()
        elif self.pipeline or (answering and self._in_head):
            self._arrive_within(self._bounds.head_seconds)  # it waits behind an answer, and it is we who do not read on
        else:
            self._give_up(begun=self._in_head or (answering and not self.cycle.response_started))

    def _give_up(self, *, begun: bool) -> None:
        log.info("request_too_slow", client=self.client[0] if self.client else "unknown", answered=begun)
        if begun:
            self._end(b"408 Request Timeout")
        else:
            self.transport.close()

    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        return cycle is not None and not cycle.response_complete

    def _refuse_head(self) -> None:
        self._end(b"431 Request Header Fields Too Large")

    def _end(self, status: bytes, headers: bytes = b"") -> None:
        """Answer by ourselves and close. Who is still sending must be heard out for a moment: closing on unread bytes resets the
        connection, and the answer would be lost with it.
        """
        self._over, self._due = True, math.inf
        if self._answering():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(b"HTTP/1.1 %b\r\n%bcontent-length: 0\r\nconnection: close\r\n\r\n" % (status, headers))
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self.loop.call_later(LINGER_SECONDS, self.transport.close)
