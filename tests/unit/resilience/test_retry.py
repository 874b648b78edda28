"""Pauses between tries: ours grow with full jitter, the peer's word is taken within a cap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novitai.resilience.retry import delay, parse_retry_after

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110
CAP = 3_600.0


def test_the_ceiling_doubles_from_the_base_up_to_the_cap():
    """Attempt 1 pauses up to the base, each further one up to twice as long, never beyond the cap."""
    ceilings = [delay(attempt, base=1.0, cap=30.0, random01=1.0) for attempt in range(1, 8)]

    assert ceilings == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


@given(attempt=st.integers(-5, 10**9), random01=st.floats(0, 1, exclude_max=True))
def test_any_attempt_pauses_between_zero_and_the_cap(attempt, random01):
    """Full jitter, and no overflow however long something fails."""
    assert 0 <= delay(attempt, base=1.0, cap=30.0, random01=random01) <= 30.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("-5", 0),
        ("1000000000000", CAP),
        ("9" * 400, CAP),
        ("Sun, 06 Nov 1994 08:51:37 GMT", 120),
        ("Sunday, 06-Nov-94 08:51:37 GMT", 120),
        ("Sun Nov  6 08:51:37 1994", 120),
        ("Sun, 06 Nov 1994 08:49:36 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", CAP),
    ],
)
def test_seconds_and_dates_are_obeyed_within_the_cap(value, seconds):
    """RFC 9110 10.2.3: delay-seconds and all three date forms."""
    assert parse_retry_after(value, now=NOW, cap=CAP) == seconds


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        "soon",
        "NaN",
        "inf",
        "1e3",
        "0x10",
        "1,5",
        "٣",
        "12 13",
        "Sun, 99 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 99999 08:49:37 GMT",
        "\x00",
        "9" * 5000,
        "Thu, 01 Jan 1970 00:00:00 +99999",
    ],
)
def test_nonsense_is_as_good_as_nothing(value):
    """The caller then uses its own pause."""
    assert parse_retry_after(value, now=NOW, cap=CAP) is None


@given(st.text(max_size=60))
def test_no_text_makes_it_fail_or_leave_its_bounds(value):
    """A header is somebody else's input."""
    seconds = parse_retry_after(value, now=NOW, cap=CAP)

    assert seconds is None or 0 <= seconds <= CAP
