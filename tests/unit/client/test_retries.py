"""When a failed request is sent again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novitai_client import Retries
from novitai_client._calls import Call
from novitai_client._retries import repeatable, retry_after_seconds

READ = Call(method="GET", path="/x")
CHANGE = Call(method="POST", path="/x", key="k")


@given(attempt=st.integers(1, 50), elapsed=st.floats(0, 100), chance=st.floats(0, 1, exclude_max=True))
def test_every_pause_is_bounded(attempt: int, elapsed: float, chance: float) -> None:
    """By the number of attempts, by the longest pause, by the time in all."""
    rules = Retries()

    pause = rules.pause(attempt=attempt, elapsed=elapsed, chance=chance)

    if pause is not None:
        assert attempt < rules.attempts
        assert 0 <= pause <= rules.cap
        assert elapsed + pause <= rules.total


def test_retry_after_is_obeyed_exactly() -> None:
    assert Retries().pause(attempt=1, elapsed=0, chance=0.1, retry_after=7) == 7


def test_a_retry_after_beyond_the_time_ends_it_at_once() -> None:
    assert Retries(total=20).pause(attempt=1, elapsed=0, chance=0.1, retry_after=60) is None


@pytest.mark.parametrize(
    ("call", "status", "repeated"),
    [(READ, s, s in {429, 502, 503, 504}) for s in (400, 401, 404, 409, 422, 429, 500, 502, 503, 504)]
    + [(CHANGE, s, s in {429, 503}) for s in (400, 401, 404, 409, 422, 429, 500, 502, 503, 504)],
)
def test_only_what_may_go_away_is_repeated(call: Call, status: int, repeated: bool) -> None:
    """Reads after any trouble of the way; changes only when the server said that it did nothing."""
    assert repeatable(call, status=status, code=None, attempt=1) is repeated


def test_our_own_first_attempt_still_at_work_is_waited_out() -> None:
    """On a first attempt the same code means somebody else's request with the same key."""
    assert repeatable(CHANGE, status=409, code="OPERATION_IN_PROGRESS", attempt=2)
    assert not repeatable(CHANGE, status=409, code="OPERATION_IN_PROGRESS", attempt=1)


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        ("7", None, 7.0),
        ("Thu, 01 Jan 2026 00:00:30 GMT", "Thu, 01 Jan 2026 00:00:00 GMT", 30.0),
        ("Thu, 01 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:30 GMT", 0.0),
        ("Thu, 01 Jan 2026 00:00:30 GMT", None, None),
        ("soon", None, None),
        ("-3", None, None),
        ("9" * 40, None, None),
        (None, None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(header: str | None, date: str | None, seconds: float | None) -> None:
    """A date counts from the answer's own clock; nonsense says nothing."""
    assert retry_after_seconds(header, date=date) == seconds
