"""Budgets: how much may be spent on what, and how that stands. Money is USD."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from novitai.api.schemas.common import Answer, Body, Page, Time
from novitai.domain.budget import FULL, USUAL_THRESHOLDS, InstanceBudget, Period, Scope
from novitai.domain.money import usd
from novitai.operations.budget import BudgetRequest

PeriodName = Literal["day", "week", "month"]
Limit = Annotated[float, Field(ge=0.01, le=1_000_000_000, description="USD.")]
BudgetName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
LabelPair = Annotated[
    str, Field(max_length=320, pattern=r"^[A-Za-z0-9._/-]{1,63}=[^\x00-\x1f\x7f]{0,255}$", description="`key=value`")
]


def _in_order(thresholds: list[int]) -> list[int]:
    return sorted(set(thresholds))


Thresholds = Annotated[
    list[Annotated[int, Field(ge=1, le=1000)]],
    Field(max_length=20, description=f"Percent; {FULL} is always told."),
    AfterValidator(_in_order),
]


class ScopeBody(Body):
    """Whose money counts; with both, what has the label and belongs to the key. With neither, everything."""

    label: LabelPair | None = None
    key: str | None = Field(default=None, min_length=1, max_length=100, description="Id of a key: what it made counts.")

    def scope(self) -> Scope:
        """In the words of the domain."""
        key, _, value = (self.label or "").partition("=")
        return Scope(label=(key, value) if self.label is not None else None, owner=self.key)


def _spelled_out(said: Any) -> Any:
    return {} if said == "total" else said


ScopeChoice = Annotated[ScopeBody, BeforeValidator(_spelled_out)]
"""The word `total` says what an empty scope says."""


class BudgetBody(Body):
    """A budget to make. Periods are those of UTC: from midnight, from Monday, from the first of the month."""

    name: BudgetName
    limit_usd: Limit
    period: PeriodName
    scope: ScopeChoice = ScopeBody()
    hard_stop: bool = Field(default=False, description="Stop what it covers when it is used up.")
    thresholds: Thresholds = Field(default=list(USUAL_THRESHOLDS))

    def request(self) -> BudgetRequest:
        """In the words of the operations."""
        return BudgetRequest(
            name=self.name,
            limit=usd(self.limit_usd),
            period=Period(self.period),
            scope=self.scope.scope(),
            hard_stop=self.hard_stop,
            thresholds=tuple(self.thresholds),
        )


class BudgetChangeBody(Body):
    """Changes of a budget; what is left out stays."""

    name: BudgetName | None = None
    limit_usd: Limit | None = None
    period: PeriodName | None = None
    scope: ScopeChoice | None = Field(default=None, description="null: total")
    hard_stop: bool | None = None
    thresholds: Thresholds | None = Field(default=None, description="null: the usual ones")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("name something to change: name, limitUsd, period, scope, hardStop or thresholds")
        for name, field in (
            ("name", "name"),
            ("limit_usd", "limitUsd"),
            ("period", "period"),
            ("hard_stop", "hardStop"),
        ):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{field} cannot be null")
        return self

    def changes(self) -> dict[str, Any]:
        """Under the names of the domain."""
        thresholds = USUAL_THRESHOLDS if self.thresholds is None else tuple(self.thresholds)
        found: dict[str, Any] = {
            "name": self.name,
            "limit_usd": None if self.limit_usd is None else usd(self.limit_usd),
            "period": None if self.period is None else Period(self.period),
            "scope": Scope() if self.scope is None else self.scope.scope(),
            "hard_stop": self.hard_stop,
            "thresholds": thresholds,
        }
        renamed = {"limit_usd": "limit"}
        return {renamed.get(name, name): found[name] for name in found if name in self.model_fields_set}


class InstanceBudgetBody(Body):
    """What one instance may cost at most in its whole life, disks and earlier runs included."""

    limit_usd: Limit
    hard_stop: bool = Field(default=False, description="Stop it when that is spent.")

    def budget(self) -> InstanceBudget:
        """In the words of the domain."""
        return InstanceBudget(limit=usd(self.limit_usd), hard_stop=self.hard_stop)


class ScopeAnswer(Answer):
    """Whose money counts; both null: everything."""

    label: str | None
    key: str | None


class BudgetAnswer(Answer):
    """A budget as it stands. `forecastUsd`: what the period will come to; what runs counts until its end, or until its ttl or its schedule
    stops it. `exceedsAt`: when it is used up at the present rate, if that is in this period. `state`: `ok`, `warned` (a threshold is
    reached), `exceeded`, or `held` (exceeded, and a hard stop keeps down what it covers).
    """

    id: str
    name: str
    limit_usd: float
    period: PeriodName
    scope: ScopeAnswer
    hard_stop: bool
    thresholds: list[int]
    state: Literal["ok", "warned", "exceeded", "held"]
    spent_usd: float
    forecast_usd: float
    percent: float
    usd_per_hour: float
    period_started_at: Time
    resets_at: Time
    exceeds_at: Time | None
    created_at: Time


class BudgetPage(Page):
    """Budgets, oldest first."""

    budgets: list[BudgetAnswer]
