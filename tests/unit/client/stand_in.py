"""A small real HTTP server that answers what a test tells it to, in the shapes of the API, and remembers what it was asked."""

import json
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request as it arrived; header names in lower case."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Reply:
    """What to answer: JSON or bytes; `chunks` are sent one by one and the connection closed; `drop` hangs up instead.
    `after` is waited for first.
    """

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    chunks: Sequence[bytes] | None = None
    drop: bool = False
    after: threading.Event | None = None


Answer = Reply | Callable[[Asked], Reply]


def error(status: int, code: str, message: str = "no", *, headers: dict[str, str] | None = None, **more: Any) -> Reply:
    """An error answer as the API gives it."""
    body = {
        "code": code,
        "message": message,
        "timestamp": "2026-01-01T00:00:00Z",
        "requestId": "req_1",
        "correlationId": "c_1",
    }
    return Reply(status, {"error": {**body, **more}}, headers or {})


def instance(instance_id: str = "inst_1", status: str = "ready", **more: Any) -> dict[str, Any]:
    """An instance as the API gives it."""
    return {
        "id": instance_id,
        "novitaInstanceId": "nv_1",
        "name": "trainer",
        "status": status,
        "desired": {"state": "running", "by": "user:k1", "reason": "", "at": "2026-01-01T00:00:00Z"},
        "gpuNum": 2,
        "productName": "RTX 4090 24GB",
        "productId": "prod-1",
        "region": "CN-HK-01",
        "billingMode": "spot",
        "pricePerHour": 0.42,
        "costSoFar": 1.5,
        "labels": {"team": "nlp"},
        "portMappings": [{"port": 8080, "endpoint": "http://10.0.0.1:8080", "type": "http"}],
        "createdAt": "2026-01-01T00:00:00Z",
        "fieldOfTomorrow": {"kept": True},
        **more,
    }


def created(**more: Any) -> dict[str, Any]:
    """The answer to a create."""
    return {
        "instanceId": "inst_1",
        "name": "trainer",
        "status": "creating",
        "productName": "RTX 4090 24GB",
        "region": "CN-HK-01",
        "billingMode": "spot",
        "pricePerHour": 0.42,
        "estimatedReadyTime": "2026-01-01T00:04:00Z",
        "offer": {"rank": 1, "candidates": 3, "reason": "the cheapest that fits"},
        "links": {"self": "/api/instances/inst_1"},
        **more,
    }


def accepted(status: str) -> dict[str, Any]:
    """The answer to start, stop, restart and delete."""
    return {
        "instanceId": "inst_1",
        "novitaInstanceId": "nv_1",
        "status": status,
        "message": "accepted",
        "operationId": "op_1",
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news; anything else is a fault of the stand-in and is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class StandIn:
    """The server. Answers are given per method and path, in order; the last one stays."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._answers: dict[tuple[str, str], list[Answer]] = {}
        self._lock = threading.Lock()
        self._http = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def on(self, method: str, path: str, *answers: Answer) -> None:
        """Answer requests to a path (unquoted) with these, one after another."""
        self._answers[method, path] = list(answers)

    def keys(self) -> list[str | None]:
        """The idempotency keys that were sent, in order."""
        return [asked.headers.get("idempotency-key") for asked in self.asked]

    def _answer(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            answers = self._answers.get((asked.method, asked.path))
            if not answers:
                return error(404, "NOT_FOUND", f"nothing at {asked.method} {asked.path}")
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer(asked) if callable(answer) else answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                length = int(self.headers.get("content-length", 0))
                raw = self.rfile.read(length)
                parts = urlsplit(self.path)
                asked = Asked(
                    self.command,
                    unquote(parts.path),
                    parse_qsl(parts.query),
                    {name.lower(): value for name, value in self.headers.items()},
                    json.loads(raw) if raw else None,
                )
                reply = stand_in._answer(asked)
                if reply.after is not None:
                    reply.after.wait(10)
                if reply.drop:
                    self.close_connection = True
                elif reply.chunks is not None:
                    self._stream(reply, reply.chunks)
                else:
                    self._send(reply)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

            def _send(self, reply: Reply) -> None:
                body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _stream(self, reply: Reply, chunks: Iterable[bytes]) -> None:
                self.send_response(reply.status)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                for chunk in chunks:
                    self.wfile.write(chunk)
                    self.wfile.flush()

            def log_message(self, *args: Any) -> None:
                pass

        return Handler
