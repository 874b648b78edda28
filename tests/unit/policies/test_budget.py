"""What a budget says: periods, thresholds, forecasts, and what one more machine would do."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novitai.domain.budget import Budget, BudgetMemory, Period, Scope, window
from novitai.domain.instance import DesiredState
from novitai.domain.lifecycle import State
from novitai.domain.money import Usd, usd
from novitai.domain.schedule import Schedule, Ttl
from novitai.policies.budget import (
    BudgetState,
    Spent,
    View,
    because,
    counted,
    covers,
    hold,
    refusal_words,
    remembered,
    runs_for,
    too_much,
    untold,
    view,
)
from support.builders import NOW, desired, instance, offer, spec

HOUR, DAY = 3600.0, 86_400.0


def at(*when: int) -> float:
    return datetime(*when, tzinfo=UTC).timestamp()  # type: ignore[misc]


def budget(**fields) -> Budget:
    """$10 a day for everything."""
    usual = {"id": "bud_1", "name": "team", "limit": usd(10), "period": Period.DAY, "scope": Scope(), "created_at": 0.0}
    return Budget(**(usual | fields))


def seen(spent: float = 0.0, per_hour: float = 0.0, *covered, now: float = NOW, **fields) -> View:
    return view(budget(**fields), Spent(amount=usd(spent), per_hour=usd(per_hour)), covered, now=now)


@pytest.mark.parametrize(
    ("period", "first", "following"),
    [
        (Period.DAY, (2028, 2, 29), (2028, 3, 1)),
        (Period.WEEK, (2028, 2, 28), (2028, 3, 6)),
        (Period.MONTH, (2028, 2, 1), (2028, 3, 1)),
    ],
)
def test_periods_are_those_of_utc(period, first, following):
    """From midnight, from Monday, from the first of the month; their first second belongs to them."""
    for moment in (at(*first), at(2028, 2, 29, 23, 59, 59)):
        found = window(period, now=moment)

        assert (found.since, found.until) == (at(*first), at(*following))


@given(now=st.floats(min_value=0.0, max_value=4e9), period=st.sampled_from(Period))
def test_a_moment_lies_in_its_period_and_periods_follow_one_another(now, period):
    """No moment belongs to none, or to two."""
    found = window(period, now=now)

    assert found.until is not None
    assert found.since <= now < found.until
    assert window(period, now=found.until).since == found.until


def test_a_scope_covers_what_has_the_label_and_belongs_to_the_key():
    """Both, when both are said; everything, when neither is."""
    labelled = instance(spec=spec(labels={"team": "a"}), owner="key_1")

    assert covers(Scope(), labelled)
    assert covers(Scope(label=("team", "a"), owner="key_1"), labelled)
    assert not covers(Scope(label=("team", "b")), labelled)
    assert not covers(Scope(label=("team", "a"), owner="key_2"), labelled)
    assert not covers(Scope(instance="inst_other"), labelled)


@pytest.mark.parametrize(
    ("spent", "hard", "state"),
    [
        (4.99, True, BudgetState.OK),
        (5.0, True, BudgetState.WARNED),
        (9.99, True, BudgetState.WARNED),
        (10.0, True, BudgetState.HELD),
        (10.0, False, BudgetState.EXCEEDED),
    ],
)
def test_the_state_follows_from_what_is_spent(spent, hard, state):
    """A threshold is reached at it, not above it."""
    assert seen(spent, hard_stop=hard).state is state


def test_the_forecast_counts_what_runs_to_the_end_of_the_period():
    """At eight in the morning sixteen hours are left; disks that are billed beside it count, too."""
    runs = instance(State.READY, offer=offer(price_per_hour=usd(1)))

    assert seen(2.0, 1.0, runs).forecast == usd(18)
    assert seen(2.0, 1.5, runs).forecast == usd(26)


def test_a_ttl_and_a_schedule_shorten_the_forecast():
    """Only what is known to end: nobody knows of idleness before it comes."""
    brief = instance(State.READY, spec=spec(ttl=Ttl(seconds=2 * HOUR, since=NOW)))
    office = instance(State.READY, spec=spec(schedule=Schedule(start="0 9 * * *", stop="0 12 * * *", since=0.0)))

    assert runs_for(brief, now=NOW, until=NOW + DAY) == 2 * HOUR
    assert runs_for(office, now=NOW, until=NOW + DAY) == 4 * HOUR


def test_a_stopped_machine_counts_for_the_hours_that_its_schedule_will_start_it():
    """Else each morning would come as a surprise; what a person stopped stays down."""
    hours = spec(schedule=Schedule(start="0 9 * * *", stop="0 12 * * *", since=0.0))
    by_schedule = instance(State.STOPPED, spec=hours, desired=desired(DesiredState.STOPPED, by="schedule"))
    by_person = instance(State.STOPPED, spec=hours)

    assert runs_for(by_schedule, now=NOW, until=NOW + 3 * DAY) == 9 * HOUR
    assert runs_for(by_person, now=NOW, until=NOW + 3 * DAY) == 0.0


def test_it_is_said_when_the_next_threshold_is_due_and_when_it_is_used_up():
    """At the present rate; not when the period ends before."""
    soon = seen(4.0, 2.0)
    never = seen(4.0, 0.1)

    assert (soon.next_at, soon.exceeds_at) == (NOW + HOUR / 2, NOW + 3 * HOUR)
    assert never.exceeds_at is None
    assert seen(11.0, 2.0).exceeds_at is None


def test_each_threshold_is_told_once_in_a_period_and_again_in_the_next():
    """Told and remembered are the same commit."""
    first = seen(8.5)
    memory = remembered(first, None)
    tomorrow = seen(5.0, now=NOW + DAY)

    assert untold(first, None) == (50, 80)
    assert memory is not None
    assert untold(seen(9.9), memory) == ()
    assert remembered(seen(9.9), memory) is None
    assert untold(seen(10.0), memory) == (100,)
    assert untold(tomorrow, memory) == (50,)


def test_under_a_raised_limit_what_is_no_longer_reached_is_told_again_when_it_is():
    """And what is still reached is not repeated."""
    told = BudgetMemory(id="bud_1", since=seen().since, limit=usd(10), told=(50, 80, 100))
    raised = seen(10.0, limit=usd(15))
    kept = remembered(raised, told)

    assert untold(raised, told) == ()
    assert kept is not None
    assert kept.told == (50,)
    assert untold(seen(12.0, limit=usd(15)), kept) == (80,)


def test_a_hundred_is_always_told():
    """Whatever thresholds are asked for."""
    assert untold(seen(30.0, thresholds=(200,)), None) == (100, 200)


def test_one_more_machine_is_too_much_when_the_forecast_passes_the_limit():
    """$1 an hour from eight o'clock on comes to $16, which with $2 spent is above 10; for two hours it is not."""
    dear = instance(State.CREATING, offer=offer(price_per_hour=usd(1)))
    brief = msgspec.structs.replace(dear, spec=spec(ttl=Ttl(seconds=2 * HOUR)), created_at=NOW)
    burst = too_much(seen(2.0), dear, now=NOW)

    assert burst is not None
    assert (burst.spent, burst.forecast, burst.limit) == (usd(2), usd(18), usd(10))
    assert "$2.00 are spent, and with this the forecast would be $18.00; the limit is $10.00" in refusal_words(burst)
    assert too_much(seen(2.0), brief, now=NOW) is None


