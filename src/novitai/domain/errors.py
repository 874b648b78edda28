"""Failures by meaning: what to do next, never how it looked on the wire.

    NovitaiError
    ├── Refusal                 we say no to a request; carries the stable code that users and clients see
    └── ProviderFailure         a call to Novita did not do what was asked
        ├── Gone                the thing is not there (one piece of evidence, not proof)
        ├── NoCapacity          nothing free for this offer now: try the next one
        ├── NoBalance           the account cannot pay
        ├── QuotaExceeded       the account's own limit of machines
        ├── NotAllowed          the key is refused: nothing will work until a person acts
        ├── InvalidState        the machine is not in a state for this: look, then decide again
        ├── Rejected            the request itself is wrong; sending it again will not help
        ├── TryLater            nothing was done; `retry_after` says when (busy, breaker open, limiter full, 429)
        ├── Unclear             it may or may not have been done: look before acting again
        └── Broken              an answer that could not be understood on a call that changes nothing

`ProviderFailure.clear` tells the two kinds apart that matter most: after a clear failure nothing was done, after an
unclear one the world must be looked at first.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec


class Code(StrEnum):
    """Every code an error answer can carry (the contract's names)."""

    VALIDATION_ERROR = "VALIDATION_ERROR"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    INSTANCE_NOT_FOUND = "INSTANCE_NOT_FOUND"
    TEMPLATE_NOT_FOUND = "TEMPLATE_NOT_FOUND"
    PRODUCT_NOT_FOUND = "PRODUCT_NOT_FOUND"
    REGION_NOT_FOUND = "REGION_NOT_FOUND"
    JOB_NOT_FOUND = "JOB_NOT_FOUND"
    KEY_NOT_FOUND = "KEY_NOT_FOUND"
    BUDGET_NOT_FOUND = "BUDGET_NOT_FOUND"
    CACHE_NOT_FOUND = "CACHE_NOT_FOUND"
    NETWORK_STORAGE_NOT_FOUND = "NETWORK_STORAGE_NOT_FOUND"
    REGISTRY_AUTH_NOT_FOUND = "REGISTRY_AUTH_NOT_FOUND"
    NAME_AMBIGUOUS = "NAME_AMBIGUOUS"
    INSTANCE_NOT_STARTABLE = "INSTANCE_NOT_STARTABLE"
    INVALID_STATE = "INVALID_STATE"
    OPERATION_IN_PROGRESS = "OPERATION_IN_PROGRESS"
    CONFLICT = "CONFLICT"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    RATE_LIMIT_EXCEEDED = "RATE_LIMIT_EXCEEDED"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    NO_CAPACITY = "NO_CAPACITY"
    NO_OFFER_WITHIN_CAP = "NO_OFFER_WITHIN_CAP"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    UPSTREAM_AUTH_FAILED = "UPSTREAM_AUTH_FAILED"
    UPSTREAM_ERROR = "UPSTREAM_ERROR"
    UPSTREAM_TIMEOUT = "UPSTREAM_TIMEOUT"
    CIRCUIT_BREAKER_OPEN = "CIRCUIT_BREAKER_OPEN"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    STARTUP_TIMEOUT = "STARTUP_TIMEOUT"
    PULL_TIMEOUT = "PULL_TIMEOUT"
    HEALTH_CHECK_TIMEOUT = "HEALTH_CHECK_TIMEOUT"
    MACHINE_ERROR = "MACHINE_ERROR"
    MACHINE_LOST = "MACHINE_LOST"
    INTERNAL_ERROR = "INTERNAL_ERROR"


class FieldProblem(msgspec.Struct, frozen=True):
    """One field of a request and what is wrong with it, in words that say what is allowed."""

    field: str
    message: str


class NovitaiError(Exception):
    """Root of the failures that have a meaning."""


class Refusal(NovitaiError):
    """A request is refused; nothing was done. `details` is shown to the caller as it is and must hold no secret."""

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        fields: Sequence[FieldProblem] = (),
        details: Mapping[str, object] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fields = tuple(fields)
        self.details = dict(details or {})
        self.retry_after = retry_after


def invalid(field: str, message: str) -> Refusal:
    """A refusal for one field of a request."""
    return Refusal(Code.VALIDATION_ERROR, f"{field}: {message}", fields=[FieldProblem(field, message)])


class ProviderFailure(NovitaiError):
    """A call to Novita failed. `reason` is Novita's own constant and `status` its HTTP status, for people; decisions
    use the class.
    """

    clear = True
    code = Code.UPSTREAM_ERROR

    def __init__(
        self, message: str, *, reason: str = "", status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.status = status
        self.retry_after = retry_after


class Gone(ProviderFailure):
    """404, or 400 with a `*_NOT_FOUND` reason (novita-wire.md 2.2)."""


class NoCapacity(ProviderFailure):
    """No GPU of this offer is free now."""

    code = Code.NO_CAPACITY


class NoBalance(ProviderFailure):
    """The account cannot pay for this."""

    code = Code.INSUFFICIENT_BALANCE


class QuotaExceeded(ProviderFailure):
    """The account may not have more machines or GPUs."""

    code = Code.QUOTA_EXCEEDED


class NotAllowed(ProviderFailure):
    """The API key is unknown, revoked or lacks a right."""

    code = Code.UPSTREAM_AUTH_FAILED


class InvalidState(ProviderFailure):
    """Novita refuses this in the machine's present state; sometimes it has done it all the same."""

    code = Code.INVALID_STATE


class Rejected(ProviderFailure):
    """The request breaks a rule of Novita's."""


class RegistryAuthMissing(ProviderFailure):
    """The registry credential named by id is not in the account any more."""

    code = Code.REGISTRY_AUTH_NOT_FOUND


class TryLater(ProviderFailure):
    """Nothing was done now. `rate_limited`: Novita itself answered 429."""

    def __init__(
        self,
        message: str,
        *,
        code: Code = Code.UPSTREAM_ERROR,
        reason: str = "",
        status: int | None = None,
        retry_after: float | None = None,
        rate_limited: bool = False,
    ) -> None:
        super().__init__(message, reason=reason, status=status, retry_after=retry_after)
        self.code = code
        self.rate_limited = rate_limited


class Unclear(ProviderFailure):
    """Time-out, broken connection, 5xx or an unreadable answer to a call that changes something."""

    clear = False
    code = Code.UPSTREAM_TIMEOUT


class Broken(ProviderFailure):
    """An answer to a read that could not be understood."""
