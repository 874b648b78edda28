"""Boundaries of a schedule: which moment a cron line in a time zone means, also on the two days when clocks change."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novitai.domain.schedule import Schedule, cron_line, last_boundary, next_boundary, time_zone

BERLIN = "Europe/Berlin"


def local(*when: int, fold: int = 0, zone: str = BERLIN) -> float:
    return datetime(*when, fold=fold, tzinfo=ZoneInfo(zone)).timestamp()  # type: ignore[misc]


def utc(*when: int) -> float:
    return datetime(*when, tzinfo=UTC).timestamp()  # type: ignore[misc]


def start_at(line: str, zone: str = BERLIN) -> Schedule:
    return Schedule(start=line, timezone=zone)


def test_the_same_hour_of_the_clock_is_another_hour_of_utc_after_the_change():
    """Eight in the morning stays eight in the morning."""
    office = start_at("0 8 * * *")

    assert next_boundary(office, runs=True, after=local(2027, 3, 27, 7)) == utc(2027, 3, 27, 7)
    assert next_boundary(office, runs=True, after=local(2027, 3, 28, 7)) == utc(2027, 3, 28, 6)


def test_what_falls_into_the_skipped_hour_comes_at_the_moment_of_the_change():
    """On 2027-03-28 there is no 02:30 in Berlin: it comes at 03:00, and once."""
    night = start_at("30 2 * * *")

    change = next_boundary(night, runs=True, after=local(2027, 3, 28, 1, 0))

    assert change == local(2027, 3, 28, 3, 0) == utc(2027, 3, 28, 1)
    assert last_boundary(night, now=local(2027, 3, 28, 12)).at == change
    assert next_boundary(night, runs=True, after=change) == local(2027, 3, 29, 2, 30)


@pytest.mark.parametrize(("minute", "fold"), [(30, 0), (50, 0), (10, 1), (30, 1), (50, 1)])
def test_what_falls_into_the_repeated_hour_comes_once_the_first_time(minute, fold):
    """On 2027-10-31 there are two 02:30 in Berlin: the first counts, seen from any moment of the repeated hour."""
    night, now = start_at("30 2 * * *"), local(2027, 10, 31, 2, minute, fold=fold)

    assert last_boundary(night, now=now).at == utc(2027, 10, 31, 0, 30)
    assert next_boundary(night, runs=True, after=now) == local(2027, 11, 1, 2, 30)


def test_a_line_for_every_hour_follows_real_time():
    """The repeated hour has a boundary in each pass."""
    hourly = start_at("0 * * * *")

    found = [next_boundary(hourly, runs=True, after=utc(2027, 10, 30, 23, 30) + hour * 3600) for hour in range(3)]

    assert found == [utc(2027, 10, 31, 0), utc(2027, 10, 31, 1), utc(2027, 10, 31, 2)]


def test_where_start_and_stop_coincide_the_stop_holds():
    """In doubt, what costs nothing."""
    both = Schedule(start="0 8 * * *", stop="0 * * * *", timezone="UTC")

    assert last_boundary(both, now=utc(2027, 5, 3, 8, 30)).runs is False
    assert next_boundary(both, runs=True, after=utc(2027, 5, 3)) is None


def test_a_start_and_a_stop_that_the_skipped_hour_brings_together_are_a_stop():
    """02:00 and 03:00 are the same moment in that night; the next start is the night after."""
    night = Schedule(start="0 2 * * *", stop="0 3 * * *", timezone=BERLIN)

    assert last_boundary(night, now=local(2027, 3, 28, 3)).runs is False
    assert next_boundary(night, runs=True, after=local(2027, 3, 27, 12)) == local(2027, 3, 29, 2)


def test_before_any_boundary_of_a_line_the_other_one_speaks():
    """A schedule of a stop alone never says "run"."""
    evenings = Schedule(stop="0 19 * * 1-5", timezone=BERLIN)

    assert last_boundary(evenings, now=local(2027, 5, 3, 12)).runs is False
    assert next_boundary(evenings, runs=True, after=local(2027, 5, 3, 12)) is None


LINES = st.one_of(
    st.builds("{} {} * * *".format, st.integers(0, 59), st.integers(0, 23)),
    st.builds(
        "{} {} * * {}".format, st.integers(0, 59), st.integers(0, 4), st.sampled_from(["1-5", "SUN", "0,6", "*/2"])
    ),
    st.builds("*/{} * * * *".format, st.sampled_from([5, 7, 15, 30])),
    st.builds("{} */{} * * *".format, st.integers(0, 59), st.integers(1, 6)),
    st.builds(
        "{},{} {},{} * * *".format, st.integers(0, 29), st.integers(30, 59), st.integers(0, 3), st.integers(4, 23)
    ),
)
ZONES = st.sampled_from(
    [
        BERLIN,
        "UTC",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "Africa/Casablanca",
        "America/St_Johns",
        "Asia/Beirut",
    ]
)
CHANGES = [
    local(2027, 3, 28, 1),
    local(2027, 10, 31, 1),
    local(2027, 3, 14, 1, zone="America/New_York"),
    utc(2027, 4, 3, 14),
    utc(2027, 3, 27, 22),
    utc(2027, 10, 30, 21),
]
NOWS = st.one_of(
    st.floats(utc(2027, 1, 1), utc(2029, 1, 1)),
    st.builds(lambda near, off: near + off, st.sampled_from(CHANGES), st.floats(-6 * 3600, 6 * 3600)),
)


@settings(max_examples=300, deadline=None)
@given(line=LINES, zone=ZONES, now=NOWS)
def test_looking_back_and_looking_forward_agree(line, zone, now):
    """The last boundary is not after now, the next one is, and the next one becomes the last one: so none is missed and none counts
    twice.
    """
    schedule = start_at(line, zone)

    before, after = last_boundary(schedule, now=now), next_boundary(schedule, runs=True, after=now)

    assert before.at <= now < after
    assert next_boundary(schedule, runs=True, after=before.at) == after
    assert last_boundary(schedule, now=after - 0.001) == before
    assert last_boundary(schedule, now=after).at == after
    assert before.at % 60 == after % 60 == 0


@pytest.mark.parametrize(
    "text",
    ["", "0 8 * *", "0 8 * * * *", "60 8 * * *", "0 24 * * *", "0 8 0 * *", "x 8 * * *", "*/0 * * * *", "0 8 31 2 *", "@daily",
     "5-1 * * * *", "0 8 * * 1-", "0 8 */20 * 1L", "0 8 * * *" + " " * 100],
)  # fmt: skip
def test_what_is_no_cron_line_of_five_fields_is_refused(text):
    """Also six fields, which others read as seconds first or last."""
    with pytest.raises(ValueError, match=r"must be five fields|is not a cron line|never comes"):
        cron_line(text)


@settings(max_examples=300, deadline=None)
@given(text=st.text("0123456789*/-,#LW SUNMON", max_size=30))
def test_any_text_is_read_or_refused(text):
    """No text of a caller raises anything but the refusal."""
    try:
        line = cron_line(text)
    except ValueError:
        return
    assert len(line.split(" ")) == 5


def test_a_line_is_kept_with_single_spaces():
    """So that the same schedule is the same however it was typed."""
    assert cron_line("  0 8\t* *  mon-fri ") == "0 8 * * mon-fri"


@pytest.mark.parametrize("name", ["Europe", "Mars/Base", "", "../../etc/passwd", "/etc/passwd", "a\0b", "x" * 300, "ü"])
def test_what_is_no_time_zone_is_refused(name):
    """A folder of the zone database and a path out of it are none either."""
    with pytest.raises(ValueError, match="name of a time zone"):
        time_zone(name)
