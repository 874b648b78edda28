"""Scripted trouble: which calls go wrong, how often, and in which way.

A fault is matched by a regular expression on `METHOD /path` and used up by count. Whether the call still takes effect is part of
the fault: with `afterEffect` the world changes first and the answer is lost after, which is how "500, but created" comes
about. This module decides; `http.faulting` does it to a real connection.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from novita_simulator.fields import Fields, InvalidField

MODES = (
    "status",  # an error answer
    "reset",  # the connection is reset
    "hang",  # no answer, for `seconds` or for ever
    "slow",  # the true answer, `seconds` late
    "html",  # a page of a proxy in place of JSON
    "malformed",  # not JSON
    "truncate",  # the true answer, cut in the middle
    "empty",  # an empty list for list calls, an empty body for others
    "short-list",  # a list without its last items, its total unchanged
    "stale",  # the first answer given, again and again
    "wrong-types",  # the true answer with every value of another type
    "drip",  # the true answer, one byte every `seconds`
    "flood",  # a body without end
)
# What is sent in these modes is made from the true answer, so the call has always taken effect.
NEEDS_ANSWER = frozenset({"slow", "truncate", "short-list", "stale", "wrong-types", "drip"})

_DEFAULT_STATUS = {"status": 500, "html": 502}
_DEFAULT_SECONDS = {"slow": 5.0, "drip": 1.0}


@dataclass(slots=True, kw_only=True)
class Fault:
    id: str
    match: str
    mode: str
    left: int | None  # None = until cleared
    status: int = 200
    reason: str = ""
    retry_after: str = ""
    seconds: float | None = None
    after_effect: bool = False
    probability: float = 1
    hits: int = 0
    frozen: dict[str, bytes] = field(default_factory=dict)  # of `stale`: the first answer by path and query

    def fits(self, method: str, path: str) -> bool:
        return self.left != 0 and re.search(self.match, f"{method} {path}") is not None

    def to_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "match": self.match,
            "mode": self.mode,
            "count": self.left,
            "status": self.status,
            "reason": self.reason,
            "retryAfter": self.retry_after,
            "seconds": self.seconds,
            "afterEffect": self.after_effect,
            "probability": self.probability,
            "hits": self.hits,
        }


def read_fault(fields: Fields, *, fault_id: str) -> Fault:
    """One fault as it is posted. `count` is 1 unless said otherwise; -1 means until cleared."""
    mode = fields.choice("mode", MODES)
    count = fields.whole("count", 1, least=-1)
    fault = Fault(
        id=fault_id,
        match=_pattern(fields),
        mode=mode,
        left=None if count == -1 else count,
        status=fields.whole("status", _DEFAULT_STATUS.get(mode, 200), least=100, most=599),
        reason=fields.text("reason", ""),
        retry_after=_retry_after(fields),
        seconds=fields.number("seconds", least=0) if fields.has("seconds") else _DEFAULT_SECONDS.get(mode),
        after_effect=fields.flag("afterEffect", default=False),
        probability=fields.number("probability", 1, least=0, most=1),
    )
    fields.refuse_unknown()
    return fault


class Faults:
    """The faults that wait for their calls, in the order in which they were posted."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._faults: list[Fault] = []
        self._made = 0

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults)

    def add(self, fields: Fields) -> Fault:
        fault = read_fault(fields, fault_id=f"fault-{self._made + 1}")
        self._made += 1
        self._faults.append(fault)
        return fault

    def clear(self) -> int:
        cleared = len(self._faults)
        self._faults.clear()
        return cleared

    def take(self, method: str, path: str) -> Fault | None:
        """The first fault meant for this call, one of its count used up."""
        for fault in self._faults:
            if fault.fits(method, path) and self._rng.random() < fault.probability:
                fault.hits += 1
                if fault.left is not None:
                    fault.left -= 1
                    self._faults = [other for other in self._faults if other.left != 0]
                return fault
        return None


def _pattern(fields: Fields) -> str:
    pattern = fields.text("match", shortest=1)
    try:
        re.compile(pattern)
    except re.error as error:
        raise InvalidField(fields.name("match"), f"is not a regular expression: {error}") from None
    return pattern


def _retry_after(fields: Fields) -> str:
    """Seconds, a date, or nonsense: it is sent as it is."""
    value = fields.raw().get("retryAfter")
    fields.has("retryAfter")
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidField(fields.name("retryAfter"), "must be seconds or a text")
    text = str(value)
    if not text.isprintable() or not text.isascii():
        raise InvalidField(fields.name("retryAfter"), "must be printable ASCII")
    return text
