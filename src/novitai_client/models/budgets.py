"""Budgets: how much may be spent on what, and how that stands. Money is USD."""

from novitai_client.models.base import Shape, Time


class BudgetScope(Shape, frozen=True, kw_only=True):
    """Whose money counts: what has the label (`k=v`) and belongs to the key; both None: everything."""

    label: str | None = None
    key: str | None = None


class Budget(Shape, frozen=True, kw_only=True):
    """A budget as it stands. `forecast_usd`: what the period will come to; `exceeds_at`: when it is used up at the present rate, if that is
    in this period. `state` is ok, warned, exceeded or held (used up, and keeping down what it covers).
    """

    id: str
    name: str
    limit_usd: float
    period: str
    scope: BudgetScope = BudgetScope()
    hard_stop: bool = False
    thresholds: tuple[int, ...] = ()
    state: str
    spent_usd: float
    forecast_usd: float
    percent: float
    usd_per_hour: float = 0.0
    period_started_at: Time | None = None
    resets_at: Time
    exceeds_at: Time | None = None
    created_at: Time | None = None
