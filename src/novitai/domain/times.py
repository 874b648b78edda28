"""Times as the outside reads them. Inside, a time is a float of Unix seconds."""

from datetime import UTC, datetime

_DAY = 86_400
_UNITS = (("d", _DAY), ("h", 3_600), ("min", 60), ("s", 1))


def iso(at: float) -> str:
    """ISO 8601 in UTC with milliseconds and `Z`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_or_none(at: float | None) -> str | None:
    """As `iso`; None for a time that is not known (None or 0)."""
    return iso(at) if at else None


def date(at: float) -> str:
    """The day in UTC: `2026-11-21`."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def span(seconds: float) -> str:
    """How long, for people: the two largest units, such as `2 h 13 min`; under a minute in seconds."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for name, size in _UNITS:
        count, left = divmod(left, size)
        if count or (name == "s" and not parts):
            parts.append(f"{count} {name}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts)


def spoken(at: float, *, now: float) -> str:
    """A moment as people say it, with how far it is: `10:02:11 UTC (2 h 13 min ago)`; the date too when it is another day."""
    moment = datetime.fromtimestamp(at, UTC).isoformat(" ", "seconds")
    day = "" if at // _DAY == now // _DAY else f"{moment[:10]} "
    far = f"in {span(at - now)}" if at > now else f"{span(now - at)} ago"
    return f"{day}{moment[11:19]} UTC ({far})"
