"""What was spent and what is to come, in USD."""

from novitai_client.models.base import Shape, Time


class Savings(Shape, frozen=True, kw_only=True):
    """What the same GPU time would have cost more: on demand, and with the dearest offer that fitted. Below zero: less."""

    against_on_demand: float = 0.0
    against_dearest: float = 0.0


class CostSum(Shape, frozen=True, kw_only=True):
    """What one instance, label, key or day cost: that of `instance_id`, `label`, `key` and `date` is set which it is of. `adjustment` is
    what Novita's bill had more, or less, than the server's figures. By label, a `label` of None is what has none.
    """

    total: float
    gpu: float = 0.0
    disk: float = 0.0
    adjustment: float = 0.0
    gpu_hours: float = 0.0
    savings: Savings = Savings()
    instance_id: str | None = None
    name: str | None = None
    label: str | None = None
    key: str | None = None
    date: str | None = None
    labels: dict[str, str] = {}
    instances: int = 1


class Forecast(Shape, frozen=True, kw_only=True):
    """What is to come when everything goes on as now, until the end of the day and of the month (UTC)."""

    per_hour: float = 0.0
    rest_of_day: float = 0.0
    rest_of_month: float = 0.0


class Balance(Shape, frozen=True, kw_only=True):
    """The account's balance as last read, and for how many hours it lasts."""

    amount: float
    at: Time
    hours_left: float | None = None


class BillDifference(Shape, frozen=True, kw_only=True):
    """A machine of which the bill says something else than the server did. `billed` None: it is not on the bill (yet)."""

    instance_id: str
    novita_instance_id: str
    ours: float
    billed: float | None = None


class ReconciledDay(Shape, frozen=True, kw_only=True):
    """A day held against Novita's bill; `ours` before it was adjusted."""

    date: str
    at: Time
    ours: float
    billed: float
    difference_percent: float = 0.0
    machines: int = 0
    elsewhere: float = 0.0
    final: bool = False
    differences: tuple[BillDifference, ...] = ()


class Reconciliation(Shape, frozen=True, kw_only=True):
    """Days that were held against Novita's bill, newest first, and how many wait for it."""

    days: tuple[ReconciledDay, ...] = ()
    waiting: int = 0


class CostPage(Shape, frozen=True, kw_only=True):
    """Costs between two times, dearest first (days: newest first). Of the four lists the one that was asked for is filled; the sums are
    over everything that matches.
    """

    total: float
    gpu: float = 0.0
    disk: float = 0.0
    adjustment: float = 0.0
    gpu_hours: float = 0.0
    group_by: str = "instance"
    instances: tuple[CostSum, ...] = ()
    labels: tuple[CostSum, ...] = ()
    keys: tuple[CostSum, ...] = ()
    days: tuple[CostSum, ...] = ()
    count: int = 0
    next_cursor: str | None = None
    forecast: Forecast = Forecast()
    savings: Savings = Savings()
    balance: Balance | None = None
    reconciliation: Reconciliation = Reconciliation()

    @property
    def groups(self) -> tuple[CostSum, ...]:
        """The list that was asked for."""
        return self.instances or self.labels or self.keys or self.days


class CostSegment(Shape, frozen=True, kw_only=True):
    """A rate that was, or is (`until` None), paid for a machine: for its `gpu` or its `disk`."""

    kind: str
    novita_instance_id: str
    per_hour: float
    since: Time
    until: Time | None = None
    cost: float = 0.0
    labels: dict[str, str] = {}


class InstanceCost(Shape, frozen=True, kw_only=True):
    """Everything an instance has cost, over all its runs and machines."""

    instance_id: str
    name: str
    total: float
    gpu: float = 0.0
    disk: float = 0.0
    adjustment: float = 0.0
    forecast: Forecast = Forecast()
    savings: Savings = Savings()
    segments: tuple[CostSegment, ...] = ()
    next_cursor: str | None = None
