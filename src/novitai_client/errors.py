"""What can go wrong, by what you would do next.

    NovitaiError
    ├── ApiError                  the server answered with an error; status, code, request id
    │   ├── NotFound              404: no such instance, template, job, key …
    │   ├── ValidationFailed      400, 413, 422: the request is wrong; `field_errors` says where
    │   ├── NotAllowed            401, 403: no key, an unknown or expired one, or one without the scope
    │   ├── Conflict              409: the state of the world refuses it
    │   │   ├── InvalidState      the instance is not in a state for this
    │   │   ├── NameAmbiguous     several instances of this name; `ids` lists them
    │   │   ├── NoCapacity        no offer fits, or none has a free GPU; `offers` says why each failed
    │   │   └── BudgetExceeded    a budget, a ceiling or a limit of the key
    │   ├── InsufficientBalance   402: the Novita account cannot pay
    │   ├── RateLimited           429: too many requests; `retry_after` in seconds
    │   └── UpstreamTrouble       502, 504, or 503 with Novita's circuit open: Novita, not the server
    ├── ServerAway                the server cannot be reached, or it cannot reach its store
    ├── UnexpectedAnswer          an answer that is not this API's (a proxy's page, a body cut short)
    ├── SettingsError             the client was set up with something that cannot work
    ├── StartupFailed             waited for `ready`, but the instance failed or ended
    └── WaitTimedOut              waited for `ready` for the whole time given

Which class an answer becomes is decided in one table at the end of this file: by code first, then by status.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from novitai_client.models import Instance, Offer


class NovitaiError(Exception):
    """Root of every failure that this package raises on purpose."""


class FieldError(msgspec.Struct, frozen=True):
    """One field of a request and what is wrong with it."""

    field: str
    message: str


class Problem(msgspec.Struct, frozen=True, rename="camel"):
    """The `error` object of an answer. `retry_after` is in seconds."""

    code: str
    message: str
    request_id: str | None = None
    correlation_id: str | None = None
    validation_errors: tuple[FieldError, ...] | None = None
    retryable: bool | None = None
    retry_after: float | None = None
    details: Mapping[str, Any] | None = None


class ApiError(NovitaiError):
    """The server answered with an error. `status` is HTTP's, the rest is the answer's `error` object."""

    def __init__(self, status: int, problem: Problem) -> None:
        super().__init__(f"{problem.message} ({problem.code})")
        self.status = status
        self.code = problem.code
        self.message = problem.message
        self.request_id = problem.request_id
        self.correlation_id = problem.correlation_id
        self.field_errors = problem.validation_errors or ()
        self.retryable = problem.retryable
        self.retry_after = problem.retry_after
        self.details: Mapping[str, Any] = problem.details or {}


class NotFound(ApiError):
    """No such thing."""


class ValidationFailed(ApiError):
    """The request breaks a rule; `field_errors` names the fields."""


class NotAllowed(ApiError):
    """The key is missing, unknown, expired or revoked (401), or lacks the scope (403)."""


class Conflict(ApiError):
    """The state of the world refuses the request; nothing was done."""


class InvalidState(Conflict):
    """The instance is not in a state for this."""


class NameAmbiguous(Conflict):
    """Several instances have this name; use one of `ids`."""

    @property
    def ids(self) -> tuple[str, ...]:
        found = self.details.get("instanceIds") or self.details.get("ids")
        return tuple(str(one) for one in found) if isinstance(found, list | tuple) else ()


class NoCapacity(Conflict):
    """No offer could be had. `offers` are the ranked ones, each with the reason why it failed."""

    @property
    def offers(self) -> tuple[Offer, ...]:
        return offers_of(self.details)


class BudgetExceeded(Conflict):
    """A budget, `MAX_INSTANCES`, `MAX_USD_PER_HOUR` or a limit of the key stands in the way."""


class InsufficientBalance(ApiError):
    """The Novita account cannot pay for it."""


class RateLimited(ApiError):
    """Too many requests with this key; again after `retry_after` seconds."""


class UpstreamTrouble(ApiError):
    """Novita failed, did not answer, refuses the server's key, or is being left alone for a while."""


class ServerAway(NovitaiError):
    """The server cannot be reached, broke off, or cannot reach its store just now.

    `idempotency_key` is the key of the change that was under way, or None for a read: whether the change was accepted
    is then unknown, and asking again with the same key cannot do it twice. `problem` is the server's own word, if any.
    """

    def __init__(self, message: str, *, idempotency_key: str | None = None, problem: Problem | None = None) -> None:
        super().__init__(message)
        self.idempotency_key = idempotency_key
        self.problem = problem


class UnexpectedAnswer(NovitaiError):
    """The answer is not of this API's shape. `status` is HTTP's; `body` is its beginning."""

    def __init__(self, message: str, *, status: int, body: bytes) -> None:
        super().__init__(message)
        self.status = status
        self.body = body[:500]


class SettingsError(NovitaiError, ValueError):
    """The address, the key or the file of the key cannot be used."""


class StartupFailed(NovitaiError):
    """The instance failed or ended before it was ready. `instance` is its last state, `code` the server's reason."""

    def __init__(self, instance: Instance) -> None:
        error = instance.last_error
        reason = error.message if error else f"it is {instance.status}"
        super().__init__(f"{instance.name} did not become ready: {reason}")
        self.instance = instance
        self.code = error.code if error else None
        self.offers = error.offers if error else ()


class WaitTimedOut(NovitaiError):
    """The instance was not ready in time. It goes on without us; `instance` is its last state."""

    def __init__(self, instance: Instance, seconds: float) -> None:
        super().__init__(f"{instance.name} is still {instance.status} after {seconds:g} s")
        self.instance = instance
        self.seconds = seconds


def offers_of(details: Mapping[str, Any]) -> tuple[Offer, ...]:
    """The offers of an error's details; those that cannot be read are left out."""
    found = details.get("offers")
    try:
        return msgspec.convert(found or (), tuple[Offer, ...])
    except msgspec.ValidationError:
        return ()


def api_error(status: int, problem: Problem) -> NovitaiError:
    """The exception for an error answer: by its code, else by its status."""
    if problem.code == "STORE_UNAVAILABLE":
        return ServerAway(problem.message, problem=problem)
    return _BY_CODE.get(problem.code, _BY_STATUS.get(status, ApiError))(status, problem)


_BY_CODE: dict[str, type[ApiError]] = {
    "INVALID_STATE": InvalidState,
    "INSTANCE_NOT_STARTABLE": InvalidState,
    "OPERATION_IN_PROGRESS": InvalidState,
    "NAME_AMBIGUOUS": NameAmbiguous,
    "NO_CAPACITY": NoCapacity,
    "NO_OFFER_WITHIN_CAP": NoCapacity,
    "BUDGET_EXCEEDED": BudgetExceeded,
    "QUOTA_EXCEEDED": BudgetExceeded,
    "CIRCUIT_BREAKER_OPEN": UpstreamTrouble,
}

_BY_STATUS: dict[int, type[ApiError]] = {
    400: ValidationFailed,
    401: NotAllowed,
    402: InsufficientBalance,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    413: ValidationFailed,
    422: ValidationFailed,
    429: RateLimited,
    502: UpstreamTrouble,
    504: UpstreamTrouble,
}
