"""The front door of the simulated API: every call is logged, may be spoiled, is checked, and is answered by a route.

The order is that of a real service behind a proxy: trouble on the way first, then the key and the rate, then the route. Bodies are not
required to name their content type (novita-wire.md 1.1).
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from novita_simulator.errors import Refusal, bad_request, invalid_param
from novita_simulator.fields import Fields, InvalidField
from novita_simulator.http import account, guard, holdings, internal, public
from novita_simulator.http.ask import Ask, Route
from novita_simulator.http.faulting import deliver
from novita_simulator.http.reply import Reply, json_reply, refusal_reply
from novita_simulator.stage import Stage

_ROUTES: dict[tuple[str, str], Route] = {
    (method, path): route
    for routes in (public.ROUTES, holdings.ROUTES, account.ROUTES, internal.ROUTES)
    for method, path, route in routes
}
_BROKEN = object()  # a body that is not JSON


@dataclass(frozen=True, kw_only=True)
class Edge:
    """`advance` brings world and ports up to now and returns that moment; `closing` is set when the server stops."""

    stage: Stage
    advance: Callable[[], float]
    closing: asyncio.Event

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = _parse(await request.read())
        call = self.stage.calls.receive(
            now=self.advance(),
            method=request.method,
            path=request.path,
            query=request.query_string,
            correlation_id=_correlation_id(request),
            body=None if body is _BROKEN else body,
        )
        fault = self.stage.faults.take(request.method, request.path)
        call.fault = f"{fault.id} {fault.mode}" if fault else ""
        response = await deliver(request, fault, effect=lambda: self._answer(request, body), closing=self.closing)
        if request.transport is not None and not request.transport.is_closing():
            call.status = response.status
            call.answered_at = self.advance()
        return response

    def _answer(self, request: web.Request, body: object) -> Reply:
        now = self.advance()
        try:
            guard.check_key(self.stage, path=request.path, authorization=request.headers.get("Authorization", ""))
            guard.check_rate(self.stage, now)
            return self._routed(request, body, now)
        except InvalidField as error:
            return refusal_reply(invalid_param(error.field))
        except Refusal as refusal:
            return refusal_reply(refusal, headers=guard.retry_after(self.stage, refusal))
        finally:
            self.advance()

    def _routed(self, request: web.Request, body: object, now: float) -> Reply:
        route = _ROUTES.get((request.method, request.path))
        if route is None:
            return Reply(status=404, body=b"404 page not found", content_type="text/plain")
        if body is _BROKEN or not isinstance(body, dict):
            raise bad_request()
        ask = Ask(
            stage=self.stage,
            now=now,
            query=Fields({name: value for name, value in request.query.items() if value}),
            body=Fields(body),
            origin=f"{request.scheme}://{request.host}",
        )
        return json_reply(route(ask))


def _correlation_id(request: web.Request) -> str:
    return request.headers.get("X-Correlation-ID", request.headers.get("X-Request-ID", ""))


def _parse(raw: bytes) -> object:
    """The JSON body; none at all is an empty object."""
    try:
        return json.loads(raw) if raw.strip() else {}
    except ValueError:
        return _BROKEN
