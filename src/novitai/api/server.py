"""The listening end: uvicorn on a socket of our own, so that port 0 works and the real port is known.

Stopping finishes what was begun: no new connections, held answers and streams are told to end, requests under way get five
seconds. Signals are the caller's business.
"""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import uvicorn

from novitai.api import sockets
from novitai.api.connections import MOST_CONNECTIONS, BoundedConnection, Bounds, Turnstile
from novitai.api.front import App

log = structlog.get_logger("novitai.api")

FAREWELL_SECONDS = 0.25
"""So long the door stays open while every answer says that it is the last on its connection: whoever keeps connections hears
it there instead of losing a request on one that is closed.
"""
LAST_HANDSHAKE_SECONDS = 0.05
GRACE_SECONDS = 5
FILES_KEPT = 256
"""Of the files that the system lets us open, so many are not for callers: calls to Novita and webhooks need theirs."""
FEWEST_CONNECTIONS = 64


def default_bounds() -> Bounds:
    """The usual bounds, with room for no more callers than the system lets us have besides our own work."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return Bounds()
    return Bounds(connections=max(FEWEST_CONNECTIONS, min(MOST_CONNECTIONS, allowed - FILES_KEPT)))


class _Uvicorn(uvicorn.Server):
    """uvicorn that leaves signals alone and tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.listening.set()


class Server:
    """Serves an application. `shutting_down` is the event that the application's held answers and streams listen to."""

    def __init__(
        self,
        app: App,
        *,
        host: str,
        port: int,
        shutting_down: asyncio.Event,
        tls_cert_file: Path | None = None,
        tls_key_file: Path | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self._app = app
        self._bounds = bounds or default_bounds()
        self._host = host
        self._port = port
        self._shutting_down = shutting_down
        self._tls: dict[str, Any] = {}
        if tls_cert_file is not None and tls_key_file is not None:
            self._tls = {"ssl_certfile": str(tls_cert_file), "ssl_keyfile": str(tls_key_file)}
        self._uvicorn: _Uvicorn | None = None
        self._serving: asyncio.Task[None] | None = None
        self._listening: socket.socket | None = None
        self.port = port
        """The real port once started."""

    @property
    def url(self) -> str:
        """Where callers on this machine reach us."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self._host, self._host)  # noqa: S104 - read, not bound
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises OSError when the address cannot be had."""
        listening = self._listening = sockets.bind(self._host, self._port)
        self.port = listening.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            http=partial(  # type: ignore[arg-type] # called like a class
                BoundedConnection, bounds=self._bounds, turnstile=Turnstile(self._bounds.connections)
            ),
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            **self._tls,
        )
        self._uvicorn = _Uvicorn(config)
        self._serving = asyncio.create_task(self._uvicorn.serve(sockets=[listening]), name="http")
        started = asyncio.create_task(self._uvicorn.listening.wait())
        await asyncio.wait({started, self._serving}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if self._serving.done():
            self._serving.result()
        log.info("listening", url=self.url)

    async def wait(self) -> None:
        """Until serving has ended, which it does only when stopped or broken."""
        if self._serving is not None:
            await asyncio.shield(self._serving)

    async def stop(self) -> None:
        """End gracefully; stopping twice is fine."""
        self._shutting_down.set()
        if self._uvicorn is None or self._serving is None:
            return
        await asyncio.wait({self._serving}, timeout=FAREWELL_SECONDS)
        if self._listening is not None:
            sockets.begin_no_more(self._listening)
            await asyncio.wait({self._serving}, timeout=LAST_HANDSHAKE_SECONDS)
        self._uvicorn.should_exit = True
        await asyncio.wait({self._serving})
