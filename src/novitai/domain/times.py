"""Times as the outside reads them. Inside, a time is a float of Unix seconds."""

from datetime import UTC, datetime


def iso(at: float) -> str:
    """ISO 8601 in UTC with milliseconds and `Z`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_or_none(at: float | None) -> str | None:
    """As `iso`; None for a time that is not known (None or 0)."""
    return iso(at) if at else None
