"""What was spent, what is to come, and how it compares with Novita's bill. USD throughout."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from novitai.api.schemas.common import Answer, PageQuery, Query, Time
from novitai.api.schemas.verbs import Moment

LABEL_PATTERN = r"^[^=]+=.*$"
DATE_PATTERN = r"^\d{4}-\d\d-\d\d$"


def _month(text: str) -> str:
    if not 1 <= int(text[5:]) <= 12 or not int(text[:4]):
        raise ValueError("must be a month such as 2026-11")
    return text


Month = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}$"), AfterValidator(_month)]


class CostQuery(PageQuery):
    """Which costs, and by what they are added up."""

    from_: Moment | None = Field(
        default=None, alias="from", description="The beginning of this month (UTC) when left out."
    )
    to: Moment | None = Field(default=None, description="Now, when left out or in the future.")
    group_by: Literal["instance", "label", "key", "day"] = "instance"
    label: str | None = Field(
        default=None, max_length=200, pattern=LABEL_PATTERN, description="Only with this label: `k=v`."
    )
    key: str | None = Field(default=None, max_length=100, description="Only what this key made: its id.")


class MonthQuery(Query):
    """Which month; the present one when left out."""

    month: Month | None = None


class SavingsAnswer(Answer):
    """What the same GPU time would have cost more: on demand at the time of each start, and with the dearest offer that fitted the request
    when it was accepted. Below zero: less.
    """

    against_on_demand: float
    against_dearest: float


class CostSumAnswer(Answer):
    """`total` is `gpu` + `disk` + `adjustment`; the last is what Novita's bill had more, or less, than our figures."""

    total: float
    gpu: float
    disk: float
    adjustment: float
    gpu_hours: float
    savings: SavingsAnswer


class InstanceCost(CostSumAnswer):
    """What one instance cost, with its labels of the last day. `key`: the id of the key that made it."""

    instance_id: str
    name: str
    key: str
    labels: dict[str, str]


class LabelCost(CostSumAnswer):
    """What everything with a label cost; `label` null: what has none."""

    label: str | None
    instances: int


class KeyCost(CostSumAnswer):
    """What everything that a key made cost. `name` null: the key is not known any more."""

    key: str
    name: str | None
    instances: int


class DayCost(CostSumAnswer):
    """What a day (UTC) cost."""

    date: str = Field(pattern=DATE_PATTERN)
    instances: int


class ForecastAnswer(Answer):
    """What is to come when everything goes on as now, until the end of the day and of the month (UTC)."""

    per_hour: float
    rest_of_day: float
    rest_of_month: float


class BalanceAnswer(Answer):
    """The account's balance as last read; `hoursLeft` at what everything costs now, null when nothing costs."""

    amount: float
    at: Time
    hours_left: float | None


class DifferenceAnswer(Answer):
    """A machine of which the bill says something else than our figure did. `billed` null: it is not on the bill (yet)."""

    instance_id: str
    novita_instance_id: str
    ours: float
    billed: float | None


class ReconciledDay(Answer):
    """A day held against Novita's bill. `ours`: our figure before it was adjusted. `elsewhere`: what the bill has for machines that are
    not ours. `final`: it is not read again.
    """

    date: str = Field(pattern=DATE_PATTERN)
    at: Time
    ours: float
    billed: float
    difference_percent: float
    machines: int
    elsewhere: float
    final: bool
    differences: list[DifferenceAnswer]


class ReconciliationAnswer(Answer):
    """Days of the time asked for that were held against Novita's bill, newest first; `waiting`: days that are over and were not yet."""

    days: list[ReconciledDay]
    waiting: int


class CostAnswer(Answer):
    """Costs between `from` and `to`, dearest first (days: newest first). Of the four lists the one that was asked for is there; the sums
    are over everything that matches, not over the page. `count`: how many groups there are.

    A cost with several labels counts under each of them.
    """

    from_: Time = Field(alias="from")
    to: Time
    group_by: Literal["instance", "label", "key", "day"]
    total: float
    gpu: float
    disk: float
    adjustment: float
    gpu_hours: float
    instances: list[InstanceCost] | None = None
    labels: list[LabelCost] | None = None
    keys: list[KeyCost] | None = None
    days: list[DayCost] | None = None
    count: int
    next_cursor: str | None
    forecast: ForecastAnswer
    savings: SavingsAnswer
    balance: BalanceAnswer | None
    reconciliation: ReconciliationAnswer


class SegmentAnswer(Answer):
    """A rate that was, or is (`until` null), paid for a machine, with the labels of that time."""

    kind: Literal["gpu", "disk"]
    novita_instance_id: str
    per_hour: float
    since: Time
    until: Time | None
    cost: float
    labels: dict[str, str]


class InstanceCostAnswer(Answer):
    """Everything an instance has cost, over all its runs and machines. `segments`: what runs, then what ended, newest first; those that
    ended are kept for 90 days.
    """

    instance_id: str
    name: str
    total: float
    gpu: float
    disk: float
    adjustment: float
    forecast: ForecastAnswer
    savings: SavingsAnswer
    segments: list[SegmentAnswer]
    next_cursor: str | None
