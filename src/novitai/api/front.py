"""The door: what every request passes before any route, as one plain ASGI application around the real one.

It gives the request its ids, finds out who asks, counts it against the key's allowance, adds the headers that every answer has, and writes
down what came of it. Routes decide what a key may do; here it is only decided who is there.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from time import perf_counter
from typing import Any

import structlog

from novitai.api.allowance import Allowances
from novitai.api.auth import Doorkeeper
from novitai.api.headers import HTTPS_ONLY, SAFETY, origin_headers, preflight
from novitai.api.parts import ApiParts
from novitai.api.proxies import Proxies
from novitai.api.routing import refusal_answer
from novitai.api.visits import Visit, begin
from novitai.domain.errors import Code, Refusal
from novitai.telemetry.logging import about

log = structlog.get_logger("novitai.api")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


LAST_ON_THIS_CONNECTION = (b"connection", b"close")


class Front:
    """See the module's text. `public`: paths that need no key, as patterns."""

    def __init__(self, app: App, *, parts: ApiParts, public: Iterable[re.Pattern[str]]) -> None:
        settings = parts.settings
        self._app = app
        self._parts = parts
        self._public = tuple(public)
        self._origins = settings.allowed_origins
        self._always = [*SAFETY, HTTPS_ONLY] if settings.tls else list(SAFETY)
        self._proxies = Proxies(settings.trusted_proxies)
        self._doorkeeper = Doorkeeper(
            keys=parts.keys, clock=parts.clock, most_failures=settings.rate_limit_max_requests
        )
        self._allowances = Allowances(
            clock=parts.clock,
            window_seconds=settings.rate_limit_window,
            most_requests=settings.rate_limit_max_requests,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        headers = dict(scope["headers"])
        visit = begin(scope, headers, self._parts.ids, self._proxies)
        visit.headers += self._always
        visit.headers += origin_headers(headers.get(b"origin"), self._origins)
        if self._parts.shutting_down.is_set():
            visit.headers.append(LAST_ON_THIS_CONNECTION)
        with about(request_id=visit.request_id, correlation_id=visit.correlation_id):
            try:
                await self._serve(scope, receive, _noting(visit, send), visit, headers)
            finally:
                self._write_down(scope, visit, seconds=perf_counter() - began)

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, visit: Visit, headers: dict[bytes, bytes]
    ) -> None:
        granted = preflight(headers, self._origins) if scope["method"] == "OPTIONS" else None
        if granted is not None:
            visit.route = "preflight"
            await send({"type": "http.response.start", "status": 204, "headers": granted})
            await send({"type": "http.response.body", "body": b""})
            return
        if scope["method"] == "HEAD" and self._is_public(scope["path"]):
            scope = {**scope, "method": "GET"}  # the server itself leaves the body out
        try:
            self._identify(scope, visit)
            await self._app(scope, receive, send)
        except Exception as failure:
            if visit.status:
                log.exception("answer_broken_off", route=visit.route)
                raise
            await refusal_answer(failure, visit, self._parts)(scope, receive, send)

    def _is_public(self, path: str) -> bool:
        return any(pattern.match(path) for pattern in self._public)

    def _identify(self, scope: Scope, visit: Visit) -> None:
        """Find out who asks and whether they may ask again now. Raises Refusal."""
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        if self._is_public(scope["path"]):
            visit.actor = self._doorkeeper.recognise(sent, address=visit.address)
            return
        visit.actor, visit.key_text = self._doorkeeper.admit(sent, address=visit.address)
        allowance = self._allowances.take(visit.actor)
        if allowance is None:
            return
        visit.headers += allowance.headers()
        if allowance.exceeded:
            log.warning("rate_limited", key=visit.actor.owner)
            message = f"this key may ask {allowance.limit} times in its window"
            raise Refusal(Code.RATE_LIMIT_EXCEEDED, message, retry_after=allowance.reset)

    def _write_down(self, scope: Scope, visit: Visit, *, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._parts.metrics.request_served(route=visit.route, method=method, status=visit.status, seconds=seconds)
        fields = {
            "method": method,
            "path": scope["path"][:500],
            "status": visit.status,
            "ms": round(seconds * 1000, 2),
            "bytes": visit.sent,
            "address": visit.address,
        }
        if visit.actor is not None:
            fields["key"] = visit.actor.owner
        log.info("request_served", **fields)
        if seconds > self._parts.settings.slow_seconds and not visit.held:
            log.warning("request_slow", **fields)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _noting(visit: Visit, send: Send) -> Send:
    """Send on, with the headers that every answer has, and note status and size."""

    async def noted(message: Message) -> None:
        if message["type"] == "http.response.start":
            visit.status = message["status"]
            message["headers"] = _joined(message.get("headers", ()), visit.headers)
        elif message["type"] == "http.response.body":
            visit.sent += len(message.get("body", b""))
        await send(message)

    return noted


def _joined(own: Iterable[tuple[bytes, bytes]], general: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The route's headers, then those of the general ones that it did not set itself."""
    own = list(own)
    said = {name.lower() for name, _ in own}
    return own + [header for header in general if header[0] not in said]
