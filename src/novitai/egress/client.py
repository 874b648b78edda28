"""HTTP outward with nothing left to chance: guarded addresses, one deadline for everything, at most N bytes read.

No redirects are followed, no proxy or credentials come from the environment, no cookies are kept and nothing is
decompressed. There is no limit on connections here: a limit would let those who hang hold back those who answer, so
callers bound their own work.
"""

import asyncio
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver

from novitai.egress.addresses import Guard
from novitai.egress.answers import Answer, explained, read_prefix
from novitai.egress.dialling import Dialler, SystemResolver
from novitai.egress.errors import InvalidUrl, TimedOut
from novitai.egress.outgoing import checked_headers, checked_url

DEADLINE_SECONDS = 15.0
CONNECT_SECONDS = 5.0
MAX_BODY = 16_384

_OWN_HEADERS = {"User-Agent": "Novitai", "Accept": "*/*", "Accept-Encoding": "identity"}
_NAMES_KEPT_SECONDS = 10
_MAX_HEADER_BYTES = 8_190
_MAX_HEADERS = 100


class EgressClient:
    """The guarded client. Made anywhere, used in one event loop, closed once done with."""

    def __init__(
        self,
        guard: Guard,
        *,
        connect_timeout: float = CONNECT_SECONDS,
        ca_file: Path | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """`ca_file` adds certificate authorities (PEM) to the system's. Raises OSError when it cannot be read or is
        none.
        """
        self._dialler = Dialler(guard, resolver or SystemResolver())
        self._connect_timeout = connect_timeout
        self._tls = _tls_context(ca_file)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        max_body: int = MAX_BODY,
    ) -> Answer:
        """POST exactly these bytes. Any status is an answer, 3xx too; raises EgressError when there is none.

        The deadline covers everything from resolving the name to the last byte read.
        """
        return await self._send("POST", url, body, headers, deadline_seconds=deadline_seconds, max_body=max_body)

    async def get(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        max_body: int = MAX_BODY,
    ) -> Answer:
        """GET; as `post` otherwise."""
        return await self._send("GET", url, None, headers, deadline_seconds=deadline_seconds, max_body=max_body)

    async def connect_tcp(self, host: str, port: int, *, deadline_seconds: float = CONNECT_SECONDS) -> float:
        """Open a TCP connection and close it: the milliseconds it took. Raises EgressError."""
        if not 0 < port < 65_536:
            raise InvalidUrl("a port is between 1 and 65535")
        began = time.monotonic()
        try:
            async with asyncio.timeout(deadline_seconds):
                await self._dialler.connect(host, port)
        except TimeoutError as error:
            raise TimedOut(f"no connection to {host}:{port} within {deadline_seconds:g} s") from error
        return _milliseconds_since(began)

    async def close(self) -> None:
        """Close idle and open connections; closing twice is fine."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await self._dialler.resolver.close()

    async def _send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        deadline_seconds: float,
        max_body: int,
    ) -> Answer:
        target = checked_url(url)
        sent = {**_OWN_HEADERS, **checked_headers(headers)}
        began = time.monotonic()
        try:
            async with (
                asyncio.timeout(deadline_seconds),
                self._ready_session().request(
                    method, target, data=body, headers=sent, allow_redirects=False
                ) as response,
            ):
                prefix = await read_prefix(response, max_body)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise explained(error, host=target.host or "", deadline_seconds=deadline_seconds) from error
        return Answer.of(response, body_prefix=prefix, elapsed_ms=_milliseconds_since(began))

    def _ready_session(self) -> aiohttp.ClientSession:
        # Made at first use: aiohttp ties a session to the running loop.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=self._dialler.resolver,
                    socket_factory=self._dialler.open_socket,
                    ssl=self._tls,
                    limit=0,
                    # A kept connection may be closing just then, which would fail a POST, and its address was judged long ago.
                    force_close=True,
                    ttl_dns_cache=_NAMES_KEPT_SECONDS,
                ),
                timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_timeout, ceil_threshold=float("inf")),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                max_line_size=_MAX_HEADER_BYTES,
                max_field_size=_MAX_HEADER_BYTES,
                max_headers=_MAX_HEADERS,
            )
        return self._session


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


def _milliseconds_since(began: float) -> float:
    return (time.monotonic() - began) * 1000
