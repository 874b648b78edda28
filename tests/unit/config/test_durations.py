"""Durations: taken as said with a unit, asked about when a bare number only makes sense in another one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novitai.config.durations import duration, plain, schedule, short, span, words
from novitai.config.kinds import RefusedError

MINUTES = duration(usual=span("1m", "24h"), limits=span("1s", "7d"))


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("10m", 600), ("4h", 14400), ("7d", 604800), ("1.5h", 5400), ("90 s", 90)],
)
def test_a_duration_with_a_unit_is_read_as_seconds(written: str, seconds: float) -> None:
    """Inside there are only seconds."""
    assert plain(written) == seconds


@pytest.mark.parametrize("written", ["", "s", "-3s", "3 weeks", "1e3", "nan", "inf", "٣s", "1h30m", "0x10"])
def test_what_is_no_duration_is_refused(written: str) -> None:
    """No guessing about forms that are not documented."""
    with pytest.raises(RefusedError, match="not a duration"):
        plain(written)


def test_a_bare_number_that_fits_is_seconds() -> None:
    """`AUTO_STOP_THRESHOLD=1200` needs no unit."""
    assert MINUTES.read("1200") == 1200


def test_a_bare_number_that_only_fits_in_minutes_is_asked_about() -> None:
    """20 seconds of idleness would stop busy machines, so the start stops instead."""
    with pytest.raises(RefusedError, match=r"^is 20 seconds; did you mean 20m\?$"):
        MINUTES.read("20")


def test_a_bare_number_that_only_fits_in_milliseconds_is_asked_about() -> None:
    """A time-out of 30000 comes from a program that counts milliseconds."""
    timeout = duration(usual=span("5s", "120s"), limits=span("100ms", "24h"))

    with pytest.raises(RefusedError, match=r"^is 8 hours; did you mean 30s\?$"):
        timeout.read("30000")


def test_a_bare_number_in_a_variable_of_milliseconds_is_milliseconds() -> None:
    """`_MS` in the name is the unit of the number."""
    pause = duration(usual=span("500ms", "60s"), limits=span("10ms", "10m"), unit="ms")

    assert pause.read("10000") == 10
    with pytest.raises(RefusedError, match=r"^is 10 milliseconds; did you mean 10s\?$"):
        pause.read("10")


def test_the_same_number_with_its_unit_is_taken_and_remarked_upon() -> None:
    """Whoever writes `20s` means 20 seconds; a warning is enough."""
    assert MINUTES.read("20s") == 20
    assert "unusual (usually 1m to 1d)" in (MINUTES.remark(20) or "")
    assert MINUTES.remark(1200) is None


def test_a_duration_beyond_the_technical_limits_is_refused() -> None:
    """Some values cannot work, whoever means them."""
    with pytest.raises(RefusedError, match="out of range"):
        MINUTES.read("400d")


@given(st.integers(min_value=0, max_value=10**9))
def test_what_is_written_short_reads_back_the_same(milliseconds: int) -> None:
    """`novitai config` prints what could be put into `.env`."""
    seconds = milliseconds / 1000

    assert plain(short(seconds)) == pytest.approx(seconds, rel=1e-5)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (20, "20 seconds"),
        (1, "1 second"),
        (30000, "8 hours"),
        (0.01, "10 milliseconds"),
        (600000, "7 days"),
        (90, "90 seconds"),
    ],
)
def test_durations_are_said_in_the_unit_a_person_would_use(seconds: float, said: str) -> None:
    """The question must be understood at a glance."""
    assert words(seconds) == said


def test_a_schedule_is_read_pause_by_pause() -> None:
    """The predecessor's rule is one setting away."""
    pauses = schedule(longest=span("0s", "7d"))

    assert pauses.read("1s, 2s,4s") == (1, 2, 4)
    assert pauses.show((1, 60, 7200)) == "1s,1m,2h"


@pytest.mark.parametrize("written", ["1s,,2s", "8d", ",".join(["1s"] * 51)])
def test_a_schedule_with_a_gap_or_beyond_limits_is_refused(written: str) -> None:
    """A delivery's life stays bounded."""
    with pytest.raises(RefusedError):
        schedule(longest=span("0s", "7d")).read(written)
