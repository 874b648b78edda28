"""An answer before it is on the wire: status, bytes, headers. Faults spoil replies; only then do they become responses."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web

from novita_simulator.errors import Refusal
from novita_simulator.http.ask import Empty

JSON = "application/json"


@dataclass(frozen=True, kw_only=True)
class Reply:
    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        response = web.Response(status=self.status, body=self.body, headers=self.headers)
        response.content_type = self.content_type
        return response


def json_reply(value: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    """A JSON body; an `Empty` is no body at all, with its own status."""
    if isinstance(value, Empty):
        return Reply(status=value.status, content_type="text/plain", headers=headers or {})
    return Reply(status=status, body=json.dumps(value).encode(), headers=headers or {})


def refusal_reply(refusal: Refusal, *, headers: dict[str, str] | None = None) -> Reply:
    return json_reply(refusal.body(), status=refusal.status, headers=headers)


def iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
