"""What machines cost: charges that run, segments that have ended, and what a day came to.

A charge is a rate that runs for one machine, for its GPUs or for its disk; ended, it is a segment. Rates are whole numbers of
1/100000 USD per *day*: a price per hour and a price per GB and day are both exact in it. Amounts are `Usd`. An amount up to a moment
is rounded, and that between two moments is the difference of two such, so that parts add up to the whole.

Nothing here is known of days that are kept or of bills that are read; see `policies/costs.py` for when charges run.
"""

from enum import StrEnum
from typing import NewType

import msgspec

from novitai.domain.ids import InstanceId, MachineId
from novitai.domain.money import Usd

Rate = NewType("Rate", int)
"""1/100000 USD per day."""

DAY = 86_400
HOURS_PER_DAY = 24


class ChargeKind(StrEnum):
    """What is paid for."""

    GPU = "gpu"
    DISK = "disk"


class Charge(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rate that runs from `since` on. `on_demand`: what the same GPUs cost on demand at that time; `dearest`: the dearest offer that
    fitted the request when it was accepted. Both are None where they are not known, and for disks, on which nobody can save.
    """

    machine: MachineId
    kind: ChargeKind
    rate: Rate
    since: float
    on_demand: Rate | None = None
    dearest: Rate | None = None


class Segment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A charge that has ended, with whose it was: the labels are those of the time."""

    instance: InstanceId
    name: str
    owner: str
    machine: MachineId
    kind: ChargeKind
    rate: Rate
    since: float
    until: float
    labels: dict[str, str] = {}
    on_demand: Rate | None = None
    dearest: Rate | None = None


class Ended(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Until when a machine's charges are accounted for; 0: it never had any. `rate`: that of the last GPU charge."""

    gpu: float = 0.0
    disk: float = 0.0
    rate: Rate = Rate(0)


class Settled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The sums of all segments of an instance; `on_demand` and `dearest` as in `DayRow`."""

    gpu: Usd = Usd(0)
    disk: Usd = Usd(0)
    on_demand: Usd = Usd(0)
    dearest: Usd = Usd(0)

    @property
    def total(self) -> Usd:
        return Usd(self.gpu + self.disk)

    def and_then(self, charge: Charge, until: float) -> "Settled":
        """With a charge until a moment."""

        def to(rate: int) -> int:
            return amount(rate, since=charge.since, start=charge.since, end=until)

        if charge.kind is ChargeKind.DISK:
            return msgspec.structs.replace(self, disk=Usd(self.disk + to(charge.rate)))
        return Settled(
            gpu=Usd(self.gpu + to(charge.rate)),
            disk=self.disk,
            on_demand=Usd(self.on_demand + to(charge.rate if charge.on_demand is None else charge.on_demand)),
            dearest=Usd(self.dearest + to(charge.rate if charge.dearest is None else charge.dearest)),
        )


class Meter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an instance's machines are being charged for, as a part of its record.

    `settled`: what has ended came to. `labels`: those under which the running charges began. `dearest`: see `Charge`. `closed` holds
    segments only between a decision and its commit, which moves them to the log.
    """

    running: tuple[Charge, ...] = ()
    ended: dict[MachineId, Ended] = {}
    settled: Settled = Settled()
    labels: dict[str, str] = {}
    dearest: Usd | None = None
    closed: tuple[Segment, ...] = ()

    def of(self, machine: MachineId, kind: ChargeKind) -> Charge | None:
        """The running charge of a machine."""
        return next((one for one in self.running if one.machine == machine and one.kind is kind), None)

    def until(self, moment: float) -> Settled:
        """Everything until a moment, running charges included."""
        found = self.settled
        for charge in self.running:
            found = found.and_then(charge, moment)
        return found


class DayRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What one machine cost on one day under one set of labels. Stored as a list, since there are very many: new fields go to the end.

    `on_demand` and `dearest`: what its GPU time would have cost at those prices (that which was paid, where they are not known).
    `adjustment`: what Novita's bill says more, or less, than the two amounts before it.
    """

    instance: InstanceId
    name: str
    owner: str
    machine: MachineId
    labels: dict[str, str] = {}
    gpu: Usd = Usd(0)
    disk: Usd = Usd(0)
    gpu_seconds: float = 0.0
    on_demand: Usd = Usd(0)
    dearest: Usd = Usd(0)
    adjustment: Usd = Usd(0)

    @property
    def total(self) -> Usd:
        return Usd(self.gpu + self.disk + self.adjustment)


class Difference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A machine of which Novita's bill says something else than our figure. `billed` None: it is not on the bill."""

    instance: InstanceId
    machine: MachineId
    ours: Usd
    billed: Usd | None


class Reconciled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A day held against Novita's bill, at `at`. `ours` is our figure before it was adjusted; `elsewhere` what the bill has for
    machines that are not ours. `final`: it is not looked at again. `told`: its difference has been told of.
    """

    at: float
    ours: Usd
    billed: Usd
    machines: int = 0
    elsewhere: Usd = Usd(0)
    differences: tuple[Difference, ...] = ()
    final: bool = False
    told: bool = False

    @property
    def share(self) -> float:
        """How far our figure was from the bill, as a part of the bill."""
        return abs(self.ours - self.billed) / max(1, self.billed) if self.ours != self.billed else 0.0


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """A day that is over: what each machine cost. `start`: its first second, in UTC."""

    start: int
    rows: tuple[DayRow, ...] = ()


Owned = tuple[str, str, str]
"""Owner, label key and label value; empty where any counts."""


class DaySums(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The same day in sums: what stands in memory. `by` holds a sum for everybody, each owner, each label, and each label of each owner."""

    start: int
    by: tuple[tuple[str, str, str, int], ...] = ()
    adjusted: tuple[tuple[InstanceId, int], ...] = ()
    reconciled: Reconciled | None = None


class Billed(msgspec.Struct, frozen=True, kw_only=True):
    """A row of Novita's bill: what one machine cost within a cycle that began at `start` (Unix seconds)."""

    machine_id: MachineId
    start: float
    amount: Usd


class BalanceSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The account's balance as read at `at`, and whether it has been told that it is low."""

    amount: Usd
    at: float
    low: bool = False


def day_of(at: float) -> int:
    """The first second of a time's day, in UTC."""
    return int(at // DAY) * DAY


def per_hour(price: Usd) -> Rate:
    """The rate of a price per hour."""
    return Rate(price * HOURS_PER_DAY)


def hourly(rate: Rate) -> Usd:
    """The price per hour of a rate."""
    return Usd(round(rate / HOURS_PER_DAY))


def amount(rate: int, *, since: float, start: float, end: float) -> Usd:
    """What a rate that runs from `since` on comes to between two moments. Amounts of moments that follow one another add up."""
    if end <= start or end <= since:
        return Usd(0)
    return Usd(round(rate * (end - since) / DAY) - round(rate * max(0.0, start - since) / DAY))
