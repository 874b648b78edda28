"""Retries are paid for by successes (promise U3: an outage is not amplified)."""

import random

import pytest

from novitai.resilience.budget import BudgetSettings, RetryBudget


def calls_per_request(budget, *, requests, failing, seed=0, tries=3):
    chance = random.Random(seed)
    calls = 0
    for _ in range(requests):
        for attempt in range(tries):
            if attempt and not budget.spend():
                break
            calls += 1
            if chance.random() >= failing:
                budget.succeeded()
                break
    return calls / requests


@pytest.mark.parametrize("requests", [50, 100, 1_000, 20_000])
def test_when_everything_fails_calls_per_request_stay_at_or_below_one_point_two(requests):
    """At 100 % failure: calls / requests ≤ 1.2."""
    ratio = calls_per_request(RetryBudget(BudgetSettings()), requests=requests, failing=1.0)

    assert ratio <= 1.2


def test_when_one_call_in_twenty_fails_every_failure_is_retried():
    """In normal trouble the budget is not felt."""
    budget = RetryBudget(BudgetSettings())

    ratio = calls_per_request(budget, requests=5_000, failing=0.05)

    assert ratio == pytest.approx(1 / 0.95, rel=0.02)
    assert budget.tokens > 0


def test_successes_after_an_outage_fill_it_again_up_to_its_capacity():
    """An empty budget recovers by itself."""
    budget = RetryBudget(BudgetSettings(capacity=10, retry_cost=5))
    while budget.spend():
        pass

    for _ in range(100):
        budget.succeeded()

    assert budget.tokens == 10
