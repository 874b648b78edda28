"""What budgets say of an instance: percent, forecast, and whether they hold it down; in words that need no documentation."""

import pytest

from novitai.domain.budget import Budget, Period, Scope
from novitai.domain.instance import DesiredState
from novitai.domain.lifecycle import State
from novitai.domain.money import Usd, usd
from novitai.policies import budget_verdict
from novitai.policies.budget import Spent, view
from support import builders
from support.builders import NOW

TEAM = Scope(label=("team", "ml"))


def standing(*, spent: float, hard_stop: bool = False, scope: Scope = TEAM, per_hour: float = 0.0):
    """A budget of $10 a month of which so much is spent."""
    made = Budget(
        id="bud_1",
        name="ml",
        limit=usd(10.0),
        period=None if scope.instance else Period.MONTH,
        scope=scope,
        created_at=NOW - 1000.0,
        hard_stop=hard_stop,
    )
    return view(made, Spent(amount=usd(spent), per_hour=Usd(usd(per_hour))), [], now=NOW)


READY = builders.instance(State.READY)


def test_what_no_budget_covers_says_so():
    """And nothing comes of it."""
    found = budget_verdict.explained(READY, [], now=NOW)

    assert (found.verdict, found.next, found.source) == ("Not set: no budget covers it.", None, "default")


def test_a_budget_tells_percent_forecast_and_when_it_begins_anew():
    """In money, and by its name."""
    found = budget_verdict.explained(READY, [standing(spent=2.5)], now=NOW)

    assert "Label team=ml: budget 'ml': $2.50 of $10.00 are spent (25 %)" in found.verdict
    assert "are foreseen until it begins anew at 2027-02-01 00:00:00 UTC" in found.verdict
    assert "It only warns" in found.verdict
    assert (found.source, found.value[0]["percent"]) == ("budget 'ml'", 25.0)


def test_a_used_up_budget_with_a_hard_stop_stops_it_now():
    """The next action, with what would change it."""
    found = budget_verdict.explained(READY, [standing(spent=11.0, hard_stop=True)], now=NOW)

    assert "It is used up, and holds what it covers stopped." in found.verdict
    assert found.next is not None
    assert (found.next.what, found.next.at, found.next.unless) == ("stop", None, "an admin raises its limit")
    assert budget_verdict.held([standing(spent=11.0, hard_stop=True)]) is not None


def test_a_used_up_budget_that_only_warns_stops_nothing():
    """It says that it only warns."""
    found = budget_verdict.explained(READY, [standing(spent=11.0)], now=NOW)

    assert "it only warns" in found.verdict
    assert (found.next, budget_verdict.held([standing(spent=11.0)])) == (None, None)


def test_a_hard_stop_that_is_foreseen_is_the_next_action_at_its_time():
    """At the present rate."""
    found = budget_verdict.explained(READY, [standing(spent=9.0, hard_stop=True, per_hour=1.0)], now=NOW)

    assert found.next is not None
    assert found.next.at == pytest.approx(NOW + 3600.0)
    assert found.holds_until == pytest.approx(NOW + 3600.0)


def test_a_stopped_one_is_not_stopped_again():
    """There is nothing to do about it."""
    stopped = builders.instance(State.STOPPED, desired=builders.desired(DesiredState.STOPPED, by="budget"))

    assert budget_verdict.explained(stopped, [standing(spent=11.0, hard_stop=True)], now=NOW).next is None


def test_its_own_budget_is_from_its_request():
    """And has no period."""
    own = standing(spent=1.0, scope=Scope(instance=READY.id))
    found = budget_verdict.explained(READY, [own], now=NOW)

    assert (found.source, found.verdict.startswith("Its own budget 'ml': $1.00 of $10.00")) == ("request", True)
