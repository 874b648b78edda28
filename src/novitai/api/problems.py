"""Failures as HTTP answers: one table from code to status, one shape for every error body.

What a caller reads is the failure's own sentence; an exception without a meaning becomes a neutral one, and its text goes to the log alone.
"""

import math
from typing import Any

import msgspec

from novitai.domain.errors import Code, FieldProblem, ProviderFailure, Refusal
from novitai.ports.store import StoreError, StoreUnavailable

STATUS: dict[Code, int] = {
    Code.VALIDATION_ERROR: 422,
    Code.UNAUTHORIZED: 401,
    Code.FORBIDDEN: 403,
    Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.INSTANCE_NOT_FOUND: 404,
    Code.TEMPLATE_NOT_FOUND: 404,
    Code.PRODUCT_NOT_FOUND: 404,
    Code.REGION_NOT_FOUND: 404,
    Code.JOB_NOT_FOUND: 404,
    Code.KEY_NOT_FOUND: 404,
    Code.BUDGET_NOT_FOUND: 404,
    Code.CACHE_NOT_FOUND: 404,
    Code.NETWORK_STORAGE_NOT_FOUND: 404,
    Code.REGISTRY_AUTH_NOT_FOUND: 404,
    Code.NAME_AMBIGUOUS: 409,
    Code.INSTANCE_NOT_STARTABLE: 409,
    Code.INVALID_STATE: 409,
    Code.OPERATION_IN_PROGRESS: 409,
    Code.CONFLICT: 409,
    Code.IDEMPOTENCY_KEY_REUSED: 422,
    Code.PAYLOAD_TOO_LARGE: 413,
    Code.RATE_LIMIT_EXCEEDED: 429,
    Code.BUDGET_EXCEEDED: 409,
    Code.NO_CAPACITY: 409,
    Code.NO_OFFER_WITHIN_CAP: 409,
    Code.QUOTA_EXCEEDED: 409,
    Code.INSUFFICIENT_BALANCE: 402,
    Code.UPSTREAM_AUTH_FAILED: 502,
    Code.UPSTREAM_ERROR: 502,
    Code.UPSTREAM_TIMEOUT: 504,
    Code.CIRCUIT_BREAKER_OPEN: 503,
    Code.STORE_UNAVAILABLE: 503,
    Code.STARTUP_TIMEOUT: 409,
    Code.PULL_TIMEOUT: 409,
    Code.HEALTH_CHECK_TIMEOUT: 409,
    Code.MACHINE_ERROR: 409,
    Code.MACHINE_LOST: 409,
    Code.INTERNAL_ERROR: 500,
}

RETRYABLE = frozenset(
    {
        Code.OPERATION_IN_PROGRESS,
        Code.CONFLICT,
        Code.NO_CAPACITY,
        Code.RATE_LIMIT_EXCEEDED,
        Code.UPSTREAM_ERROR,
        Code.UPSTREAM_TIMEOUT,
        Code.CIRCUIT_BREAKER_OPEN,
        Code.STORE_UNAVAILABLE,
    }
)
"""The same request may succeed later."""

USUAL_PAUSE_SECONDS = {Code.CIRCUIT_BREAKER_OPEN: 5.0, Code.STORE_UNAVAILABLE: 1.0, Code.RATE_LIMIT_EXCEEDED: 1.0}
"""`Retry-After` where the failure does not say."""

UNEXPECTED = "something went wrong inside the server; the request id finds it in the log"


class Malformed(Refusal):
    """A request that cannot be read at all: 400 where a broken rule is 422."""

    status = 400

    def __init__(self, message: str, *, field: str = "body") -> None:
        super().__init__(Code.VALIDATION_ERROR, message, fields=[FieldProblem(field, message)])


class ErrorDetail(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The `error` object of every refusal. `retry_after` is in seconds."""

    code: str
    message: str
    timestamp: str
    request_id: str
    correlation_id: str
    retryable: bool
    retry_after: int | None = None
    validation_errors: list[FieldProblem] | None = None
    details: dict[str, Any] | None = None


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal with its status, before it knows to which request it belongs."""

    status: int
    refusal: Refusal

    @property
    def retry_after(self) -> int | None:
        """Whole seconds for `Retry-After`, None when waiting would not help or nobody knows."""
        seconds = self.refusal.retry_after
        if seconds is None:
            seconds = USUAL_PAUSE_SECONDS.get(self.refusal.code)
        return None if seconds is None else max(1, math.ceil(seconds))

    def body(self, *, at: str, request_id: str, correlation_id: str) -> bytes:
        """The JSON of the contract, api.md section 1."""
        refusal = self.refusal
        detail = ErrorDetail(
            code=str(refusal.code),
            message=refusal.message,
            timestamp=at,
            request_id=request_id,
            correlation_id=correlation_id,
            retryable=refusal.code in RETRYABLE,
            retry_after=self.retry_after,
            validation_errors=list(refusal.fields) or None,
            details=refusal.details or None,
        )
        return msgspec.json.encode({"error": detail})


def problem_of(failure: BaseException) -> Problem:
    """What a failure means to a caller. Anything without a meaning of its own is INTERNAL_ERROR."""
    if isinstance(failure, Malformed):
        return Problem(status=failure.status, refusal=failure)
    refusal = _refusal(failure)
    return Problem(status=STATUS[refusal.code], refusal=refusal)


def _refusal(failure: BaseException) -> Refusal:
    if isinstance(failure, Refusal):
        return failure
    if isinstance(failure, ProviderFailure):
        return Refusal(failure.code, f"Novita: {failure.message}", retry_after=failure.retry_after)
    if isinstance(failure, StoreUnavailable):
        message = "the store cannot be written or read now; nothing was changed"
        return Refusal(Code.STORE_UNAVAILABLE, message)
    if isinstance(failure, StoreError):
        return Refusal(Code.CONFLICT, "something else changed this at the same moment; try again", retry_after=1.0)
    return Refusal(Code.INTERNAL_ERROR, UNEXPECTED)


def expected(failure: BaseException) -> bool:
    """Whether a failure is part of normal life and needs no trace in the log."""
    return isinstance(failure, (Refusal, ProviderFailure, StoreError))