def test_nothing_fits_into_a_budget_that_is_used_up():
    """However little it costs; the words say until when."""
    burst = too_much(seen(10.0), instance(offer=offer(price_per_hour=Usd(0))), now=NOW)

    assert burst is not None
    assert "is used up: $10.00 of $10.00 are spent; it begins anew at" in refusal_words(burst)


def test_only_a_hard_stop_holds():
    """And it says why, with its figures."""
    held = hold(seen(12.5, hard_stop=True))

    assert hold(seen(12.5)) is None
    assert held is not None
    assert "$12.50 of $10.00 are spent" in because(held)


@given(
    spent=st.integers(0, 3_000_000),
    rate=st.integers(0, 500_000),
    thresholds=st.lists(st.integers(1, 300), max_size=4),
)
def test_at_the_named_moment_the_next_threshold_is_reached(spent, rate, thresholds):
    """So the loop that sleeps until then is not late, and sees it within a unit of money."""
    first = view(
        budget(thresholds=tuple(thresholds), period=None), Spent(amount=Usd(spent), per_hour=Usd(rate)), (), now=NOW
    )
    if first.next_at is None:
        return
    later = Usd(spent + round(rate * (first.next_at - NOW) / HOUR) + 1)
    second = view(
        budget(thresholds=tuple(thresholds), period=None), Spent(amount=later, per_hour=Usd(rate)), (), now=NOW
    )

    assert len(second.crossed) > len(first.crossed)


def test_what_uses_up_money_is_what_is_wanted_or_may_still_bill():
    """A stopped machine does not, one that is stopping does."""
    assert counted(instance(State.READY))
    assert counted(instance(State.CREATING))
    assert counted(instance(State.STOPPING))
    assert not counted(instance(State.STOPPED))
    assert not counted(instance(State.DELETED))
