"""What a budget says now: how far it is used up, what it will come to, what has to be told, and what one more machine would do.

The forecast counts what is spent, and what runs for as long as it is known to run: to the end of the period, or until its ttl or its
schedule stops it. So a machine with a ttl takes up only the money of its time, and whoever is refused can give one.
"""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from novitai.domain.budget import FULL, Budget, BudgetMemory, Hold, InstanceBudget, Scope, Window, window
from novitai.domain.costs import Rate, amount, hourly
from novitai.domain.explanation import Explanation
from novitai.domain.instance import DesiredState, Instance
from novitai.domain.lifecycle import State
from novitai.domain.money import Usd, cost, dollars
from novitai.domain.schedule import next_boundary
from novitai.domain.times import iso, iso_or_none
from novitai.policies.precedence import PEOPLE, voice_of

MOST_BOUNDARIES = 200
"""A schedule with more boundaries than that in a period is looked at only so far; after them it counts as running on."""
_HOUR = 3600.0


class BudgetState(StrEnum):
    """How a budget stands: nothing told yet, a threshold told, used up, used up and holding what it covers."""

    OK = "ok"
    WARNED = "warned"
    EXCEEDED = "exceeded"
    HELD = "held"


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger knows for a budget: spent in its window so far, and what is billed per hour now."""

    amount: Usd = Usd(0)
    per_hour: Usd = Usd(0)


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A budget as it stands. `forecast`: at the end of the period, None when it has none. `crossed`: the thresholds that are reached;
    `exceeds_at`: when it will be used up at this rate (None: not in this period, or already); `next_at`: when the next threshold is due.
    """

    budget: Budget
    since: float
    resets_at: float | None
    spent: Usd
    per_hour: Usd
    forecast: Usd | None
    crossed: tuple[int, ...]
    exceeds_at: float | None
    next_at: float | None

    @property
    def percent(self) -> float:
        return round(self.spent * 100 / self.budget.limit, 2)

    @property
    def exceeded(self) -> bool:
        return FULL in self.crossed

    @property
    def state(self) -> BudgetState:
        if self.exceeded:
            return BudgetState.HELD if self.budget.hard_stop else BudgetState.EXCEEDED
        return BudgetState.WARNED if self.crossed else BudgetState.OK


def covers(scope: Scope, instance: Instance) -> bool:
    """Whether the money of an instance counts in a scope."""
    if scope.instance is not None and instance.id != scope.instance:
        return False
    if scope.owner is not None and instance.owner != scope.owner:
        return False
    return scope.label is None or instance.spec.labels.get(scope.label[0]) == scope.label[1]


def counted(instance: Instance) -> bool:
    """Whether an instance uses up money now: it is wanted, or its machine may still bill."""
    if instance.state in {State.DELETED, State.STOPPED, State.LOST}:
        return instance.wants is DesiredState.RUNNING and instance.operation.under_way
    wanted = instance.wants is DesiredState.RUNNING and instance.state is not State.FAILED
    return wanted or instance.machine is not None


def spent_by(instance: Instance, *, adjusted: Usd, now: float) -> Spent:
    """What one instance has cost in its life. `adjusted`: what Novita's bills had more, or less."""
    meter = instance.meter
    running = sum(amount(one.rate, since=one.since, start=one.since, end=now) for one in meter.running)
    rate = Rate(sum(one.rate for one in meter.running))
    return Spent(amount=Usd(meter.settled.total + running + adjusted), per_hour=hourly(rate))


def view(budget: Budget, spent: Spent, covered: Iterable[Instance], *, now: float) -> View:
    """A budget as it stands. `covered`: the live instances in its scope."""
    during = window(budget.period, now=now, begins=budget.created_at)
    crossed = tuple(one for one in _thresholds(budget) if spent.amount * 100 >= one * budget.limit)
    full_at = _reached_at(budget, FULL, spent, now=now)
    dues = [at for one in _thresholds(budget) if (at := _reached_at(budget, one, spent, now=now)) is not None]
    until = during.until
    return View(
        budget=budget,
        since=during.since,
        resets_at=until,
        spent=spent.amount,
        per_hour=spent.per_hour,
        forecast=None if until is None else forecast(spent, covered, during=during, now=now),
        crossed=crossed,
        exceeds_at=full_at if full_at is not None and (until is None or full_at < until) else None,
        next_at=min(dues) if dues else None,
    )


def forecast(spent: Spent, covered: Iterable[Instance], *, during: Window, now: float) -> Usd:
    """What the period will come to: what is spent, what runs or will run by its schedule, and what else is billed (disks)."""
    if during.until is None:
        return spent.amount
    total, running = spent.amount, 0
    for instance in covered:
        total = Usd(total + cost(instance.price_per_hour, runs_for(instance, now=now, until=during.until)))
        running += instance.price_per_hour if counted(instance) else 0
    rest = Usd(max(0, spent.per_hour - running))
    return Usd(total + cost(rest, max(0.0, during.until - now)))


