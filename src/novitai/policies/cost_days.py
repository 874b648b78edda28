"""What a day came to: charges cut at midnight UTC and added up per machine, and the day held against Novita's bill.

A day is booked once nothing of it can be news any more; its bill is read later, and again for a few days, since bills are late. What
the bill says more or less is put beside our figure as an adjustment, so that the two together are the bill. Differences within the
rounding of bills (1/10000 USD) are none.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from novitai.domain.costs import (
    Charge,
    ChargeKind,
    Day,
    DayRow,
    DaySums,
    Difference,
    Owned,
    Reconciled,
    Segment,
    amount,
)
from novitai.domain.ids import InstanceId, MachineId
from novitai.domain.instance import Instance
from novitai.domain.money import Usd

ROUNDING = 20
"""Bills round to 1/10000 USD at both ends of a day, which is ten of our units each."""
TOLD_SHARE = 0.01
"""A difference is told of when it is more than this part of the bill."""
EVERYBODY: Owned = ("", "", "")


class Used(msgspec.Struct, frozen=True):
    """A charge with whose it is, running or ended. `until` None: it runs."""

    instance: InstanceId
    name: str
    owner: str
    labels: Mapping[str, str]
    charge: Charge
    until: float | None

    def between(self, start: float, end: float) -> Usd:
        """What it came to between two moments, neither in the future."""
        return self._at(self.charge.rate, start, end)

    def seconds(self, start: float, end: float) -> float:
        """How long it ran between them."""
        return max(0.0, min(end, self.until or end) - max(start, self.charge.since))

    def row(self, start: float, end: float) -> DayRow:
        """The same as a row of a day."""
        charge = self.charge
        came_to = self._at(charge.rate, start, end)
        row = DayRow(
            instance=self.instance,
            name=self.name,
            owner=self.owner,
            machine=charge.machine,
            labels=dict(self.labels),
        )
        if charge.kind is ChargeKind.DISK:
            return msgspec.structs.replace(row, disk=came_to)
        return msgspec.structs.replace(
            row,
            gpu=came_to,
            gpu_seconds=self.seconds(start, end),
            on_demand=self._at(charge.rate if charge.on_demand is None else charge.on_demand, start, end),
            dearest=self._at(charge.rate if charge.dearest is None else charge.dearest, start, end),
        )

    def _at(self, rate: int, start: float, end: float) -> Usd:
        last = end if self.until is None else min(end, self.until)
        return amount(rate, since=self.charge.since, start=start, end=last)


def used(segment: Segment) -> Used:
    """A charge that has ended."""
    charge = Charge(
        machine=segment.machine,
        kind=segment.kind,
        rate=segment.rate,
        since=segment.since,
        on_demand=segment.on_demand,
        dearest=segment.dearest,
    )
    return Used(segment.instance, segment.name, segment.owner, segment.labels, charge, segment.until)


def using(instance: Instance) -> tuple[Used, ...]:
    """The charges of an instance that run."""
    meter = instance.meter
    return tuple(
        Used(instance.id, instance.name, instance.owner, meter.labels, charge, None) for charge in meter.running
    )


def rows(charges: Iterable[Used], *, start: float, end: float) -> tuple[DayRow, ...]:
    """What machines cost between two moments: a row for each machine and set of labels, in the order of instances."""
    found: dict[tuple[str, str, tuple[tuple[str, str], ...]], DayRow] = {}
    for one in charges:
        if one.charge.since >= end or (one.until is not None and one.until <= start):
            continue
        row = one.row(start, end)
        key = (row.instance, row.machine, tuple(sorted(row.labels.items())))
        found[key] = added(found[key], row) if key in found else row
    return tuple(found[key] for key in sorted(found))


def added(one: DayRow, other: DayRow) -> DayRow:
    """Two rows as one, under the name of the first."""
    return msgspec.structs.replace(
        one,
        gpu=Usd(one.gpu + other.gpu),
        disk=Usd(one.disk + other.disk),
        gpu_seconds=one.gpu_seconds + other.gpu_seconds,
        on_demand=Usd(one.on_demand + other.on_demand),
        dearest=Usd(one.dearest + other.dearest),
        adjustment=Usd(one.adjustment + other.adjustment),
    )


def part(row: DayRow, share: float) -> DayRow:
    """A part of a row, in proportion: days that are booked are known as wholes."""
    if share >= 1.0:
        return row
    fields = ("gpu", "disk", "on_demand", "dearest", "adjustment")
    cut = {name: Usd(round(getattr(row, name) * share)) for name in fields}
    return msgspec.structs.replace(row, gpu_seconds=row.gpu_seconds * share, **cut)


def sums(day: Day, *, reconciled: Reconciled | None = None) -> DaySums:
    """A day in sums."""
    by: defaultdict[Owned, int] = defaultdict(int)
    adjusted: defaultdict[InstanceId, int] = defaultdict(int)
    for row in day.rows:
        for owned in owned_by(row.owner, row.labels):
            by[owned] += row.total
        if row.adjustment:
            adjusted[row.instance] += row.adjustment
    return DaySums(
        start=day.start,
        by=tuple((*owned, total) for owned, total in sorted(by.items())),
        adjusted=tuple(sorted(adjusted.items())),
        reconciled=reconciled,
    )


def owned_by(owner: str, labels: Mapping[str, str]) -> tuple[Owned, ...]:
    """Every sum into which a cost goes: everybody's, the owner's, each label's, and each label's of this owner."""
    tags = tuple(labels.items())
    return (
        EVERYBODY,
        (owner, "", ""),
        *(("", key, value) for key, value in tags),
        *((owner, key, value) for key, value in tags),
    )


def settle(
    day: Day, billed: Mapping[MachineId, Usd], whose: Mapping[MachineId, DayRow], *, at: float, final: bool
) -> tuple[Day, Reconciled]:
    """A day adjusted to its bill. `whose`: rows of other days by machine, to know our machines by that have none on this day.

    A machine that the bill does not have (yet) is left as it is until the final look; then it cost nothing.
    """
    plain = [msgspec.structs.replace(row, adjustment=Usd(0)) for row in day.rows]
    ours: defaultdict[MachineId, int] = defaultdict(int)
    for row in plain:
        ours[row.machine] += row.total
    plain += [_empty(whose[machine]) for machine in sorted(billed) if machine not in ours and machine in whose]
    last = {row.machine: place for place, row in enumerate(plain)}
    differences = []
    for machine, place in last.items():
        said = billed.get(machine)
        mine = ours[machine]
        difference = 0 if said is None and not final else (said or 0) - mine
        if abs(difference) > ROUNDING:
            plain[place] = msgspec.structs.replace(plain[place], adjustment=Usd(difference))
        if abs(difference) > ROUNDING or (said is None and mine > ROUNDING):
            row = plain[place]
            differences.append(Difference(instance=row.instance, machine=machine, ours=Usd(mine), billed=said))
    known = [machine for machine in last if machine in billed or final]
    return Day(start=day.start, rows=tuple(plain)), Reconciled(
        at=at,
        ours=Usd(sum(ours[machine] for machine in known)),
        billed=Usd(sum(billed.get(machine, Usd(0)) for machine in known)),
        machines=len(known),
        elsewhere=Usd(sum(amount for machine, amount in billed.items() if machine not in last)),
        differences=tuple(sorted(differences, key=lambda one: -abs(one.ours - (one.billed or 0)))),
        final=final,
    )


def worth_telling(reconciled: Reconciled) -> bool:
    """Whether the machines of a day differ from their bill by more than 1 %, taken together without letting one make up for another."""
    apart = sum(abs(one.ours - one.billed) for one in reconciled.differences if one.billed is not None)
    if reconciled.final:
        apart += sum(one.ours for one in reconciled.differences if one.billed is None)
    return apart > TOLD_SHARE * reconciled.billed and apart > ROUNDING


def _empty(known: DayRow) -> DayRow:
    return DayRow(
        instance=known.instance, name=known.name, owner=known.owner, machine=known.machine, labels=known.labels
    )
