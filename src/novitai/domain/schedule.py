"""When an instance runs by the calendar: boundaries given as cron lines in a time zone, and the end of a time to live.

A boundary is a whole minute at which the schedule says "run" or "stop"; between two of them its last word holds. Local
clocks decide, so the distance of two boundaries changes with daylight saving. A line with a fixed hour and minute
behaves as in Debian's cron: what falls into the hour that is skipped in spring comes at the moment of the change (02:30
becomes 03:00), what falls into the hour that comes twice in autumn comes once, the first time. Lines whose minute or
hour begins with `*` follow real time: an hour that comes twice counts twice.

`cronsim` reads the lines and knows which days they mean; the moments of a day are computed here, so that looking back
and looking forward are about the same moments (its own walk loses some where clocks change by half an hour). Time zones
are read from the system's database (or the package `tzdata`) by their name; nothing else is looked up. All times are
Unix seconds.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

FIELDS = 5
LONGEST_LINE = 100
_MINUTE = 60.0
_DAY = timedelta(days=1)
_SEARCHED_DAYS = 30 * 366
"""A fifth Monday in February comes every 28 years; what does not come by then is taken for never."""
_MOST_COINCIDENCES = 100
"""Starts in a row that fall on stops; with more of them the schedule is taken for one that never starts anything."""
_SOME_DAY = datetime(2027, 1, 1, tzinfo=UTC)


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """Cron lines (minute, hour, day, month, weekday) for the start and the stop; at least one. Boundaries up to `since` (None: the
    create) do not count: whoever sets a schedule at night does not mean the evening before.
    """

    start: str | None = None
    stop: str | None = None
    timezone: str = "UTC"
    since: float | None = None


class Ttl(msgspec.Struct, frozen=True, kw_only=True):
    """How long an instance may run in all, from `since` (None: the create), whether it runs meanwhile or not."""

    seconds: float
    since: float | None = None


class Boundary(msgspec.Struct, frozen=True, kw_only=True):
    """A moment at which a schedule speaks, and whether it says "run"."""

    at: float
    runs: bool


def cron_line(text: str) -> str:
    """The line, its fields one space apart. Raises ValueError with what is wrong."""
    fields = text.split()
    if len(fields) != FIELDS or len(text) > LONGEST_LINE:
        raise ValueError("must be five fields: minute, hour, day of month, month and weekday, such as 0 8 * * 1-5")
    line = " ".join(fields)
    try:
        next(CronSim(line, _SOME_DAY))
    except CronSimError as error:
        raise ValueError(f"is not a cron line: {str(error).lower()}") from None
    except StopIteration:
        raise ValueError("names a day that never comes") from None
    return line


def time_zone(name: str) -> str:
    """The name, when there is such a zone. Raises ValueError."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # OSError: the name of a folder, such as "Europe"
        raise ValueError("must be the name of a time zone, such as Europe/Berlin or UTC") from None
    return name


def last_boundary(schedule: Schedule, *, now: float) -> Boundary | None:
    """The boundary whose word holds now. Where a start and a stop coincide the stop does: it costs nothing."""
    starts = _last(schedule.start, schedule.timezone, now // _MINUTE)
    stops = _last(schedule.stop, schedule.timezone, now // _MINUTE)
    if starts is None and stops is None:
        return None
    if starts is None or (stops is not None and stops >= starts):
        return Boundary(at=stops or 0.0, runs=False)
    return Boundary(at=starts, runs=True)


def next_boundary(schedule: Schedule, *, runs: bool, after: float) -> float | None:
    """When the schedule next says "run" (or "stop"). A start on the minute of a stop says nothing."""
    if runs:
        return _next_start(schedule, after)
    return _next(schedule.stop, schedule.timezone, after // _MINUTE)


def _next_start(schedule: Schedule, after: float) -> float | None:
    for _ in range(_MOST_COINCIDENCES):
        start = _next(schedule.start, schedule.timezone, after // _MINUTE)
        if start is None or start != _next(schedule.stop, schedule.timezone, start // _MINUTE - 1):
            return start
        after = start
    return None


@lru_cache(maxsize=4096)
def _last(line: str | None, zone: str, minute: float) -> float | None:
    """The last time up to and including this minute (since the epoch) that a line names."""
    if line is None:
        return None
    now = minute * _MINUTE
    for day in _days(_local_day(now, zone) + _DAY, -_DAY):
        past = [at for at in _times(line, zone, day) if at <= now]
        if past:
            return past[-1]
    return None


@lru_cache(maxsize=4096)
def _next(line: str | None, zone: str, minute: float) -> float | None:
    """The first time after this minute that a line names."""
    if line is None:
        return None
    now = minute * _MINUTE
    for day in _days(_local_day(now, zone) - _DAY, _DAY):
        coming = [at for at in _times(line, zone, day) if at > now]
        if coming:
            return coming[0]
    return None


def _local_day(at: float, zone: str) -> date:
    return datetime.fromtimestamp(at, ZoneInfo(zone)).date()


def _days(first: date, step: timedelta) -> Iterator[date]:
    return (first + number * step for number in range(_SEARCHED_DAYS))


@lru_cache(maxsize=1024)
def _read(line: str) -> CronSim:
    return CronSim(line, _SOME_DAY)


@lru_cache(maxsize=4096)
def _times(line: str, zone: str, day: date) -> tuple[float, ...]:
    """The moments of a local day that a line names, in order."""
    read = _read(line)
    if day.month not in read.months or not read.match_day(day):
        return ()
    clock = [time(hour, minute) for hour in sorted(read.hours) for minute in sorted(read.minutes)]
    local = ZoneInfo(zone)
    midnight, following = (datetime.combine(one, time(), tzinfo=local) for one in (day, day + _DAY))
    if midnight.utcoffset() == following.utcoffset():
        begin = midnight.timestamp()
        return tuple(begin + at.hour * 3600 + at.minute * 60 for at in clock)
    fixed = not any(field.startswith("*") for field in line.split()[:2])
    found = [datetime.combine(day, at, tzinfo=local) for at in clock]
    if fixed:
        return tuple(sorted({_existing(at).timestamp() for at in found}))
    passes = [at.replace(fold=fold) for at in found for fold in (0, 1)]
    return tuple(sorted({at.timestamp() for at in passes if _exists(at)}))


def _exists(at: datetime) -> bool:
    """Whether a local clock ever shows this time."""
    return at.astimezone(UTC).astimezone(at.tzinfo).replace(tzinfo=None) == at.replace(tzinfo=None)


def _existing(at: datetime) -> datetime:
    """The time itself, or the end of the skipped hour that it lies in."""
    while not _exists(at):
        at += timedelta(minutes=1)
    return at
