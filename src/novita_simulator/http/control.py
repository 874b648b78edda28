"""The control API under `/_sim/`: no key, but only from this machine. Documented in docs/reference/simulator.md."""

import ipaddress
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from novita_simulator import report
from novita_simulator.fields import Fields, InvalidField
from novita_simulator.stage import Stage

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, kw_only=True)
class Control:
    stage: Stage
    advance: Callable[[], float]

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_sim/state", self._guarded(self._state)),
            web.get("/_sim/calls", self._guarded(self._calls)),
            web.get("/_sim/bill", self._guarded(self._bill)),
            web.get("/_sim/config", self._guarded(self._config)),
            web.get("/_sim/faults", self._guarded(self._faults)),
            web.delete("/_sim/faults", self._guarded(self._clear_faults)),
            web.post("/_sim/reset", self._guarded(self._reset)),
            web.post("/_sim/{action}", self._guarded(self._act)),
        ]

    def _guarded(self, handler: _Handler) -> _Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if not _is_local(request.remote):
                return web.json_response({"error": {"field": "", "message": "only from this machine"}}, status=403)
            try:
                return await handler(request)
            except InvalidField as error:
                detail = {"field": error.field, "message": error.message}
                return web.json_response({"error": detail}, status=422)

        return guarded

    async def _state(self, _request: web.Request) -> web.Response:
        return web.json_response(report.state(self.stage, self.advance()))

    async def _calls(self, request: web.Request) -> web.Response:
        since = Fields(dict(request.query)).number("since", 0)
        calls = self.stage.calls.since(since)
        return web.json_response({"calls": [call.to_json() for call in calls], "total": len(calls)})

    async def _bill(self, _request: web.Request) -> web.Response:
        now = self.advance()
        return web.json_response(report.bill(self.stage.world, now))

    async def _config(self, _request: web.Request) -> web.Response:
        return web.json_response(self.stage.world.settings.to_json())

    async def _faults(self, _request: web.Request) -> web.Response:
        return web.json_response({"faults": [fault.to_json() for fault in self.stage.faults]})

    async def _clear_faults(self, _request: web.Request) -> web.Response:
        return web.json_response({"cleared": self.stage.faults.clear()})

    async def _reset(self, _request: web.Request) -> web.Response:
        self.stage.reset(self.advance())
        self.advance()
        return web.json_response({"reset": True})

    async def _act(self, request: web.Request) -> web.Response:
        answer = self.stage.perform(request.match_info["action"], await _body(request), self.advance())
        self.advance()
        return web.json_response(answer)


async def _body(request: web.Request) -> object:
    raw = await request.read()
    try:
        return json.loads(raw) if raw.strip() else {}
    except ValueError:
        raise InvalidField("body", "is not JSON") from None


def _is_local(remote: str | None) -> bool:
    try:
        return ipaddress.ip_address(remote or "").is_loopback
    except ValueError:
        return False
