"""Failures as answers: every code has a status, every body one shape, and nothing internal is told."""

import msgspec
import pytest

from novitai.api.problems import RETRYABLE, STATUS, UNEXPECTED, Malformed, problem_of
from novitai.domain.errors import Code, FieldProblem, NoCapacity, Refusal, TryLater, Unclear, invalid
from novitai.ports.store import Conflict, LeaseLost, StoreUnavailable


@pytest.mark.parametrize("code", Code)
def test_every_code_has_a_status(code):
    """A code added to the domain cannot be forgotten here."""
    assert 400 <= STATUS[code] < 600


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (invalid("name", "is too long"), 422, Code.VALIDATION_ERROR),
        (Malformed("not JSON"), 400, Code.VALIDATION_ERROR),
        (Refusal(Code.INSUFFICIENT_BALANCE, "no money"), 402, Code.INSUFFICIENT_BALANCE),
        (Refusal(Code.IDEMPOTENCY_KEY_REUSED, "other body"), 422, Code.IDEMPOTENCY_KEY_REUSED),
        (Refusal(Code.BUDGET_EXCEEDED, "too much"), 409, Code.BUDGET_EXCEEDED),
        (NoCapacity("none left"), 409, Code.NO_CAPACITY),
        (Unclear("timed out"), 504, Code.UPSTREAM_TIMEOUT),
        (TryLater("open", code=Code.CIRCUIT_BREAKER_OPEN), 503, Code.CIRCUIT_BREAKER_OPEN),
        (StoreUnavailable("disk full"), 503, Code.STORE_UNAVAILABLE),
        (Conflict("version"), 409, Code.CONFLICT),
        (LeaseLost("token"), 409, Code.CONFLICT),
        (ZeroDivisionError("secret detail"), 500, Code.INTERNAL_ERROR),
    ],
)
def test_a_failure_becomes_its_status_and_code(failure, status, code):
    """Callers decide by status and code; both come from one table."""
    problem = problem_of(failure)

    assert (problem.status, problem.refusal.code) == (status, code)


def test_an_error_body_has_the_fields_of_the_contract_and_no_others():
    """api.md section 1: optional fields are absent, not null."""
    refusal = Refusal(Code.VALIDATION_ERROR, "name: is too long", fields=[FieldProblem("name", "is too long")])

    body = problem_of(refusal).body(at="2027-01-15T08:00:00.000Z", request_id="r", correlation_id="c")

    assert msgspec.json.decode(body) == {
        "error": {
            "code": "VALIDATION_ERROR",
            "message": "name: is too long",
            "timestamp": "2027-01-15T08:00:00.000Z",
            "requestId": "r",
            "correlationId": "c",
            "retryable": False,
            "validationErrors": [{"field": "name", "message": "is too long"}],
        }
    }


def test_an_unexpected_failure_tells_nothing_of_itself():
    """A stack trace or an exception's text could hold a secret; the log has it, the caller has the request id."""
    body = problem_of(RuntimeError("password=hunter2")).body(at="", request_id="r", correlation_id="c")

    assert b"hunter2" not in body
    assert msgspec.json.decode(body)["error"]["message"] == UNEXPECTED


@pytest.mark.parametrize(("seconds", "told"), [(0.2, 1), (1.0, 1), (61.2, 62)])
def test_the_time_to_wait_is_told_in_whole_seconds_rounded_up(seconds, told):
    """`Retry-After` has whole seconds; coming back too early would only be refused again."""
    assert problem_of(Refusal(Code.RATE_LIMIT_EXCEEDED, "slow down", retry_after=seconds)).retry_after == told


@pytest.mark.parametrize("code", [Code.CIRCUIT_BREAKER_OPEN, Code.STORE_UNAVAILABLE, Code.RATE_LIMIT_EXCEEDED])
def test_answers_that_promise_a_retry_time_always_have_one(code):
    """429 and 503 come with `Retry-After` even when nobody knows it exactly."""
    assert problem_of(Refusal(code, "later")).retry_after is not None
    assert code in RETRYABLE
