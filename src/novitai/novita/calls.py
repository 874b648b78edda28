"""A single call to Novita as a value: what to send, how to read the answer, and what it means to have sent it.

`v1.py` and `jobs.py` make them, `transport.py` carries them out. Nothing here knows HTTP's machinery or time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Effect(StrEnum):
    """What a call does to the world; decides whether it may be repeated and what an unknown outcome means."""

    READ = "read"
    CHANGE = "change"
    CREATE = "create"

    @property
    def changes(self) -> bool:
        return self is not Effect.READ


class BreakerName(StrEnum):
    """The three breakers, so that a sick metrics host never blocks a stop (semantics: calls to Novita)."""

    GPU = "gpu"
    ACCOUNT = "account"  # metrics and billing
    INTERNAL = "internal"


@dataclass(frozen=True, kw_only=True)
class Request(Generic[T]):
    """One call. `path` follows the client's base address (with the breaker `account`: that of metrics and billing);
    `body` is JSON or None.

    `read` turns the body of a 2xx answer into our words, or raises `reading.Unreadable`. `names_one`: the call is about
    one thing named in it, so that "not found" says that this thing is gone. `secrets` are values of the body that must
    not come back in a message.
    """

    operation: str
    method: str
    path: str
    read: Callable[[bytes], T]
    effect: Effect = Effect.READ
    breaker: BreakerName = BreakerName.GPU
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    names_one: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer as received, with its whole body. `retry_after` and `date` are the headers' texts."""

    status: int
    body: bytes = field(repr=False)
    content_type: str = ""
    retry_after: str | None = None
    date: str | None = None

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 300


def headers_of(request: Request[Any], correlation_id: str) -> Mapping[str, str]:
    """The headers that belong to one call."""
    headers = {}
    if correlation_id:
        headers["X-Correlation-ID"] = correlation_id
    if request.body is not None:
        headers["Content-Type"] = "application/json"
    return headers
