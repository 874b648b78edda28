"""The receiver of webhooks, as a user would write one: standard library, and `verify` on the bytes as they came."""

import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from novitai_client.webhooks import Event, WebhookVerificationError, verify


@dataclass(frozen=True, kw_only=True)
class Received:
    """A webhook as it came. `event` is None when it could not be verified; `problem` says why."""

    event: Event | None
    problem: str
    body: bytes
    headers: Mapping[str, str]


class Receiver:
    """Listens on a free port of this machine from the moment it is made, until `stop`."""

    def __init__(self, secret: str) -> None:
        self._arrived: queue.SimpleQueue[Received] = queue.SimpleQueue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(secret, self._arrived))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/webhooks"
        threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True).start()

    def take(self, *, seconds: float) -> list[Received]:
        """What has arrived since the last time; waits at most so long for a first one."""
        deadline = time.monotonic() + seconds
        found: list[Received] = []
        while True:
            left = max(0.0, deadline - time.monotonic()) if not found else 0.0
            try:
                found.append(self._arrived.get(timeout=left) if left else self._arrived.get_nowait())
            except queue.Empty:
                return found

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()


def _handler(secret: str, arrived: "queue.SimpleQueue[Received]") -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            received = examine(body, dict(self.headers), secret)
            self.send_response(204 if received.event else 401)
            self.end_headers()
            arrived.put(received)

        def log_message(self, *_: object) -> None:
            """The story tells what arrives."""

    return Handler


def examine(body: bytes, headers: Mapping[str, str], secret: str) -> Received:
    """Verify a webhook."""
    try:
        event, problem = verify(body, headers, secret), ""
    except WebhookVerificationError as error:
        event, problem = None, str(error)
    return Received(event=event, problem=problem, body=body, headers=headers)
