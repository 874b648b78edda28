"""Costs as people ask for them: rows of days added up by instance, label, key or day, what was saved, and what is to come.

A cost with several labels counts under each of them, so the groups by label may add up to more than the whole. "To come" is what it
costs when everything goes on as now.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache

import msgspec

from novitai.domain.costs import DAY, DayRow, day_of
from novitai.domain.money import Usd
from novitai.domain.times import date
from novitai.policies.cost_days import part

Dated = tuple[int, float, DayRow]
"""A day's first second, the part of the row that counts, and the row."""

_date = cache(date)
"""Days are few, and their rows many."""


class GroupBy(StrEnum):
    """What costs are added up by."""

    INSTANCE = "instance"
    LABEL = "label"
    KEY = "key"
    DAY = "day"


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """A sum of rows. `word` says of what (an instance's id, `k=v`, a key's id, a date; empty for what has no label); `example` is its
    newest row.
    """

    word: str
    example: DayRow | None = None
    gpu: Usd = Usd(0)
    disk: Usd = Usd(0)
    adjustment: Usd = Usd(0)
    gpu_seconds: float = 0.0
    on_demand: Usd = Usd(0)
    dearest: Usd = Usd(0)
    instances: int = 0

    @property
    def total(self) -> Usd:
        return Usd(self.gpu + self.disk + self.adjustment)

    @property
    def saved_on_demand(self) -> Usd:
        """What the same GPU time would have cost more on demand."""
        return Usd(self.on_demand - self.gpu)

    @property
    def saved_dearest(self) -> Usd:
        """What the dearest offer that fitted would have cost more."""
        return Usd(self.dearest - self.gpu)


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What is to come when everything goes on as now."""

    per_hour: Usd
    rest_of_day: Usd
    rest_of_month: Usd


class _Sum:
    """A total being added up."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.example: DayRow | None = None
        self.gpu = self.disk = self.adjustment = self.on_demand = self.dearest = 0
        self.gpu_seconds = 0.0
        self.instances: set[str] = set()

    def add(self, row: DayRow) -> None:
        self.example = row  # the newest, since rows come by day
        self.gpu += row.gpu
        self.disk += row.disk
        self.adjustment += row.adjustment
        self.on_demand += row.on_demand
        self.dearest += row.dearest
        self.gpu_seconds += row.gpu_seconds
        self.instances.add(row.instance)

    def total(self) -> Total:
        return Total(
            word=self.word,
            example=self.example,
            gpu=Usd(self.gpu),
            disk=Usd(self.disk),
            adjustment=Usd(self.adjustment),
            gpu_seconds=self.gpu_seconds,
            on_demand=Usd(self.on_demand),
            dearest=Usd(self.dearest),
            instances=len(self.instances),
        )


class Grouping:
    """Totals being made, so that a year can be added up day by day, with others getting their turn in between."""

    def __init__(self, by: GroupBy) -> None:
        self._by = by
        self._sums: dict[str, _Sum] = {}
        self._whole = _Sum("")

    def add(self, rows: Iterable[Dated]) -> None:
        """Some rows more, of the same day or a later one."""
        for start, share, row in rows:
            counted = part(row, share)
            self._whole.add(counted)
            for word in _words(self._by, start, row):
                found = self._sums.get(word)
                if found is None:
                    found = self._sums[word] = _Sum(word)
                found.add(counted)

    def totals(self) -> list[Total]:
        """The dearest first; by day the newest first."""
        found = [one.total() for one in self._sums.values()]
        if self._by is GroupBy.DAY:
            return sorted(found, key=lambda one: one.word, reverse=True)
        return sorted(found, key=lambda one: (-one.total, one.word))

    def whole(self) -> Total:
        """Everything in one total."""
        return self._whole.total()


def by_key_and_label(rows: Iterable[Dated]) -> list[Total]:
    """A total for each key, and under it one for each of its labels. `word` is the key, a line feed, and the label (empty: all of it)."""
    sums: dict[str, _Sum] = {}
    for _, share, row in rows:
        counted = part(row, share)
        for label in ("", *(f"{key}={value}" for key, value in row.labels.items())):
            word = f"{row.owner}\n{label}"
            sums.setdefault(word, _Sum(word)).add(counted)
    return [sums[word].total() for word in sorted(sums)]


def forecast(per_hour: Usd, *, now: float) -> Forecast:
    """What is to come."""
    midnight = day_of(now) + DAY
    return Forecast(
        per_hour=per_hour,
        rest_of_day=Usd(round(per_hour * (midnight - now) / 3600)),
        rest_of_month=Usd(round(per_hour * (month_after(now) - now) / 3600)),
    )


def month_of(at: float) -> float:
    """The first second of a time's month, in UTC."""
    return datetime.fromtimestamp(at, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()


def month_after(at: float) -> float:
    """The first second of the month after a time's, in UTC."""
    return month_of(month_of(at) + 32 * DAY)


def _words(by: GroupBy, start: int, row: DayRow) -> Iterable[str]:
    match by:
        case GroupBy.INSTANCE:
            return (row.instance,)
        case GroupBy.KEY:
            return (row.owner,)
        case GroupBy.DAY:
            return (_date(start),)
        case GroupBy.LABEL:
            return [f"{key}={value}" for key, value in row.labels.items()] or ("",)
