"""A stall of the event loop is over when it can be noticed, so it is remembered for a while."""

from structlog.testing import capture_logs

from novitai.telemetry.looplag import EVERY, REMEMBERED, STALLED, Recent


def test_a_stall_is_remembered_for_some_seconds_and_then_forgotten() -> None:
    """Long enough that whoever asks every few seconds sees it, short enough that traffic comes back."""
    recent = Recent(lambda _seconds: None)
    recent.note(6.0)
    seen = 0
    while recent.worst == 6.0:
        seen += 1
        recent.note(0.0)

    assert seen == REMEMBERED
    assert recent.worst == 0.0
    assert 3.0 <= seen * EVERY <= 10.0


def test_each_lag_is_told_and_only_a_stall_is_logged() -> None:
    """One line for one stall."""
    told: list[float] = []
    recent = Recent(told.append)

    with capture_logs() as lines:
        for lag in (0.01, 4.9, STALLED + 1.0, 0.02):
            recent.note(lag)

    assert told == [0.01, 4.9, 6.0, 0.02]
    assert [(line["event"], line["log_level"]) for line in lines] == [("event_loop_stalled", "warning")]


def test_before_the_first_measurement_nothing_lags() -> None:
    """A process that has just begun may get traffic."""
    assert Recent(lambda _seconds: None).worst == 0.0