def runs_for(instance: Instance, *, now: float, until: float) -> float:
    """Seconds that an instance will run before a moment, as far as is known now: its ttl and its schedule end it, and the latter may
    start it. What a person stopped stays so.
    """
    ends = until if instance.ttl_ends_at is None else min(until, instance.ttl_ends_at)
    runs = counted(instance) and instance.wants is DesiredState.RUNNING
    schedule, at, total = instance.spec.schedule, now, 0.0
    if schedule is not None and instance.wants is not DesiredState.DELETED and not (not runs and _kept_down(instance)):
        for _ in range(MOST_BOUNDARIES):
            following = next_boundary(schedule, runs=not runs, after=at)
            if following is None or following >= ends:
                break
            total += following - at if runs else 0.0
            runs, at = not runs, following
    return total + (max(0.0, ends - at) if runs else 0.0)


def _kept_down(instance: Instance) -> bool:
    return voice_of(instance.desired.by) in PEOPLE and instance.desired.until is None


def untold(seen: View, memory: BudgetMemory | None) -> tuple[int, ...]:
    """The thresholds that are reached and have not been told in this period."""
    told = _told(seen, memory)
    return tuple(one for one in seen.crossed if one not in told)


def remembered(seen: View, memory: BudgetMemory | None) -> BudgetMemory | None:
    """What has to be written down with what is told; None when nothing changes. Under a new limit what is no longer reached may be
    told again.
    """
    fresh = memory is None or memory.since != seen.since
    if not untold(seen, memory) and (fresh or (memory is not None and memory.limit == seen.budget.limit)):
        return None
    told = {*_told(seen, memory), *seen.crossed}
    return BudgetMemory(id=seen.budget.id, since=seen.since, limit=seen.budget.limit, told=tuple(sorted(told)))


def _told(seen: View, memory: BudgetMemory | None) -> frozenset[int]:
    if memory is None or memory.since != seen.since:
        return frozenset()
    if memory.limit == seen.budget.limit:
        return frozenset(memory.told)
    return frozenset(memory.told) & frozenset(seen.crossed)


def hold(seen: View) -> Hold | None:
    """How a budget holds down what it covers; None when it does not."""
    if seen.state is not BudgetState.HELD:
        return None
    return Hold(
        budget_id=seen.budget.id,
        name=seen.budget.name,
        limit=seen.budget.limit,
        spent=seen.spent,
        forecast=seen.spent if seen.forecast is None else seen.forecast,
        resets_at=seen.resets_at,
    )


def because(held: Hold) -> str:
    """Why something is held down, as a sentence with its figures."""
    until = (
        "it stands until the limit is raised" if held.resets_at is None else f"it begins anew at {iso(held.resets_at)}"
    )
    return (
        f"budget '{held.name}' is used up: ${dollars(held.spent):.2f} of ${dollars(held.limit):.2f} are spent; {until}"
    )


def explained(held: Hold) -> Explanation:
    """The same with its facts."""
    return Explanation(because=because(held), facts=facts(held))


def facts(held: Hold) -> dict[str, object]:
    """The figures of a budget that says no, under the names of the API."""
    return {
        "budgetId": held.budget_id,
        "budget": held.name,
        "spentUsd": dollars(held.spent),
        "forecastUsd": dollars(held.forecast),
        "limitUsd": dollars(held.limit),
        "resetsAt": iso_or_none(held.resets_at),
    }


def too_much(seen: View, wanted: Instance, *, now: float) -> Hold | None:
    """The budget that one more machine would burst, with the forecast that it would come to; None: there is room.

    `seen` is without the wanted one. What has no period foresees nothing, unless the machine has a ttl.
    """
    until = seen.resets_at if seen.resets_at is not None else wanted.ttl_ends_at
    added = cost(wanted.price_per_hour, runs_for(wanted, now=now, until=until)) if until is not None else Usd(0)
    foreseen = Usd((seen.spent if seen.forecast is None else seen.forecast) + added)
    if not seen.exceeded and foreseen <= seen.budget.limit:
        return None
    return Hold(
        budget_id=seen.budget.id,
        name=seen.budget.name,
        limit=seen.budget.limit,
        spent=seen.spent,
        forecast=foreseen,
        resets_at=seen.resets_at,
    )


def budget_value(asked: InstanceBudget | None) -> dict[str, object] | None:
    """An instance's own budget under the names of the API."""
    return None if asked is None else {"limitUsd": dollars(asked.limit), "hardStop": asked.hard_stop}


def refusal_words(burst: Hold) -> str:
    """What a caller is told whose machine would burst a budget, with what can be done."""
    spent, foreseen, limit = (f"${dollars(amount):.2f}" for amount in (burst.spent, burst.forecast, burst.limit))
    if burst.spent >= burst.limit:
        return f"{because(burst)}. An admin can raise its limit."
    return (
        f"budget '{burst.name}': {spent} are spent, and with this the forecast would be {foreseen}; the limit is {limit}. "
        "A ttl makes it count for that time only; an admin can raise the limit."
    )


def _thresholds(budget: Budget) -> tuple[int, ...]:
    return tuple(sorted({*budget.thresholds, FULL}))


def _reached_at(budget: Budget, threshold: int, spent: Spent, *, now: float) -> float | None:
    """When a threshold that is not reached yet will be, at the present rate."""
    missing = budget.limit * threshold / 100 - spent.amount
    if missing <= 0 or spent.per_hour <= 0:
        return None
    return now + missing / spent.per_hour * _HOUR
