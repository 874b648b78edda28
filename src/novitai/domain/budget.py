"""A budget in words: how much may be spent, on what, in which period; what was told of it, and how it holds instances down.

The rule is `policies/budget.py`. Periods are those of UTC, as Novita's bills are; the budget of one instance is for its whole life.
All times are Unix seconds.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from novitai.domain.ids import InstanceId
from novitai.domain.money import Usd

FULL = 100
"""The threshold, in percent, at which a budget is used up; it is always told."""
USUAL_THRESHOLDS = (50, 80, FULL)


class Period(StrEnum):
    """After which time a budget begins anew: at midnight, on Monday, on the first of the month."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Whose money counts: what has this label, what belongs to this key, this one instance; where nothing is said, everything."""

    label: tuple[str, str] | None = None
    owner: str | None = None
    instance: InstanceId | None = None


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """At most `limit` in each period (None: in the whole life of its instance). With `hard_stop` what it covers is stopped when that is
    spent; without, it only warns, and refuses what it foresees to be too much. `thresholds`: at how many percent it is told of.
    """

    id: str
    name: str
    limit: Usd
    period: Period | None
    scope: Scope
    created_at: float
    hard_stop: bool = False
    thresholds: tuple[int, ...] = USUAL_THRESHOLDS


class InstanceBudget(msgspec.Struct, frozen=True, kw_only=True):
    """What one instance may cost at most in its whole life, disks and earlier runs included."""

    limit: Usd
    hard_stop: bool = False


class BudgetMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Which thresholds have been told of a budget, in the period that began at `since` and under this limit."""

    id: str
    since: float
    limit: Usd
    told: tuple[int, ...]


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A used-up budget with a hard stop: what it covers stays down until `resets_at` (None: until the limit is raised)."""

    budget_id: str
    name: str
    limit: Usd
    spent: Usd
    forecast: Usd
    resets_at: float | None


class Window(msgspec.Struct, frozen=True):
    """A period that has begun at `since` and ends at `until` (None: it has no end)."""

    since: float
    until: float | None


def window(period: Period | None, *, now: float, begins: float = 0.0) -> Window:
    """The period that `now` lies in. `begins`: since when that counts which has no period."""
    if period is None:
        return Window(begins, None)
    midnight = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period is Period.MONTH:
        first = midnight.replace(day=1)
        return Window(first.timestamp(), (first + timedelta(days=32)).replace(day=1).timestamp())
    days = 7 if period is Period.WEEK else 1
    first = midnight - timedelta(days=midnight.weekday() if period is Period.WEEK else 0)
    return Window(first.timestamp(), (first + timedelta(days=days)).timestamp())
