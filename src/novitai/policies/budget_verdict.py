"""What budgets say of one instance: how far each that covers it is used up, what it will come to, and whether it holds it down.

The rule is `policies/budget.py`; here it only gets its words.
"""

from collections.abc import Sequence
from typing import Any

from novitai.domain.budget import Hold, Scope
from novitai.domain.explanation import PolicyView, Step, sooner
from novitai.domain.instance import DesiredState, Instance
from novitai.domain.money import dollars
from novitai.domain.times import iso_or_none, spoken
from novitai.policies.budget import View, because, hold


def explained(instance: Instance, seen: Sequence[View], *, now: float) -> PolicyView:
    """The budgets that cover an instance, its own one last."""
    if not seen:
        return PolicyView(name="budget", value=[], source="default", verdict="Not set: no budget covers it.")
    ends = [at for view in seen for at in (view.exceeds_at, view.resets_at) if at is not None]
    return PolicyView(
        name="budget",
        value=[_value(view) for view in seen],
        source=", ".join(_source(view) for view in seen),
        verdict=" ".join(_words(view, now=now) for view in seen),
        next=_next(instance, seen),
        holds_until=min(ends, default=None),
    )


def held(seen: Sequence[View]) -> Hold | None:
    """The used-up budget among them that holds down what it covers."""
    return next((found for view in seen if (found := hold(view)) is not None), None)


def _next(instance: Instance, seen: Sequence[View]) -> Step | None:
    if instance.wants is not DesiredState.RUNNING:
        return None
    step: Step | None = None
    for view in seen:
        step = sooner(step, _stop(view))
    return step


def _stop(view: View) -> Step | None:
    """What a budget with a hard stop does about an instance that is to run."""
    now_held = hold(view)
    if now_held is not None:
        return Step(what="stop", at=None, because=because(now_held), unless="an admin raises its limit")
    if not view.budget.hard_stop or view.exceeds_at is None:
        return None
    why = f"at the present rate budget '{view.budget.name}' is used up then"
    return Step(what="stop", at=view.exceeds_at, because=why, unless="less is spent, or an admin raises its limit")


def _words(view: View, *, now: float) -> str:
    budget = view.budget
    told = f"{_covers(budget.scope)} budget '{budget.name}': ${dollars(view.spent):.2f} of ${dollars(budget.limit):.2f} are spent"
    told += f" ({view.percent:g} %)"
    if view.forecast is not None and view.resets_at is not None:
        told += f", and ${dollars(view.forecast):.2f} are foreseen until it begins anew at {spoken(view.resets_at, now=now)}"
    if view.exceeded:
        return (
            f"{told}. It is used up{', and holds what it covers stopped' if budget.hard_stop else '; it only warns'}."
        )
    if view.exceeds_at is not None:
        told += f"; at the present rate it is used up at {spoken(view.exceeds_at, now=now)}"
    return f"{told}. {'Then what it covers is stopped.' if budget.hard_stop else 'It only warns, and refuses creates beyond it.'}"


def _covers(scope: Scope) -> str:
    if scope.instance is not None:
        return "Its own"
    if scope.label is not None:
        return f"Label {scope.label[0]}={scope.label[1]}:"
    return "Its key's" if scope.owner is not None else "The whole account's"


def _source(view: View) -> str:
    return "request" if view.budget.scope.instance is not None else f"budget '{view.budget.name}'"


def _value(view: View) -> dict[str, Any]:
    return {
        "name": view.budget.name,
        "limitUsd": dollars(view.budget.limit),
        "spentUsd": dollars(view.spent),
        "percent": view.percent,
        "forecastUsd": None if view.forecast is None else dollars(view.forecast),
        "hardStop": view.budget.hard_stop,
        "resetsAt": iso_or_none(view.resets_at),
    }
