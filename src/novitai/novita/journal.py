"""What is told of each call after it was made: a log line, a measurement, and the client's state for people.

The log carries paths but no query, and bodies only at debug, small, and without environment values and passwords. One
journal belongs to one client.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import structlog

from novitai.domain.errors import NotAllowed, ProviderFailure
from novitai.novita.calls import Reply, Request
from novitai.novita.errors import works
from novitai.ports.provider import Call, ClientName
from novitai.telemetry.logging import loggable_body

# How many calls the shown latencies look back on.
_REMEMBERED = 256
_HIDDEN = frozenset({"envs", "imageAuth", "password", "sshPassword"})
_REDACTED = "[REDACTED]"

_log = structlog.get_logger()


class Telemetry(Protocol):
    """Where calls are counted."""

    def upstream_call(self, *, client: str, operation: str, outcome: str, seconds: float) -> None:
        """One physical call has ended. `outcome` is `ok`, `cancelled`, or the failure's class name, such as `TryLater`."""
        ...


class NoTelemetry:
    """Counts nothing."""

    def upstream_call(self, *, client: str, operation: str, outcome: str, seconds: float) -> None:
        """Do nothing."""


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One physical call as it went: the whole answer, if one came, and what was made of it. Times are Unix seconds."""

    request: Request[Any]
    reply: Reply | None
    failure: ProviderFailure | None
    began: float
    ended: float


Witness = Callable[[Exchange], None]
"""Is shown every call that ended, with bodies and all their secrets: for tools that look into Novita's habits."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How a client's calls have been going. Times are Unix seconds."""

    reachable: bool | None = None
    last_success_at: float | None = None
    last_failure_at: float | None = None
    last_error: str | None = None
    auth_failed: bool = False


class Journal:
    """The record of one client's calls."""

    def __init__(
        self,
        client: ClientName,
        telemetry: Telemetry,
        now: Callable[[], float],
        *,
        slow_ms: float,
        witness: Witness | None = None,
    ) -> None:
        self.health = Health()
        self._client = client
        self._telemetry = telemetry
        self._now = now
        self._slow_ms = slow_ms
        self._witness = witness
        self._latencies: deque[float] = deque(maxlen=_REMEMBERED)
        self._breakers: dict[str, str] = {}

    def ended(
        self, request: Request[Any], call: Call, *, began: float, reply: Reply | None, failure: ProviderFailure | None
    ) -> None:
        """One physical call has ended with an answer, a failure, or both (a refusal)."""
        now = self._now()
        self._latencies.append(max(0.0, now - began))
        if self._witness is not None:
            self._witness(Exchange(request=request, reply=reply, failure=failure, began=began, ended=now))
        self._note_health(request, failure, reply, now)
        outcome = type(failure).__name__ if failure else "ok"
        self._tell(request, call, outcome=outcome, seconds=now - began, reply=reply, failure=failure)

    def cancelled(self, request: Request[Any], call: Call, *, began: float) -> None:
        """The caller gave up on a call under way."""
        self._tell(request, call, outcome="cancelled", seconds=self._now() - began, reply=None, failure=None)

    def retrying(
        self, request: Request[Any], call: Call, failure: ProviderFailure, *, attempt: int, pause: float
    ) -> None:
        """A read is about to be repeated."""
        self._line(call).warning(
            "novita_retry", operation=request.operation, attempt=attempt, seconds=round(pause, 3), error=failure.message
        )

    def breaker_seen(self, breaker: str, state: str) -> None:
        """A breaker's state after a call; a change is worth a line."""
        before = self._breakers.get(breaker, "CLOSED")
        self._breakers[breaker] = state
        if state != before:
            _log.warning("novita_breaker", client=self._client.value, breaker=breaker, before=before, state=state)

    def latency_ms(self, part: float) -> float | None:
        """The latency in milliseconds that this part of the remembered calls stayed below, or None before the first."""
        ordered = sorted(self._latencies)
        return 1000 * ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else None

    def _note_health(
        self, request: Request[Any], failure: ProviderFailure | None, reply: Reply | None, now: float
    ) -> None:
        reachable = reply is not None and reply.status != 408 and reply.status < 500
        refused = isinstance(failure, NotAllowed)
        if failure is None or (works(failure) and not refused):
            auth_failed = self.health.auth_failed and failure is not None
            self.health = msgspec.structs.replace(
                self.health, reachable=reachable, last_success_at=now, auth_failed=auth_failed
            )
            return
        self.health = msgspec.structs.replace(
            self.health,
            reachable=reachable,
            last_failure_at=now,
            last_error=f"{request.operation}: {failure.message}",
            auth_failed=self.health.auth_failed or refused,
        )

    def _tell(
        self,
        request: Request[Any],
        call: Call,
        *,
        outcome: str,
        seconds: float,
        reply: Reply | None,
        failure: ProviderFailure | None,
    ) -> None:
        self._telemetry.upstream_call(
            client=self._client.value, operation=request.operation, outcome=outcome, seconds=seconds
        )
        milliseconds = round(1000 * seconds, 1)
        fields = {
            "operation": request.operation,
            "method": request.method,
            "path": request.path,
            "status": reply.status if reply else None,
            "outcome": outcome,
            "ms": milliseconds,
            "bytes": len(reply.body) if reply else 0,
        }
        if failure is not None:
            fields["error"] = failure.message
        line = self._line(call)
        if milliseconds > self._slow_ms:
            line.warning("novita_call_slow", **fields)
        if line.is_enabled_for(logging.DEBUG):
            line.debug("novita_call", **fields, **_bodies(request, reply))

    def _line(self, call: Call) -> Any:
        return _log.bind(
            client=self._client.value, **({"correlationId": call.correlation_id} if call.correlation_id else {})
        )


def _bodies(request: Request[Any], reply: Reply | None) -> dict[str, object]:
    bodies: dict[str, object] = {}
    if request.body:
        bodies["request"] = _without_secrets(loggable_body(request.body, "application/json"), request.secrets)
    if reply is not None and reply.body:
        bodies["answer"] = _without_secrets(loggable_body(reply.body, reply.content_type), request.secrets)
    return bodies


def _without_secrets(value: object, secrets: tuple[str, ...]) -> object:
    """Without what hides by its name, and without this call's own secrets wherever an answer quotes them."""
    if isinstance(value, dict):
        return {name: _REDACTED if name in _HIDDEN else _without_secrets(held, secrets) for name, held in value.items()}
    if isinstance(value, list):
        return [_without_secrets(held, secrets) for held in value]
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, _REDACTED)
    return value
