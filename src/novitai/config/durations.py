"""How long: durations as people write them (`30s`, `10m`, `500ms`), as float seconds inside.

A duration with a unit is taken as said. A bare number is in the variable's own unit, and when that would be far from
what is usual while another unit would not, the likely mistake is asked about instead of being acted on: a time-out of
`30000` was meant as milliseconds.
"""

import re
from dataclasses import dataclass

from novitai.config.kinds import Kind, RefusedError

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
WORDS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
WRITTEN = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|m|h|d)?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Span:
    """From `low` to `high` seconds, both included."""

    low: float
    high: float

    def __contains__(self, seconds: float) -> bool:
        return self.low <= seconds <= self.high

    def __str__(self) -> str:
        return f"{short(self.low)} to {short(self.high)}"


def span(low: str, high: str) -> Span:
    """A span from two written durations."""
    return Span(low=plain(low), high=plain(high))


def short(seconds: float) -> str:
    """The shortest exact way to write a duration: 600 is `10m`, 0.5 is `500ms`."""
    if seconds == 0:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        if seconds >= UNITS[unit] and (seconds / UNITS[unit]).is_integer():
            return f"{seconds / UNITS[unit]:.0f}{unit}"
    return f"{seconds:.12g}s" if seconds >= 1 else f"{seconds * 1000:.12g}ms"


def words(seconds: float) -> str:
    """A duration as it is said, rounded: 30000 is `8 hours`. A unit is used from two of it on."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= 2 * UNITS[unit]:
            return f"{seconds / UNITS[unit]:.0f} {WORDS[unit]}"
    return "1 second" if seconds == 1 else f"{seconds * 1000:.0f} milliseconds"


def plain(text: str, *, unit: str = "s") -> float:
    """Seconds of a written duration; a bare number is in `unit`. Raises RefusedError when it is not one."""
    match = WRITTEN.fullmatch(text)
    if match is None:
        raise RefusedError("is not a duration")
    return float(match[1]) * UNITS[match[2] or unit]


def duration(*, usual: Span, limits: Span, unit: str = "s") -> Kind[float]:
    """A duration within technical `limits`; outside of `usual` it is taken but remarked upon. Bare numbers are in
    `unit`.
    """

    def read(text: str) -> float:
        seconds = plain(text, unit=unit)
        if text.isdecimal() and seconds not in usual and (meant := _meant(int(text), unit=unit, usual=usual)):
            raise RefusedError(f"is {words(seconds)}; did you mean {meant}?")
        if seconds not in limits:
            raise RefusedError("is out of range")
        return seconds

    def remark(seconds: float) -> str | None:
        return None if seconds in usual else f"is unusual (usually {usual}); it is taken as said"

    bare = f"a bare number is {WORDS[unit]}"
    return Kind(allowed=f"{limits} with a unit (ms, s, m, h, d); {bare}", read=read, show=short, remark=remark)


def _meant(number: int, *, unit: str, usual: Span) -> str | None:
    """The nearest other unit in which this number would be a usual value, as it would be written."""
    order = list(UNITS)
    place = order.index(unit)
    too_short = number * UNITS[unit] < usual.low
    candidates = order[place + 1 :] if too_short else list(reversed(order[:place]))
    return next((short(number * UNITS[u]) for u in candidates if number * UNITS[u] in usual), None)


def schedule(*, longest: Span) -> Kind[tuple[float, ...]]:
    """Pauses between attempts, comma separated; bare numbers are seconds. At most 50 of them."""

    def read(text: str) -> tuple[float, ...]:
        pauses = tuple(plain(part.strip()) for part in text.split(","))
        if len(pauses) > 50 or any(pause not in longest for pause in pauses):
            raise RefusedError("has too many pauses or one out of range")
        return pauses

    return Kind(
        allowed=f"up to 50 durations of {longest}, separated by commas",
        read=read,
        show=lambda pauses: ",".join(map(short, pauses)),
    )
