"""One request to the server as a value, and the small rules of how arguments become paths, queries and bodies."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from novitai_client.models import Port

LONGEST_HOLD_SECONDS = 60.0


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request. `key` is its Idempotency-Key (None on reads); `hold` is how many seconds the server may keep us waiting
    on purpose; `accepted` are statuses beside 2xx whose body is an answer and no error.
    """

    method: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] | None = None
    key: str | None = None
    hold: float = 0.0
    prefer_wait: bool = False
    accepted: frozenset[int] = frozenset()

    @property
    def is_read(self) -> bool:
        return self.method == "GET"

    def headers(self) -> dict[str, str]:
        """The headers that belong to this one call."""
        headers = {"Accept": "application/json"}
        if self.body is not None:
            headers["Content-Type"] = "application/json"
        if self.key is not None:
            headers["Idempotency-Key"] = self.key
        if self.prefer_wait:
            headers["Prefer"] = f"wait={self.hold:.0f}"
        return headers

    def content(self) -> bytes | None:
        return None if self.body is None else msgspec.json.encode(self.body)


def path(*parts: str) -> str:
    """`/api/…` with every part quoted, so an id can never become another path."""
    return "/api/" + "/".join(quote(part, safe="") for part in parts)


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that were given: those that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def params(fields: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """A query: None is left out, a sequence is repeated, a mapping becomes `k=v` pairs."""
    return tuple((name, text) for name, value in given(fields).items() for text in _texts(value))


def _texts(value: Any) -> Sequence[str]:
    if isinstance(value, Mapping):
        return [f"{key}={one}" for key, one in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return [str(one) for one in value]
    if isinstance(value, bool):
        return [str(value).lower()]
    return [f"{value:g}" if isinstance(value, float) else str(value)]


def port_list(wanted: Sequence[str | int | Port] | None) -> list[dict[str, Any]] | None:
    """Ports as the API wants them, from `8080`, `"8080"`, `"8080/http"` or a Port. Raises ValueError."""
    return None if wanted is None else [_port(one) for one in wanted]


def _port(wanted: str | int | Port) -> dict[str, Any]:
    if isinstance(wanted, Port):
        return {"port": wanted.port, "type": wanted.type}
    number, _, kind = str(wanted).partition("/")
    if not number.isascii() or not number.isdigit() or kind not in {"", "http", "tcp"}:
        raise ValueError(f"a port looks like 8080, 8080/http or 22/tcp, not {wanted!r}")
    return {"port": int(number), "type": kind or "http"}


def pairs(values: Mapping[str, str] | None) -> list[dict[str, str]] | None:
    """Environment variables as the API wants them."""
    return None if values is None else [{"key": key, "value": value} for key, value in values.items()]


def duration(value: str | float | None) -> str | None:
    """A duration as the API wants it: text as it is, a number as seconds."""
    return value if value is None or isinstance(value, str) else f"{value:.10g}s"


def moment(value: datetime | None) -> str | None:
    """A time as the API wants it. Raises ValueError for a time without a zone, which could mean two moments."""
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError("a time needs a time zone, such as datetime.now(timezone.utc)")
    return value.isoformat()


def hold(seconds: float | None) -> float:
    """How long the server may hold an answer: whole seconds, at most what the API allows."""
    return 0.0 if seconds is None else float(min(LONGEST_HOLD_SECONDS, max(1, round(seconds))))
