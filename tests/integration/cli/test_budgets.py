"""`novitai budgets`: what people ask, and what they read."""

from typing import Any

import pytest

from unit.client.stand_in import Reply, StandIn

BUDGET: dict[str, Any] = {
    "id": "bud_1",
    "name": "team a",
    "limitUsd": 500.0,
    "period": "month",
    "scope": {"label": "team=a", "key": None},
    "hardStop": True,
    "thresholds": [50, 80, 100],
    "state": "held",
    "spentUsd": 512.5,
    "forecastUsd": 512.5,
    "percent": 102.5,
    "usdPerHour": 0.0,
    "periodStartedAt": "2027-01-01T00:00:00.000Z",
    "resetsAt": "2027-02-01T00:00:00.000Z",
    "exceedsAt": None,
    "createdAt": "2026-12-01T00:00:00.000Z",
}
ONE = "/api/budgets/bud_1"


def test_a_budget_is_made_with_its_options(server: StandIn, novitai) -> None:
    """And shown as it stands."""
    server.on("POST", "/api/budgets", Reply(201, BUDGET))

    done = novitai("budgets", "create", "team a", "--limit", "500", "--label", "team=a", "--at", "90", "--hard-stop")

    assert done.exit_code == 0
    assert "512.50 of 500.00 USD a month (102.5 %)" in done.stdout
    assert server.asked[0].body == {
        "name": "team a",
        "limitUsd": 500.0,
        "period": "month",
        "hardStop": True,
        "scope": {"label": "team=a"},
        "thresholds": [90],
    }


def test_budgets_are_listed_shown_and_changed(server: StandIn, novitai) -> None:
    """Only what is said is changed."""
    server.on("GET", "/api/budgets", Reply(body={"budgets": [BUDGET], "total": 1, "nextCursor": None}))
    server.on("GET", ONE, Reply(body=BUDGET))
    server.on("PATCH", ONE, Reply(body=BUDGET))

    listed, shown = novitai("budgets", "list"), novitai("budgets", "show", "bud_1", "--json")
    changed = novitai("budgets", "update", "bud_1", "--limit", "600", "--no-hard-stop")

    assert all(word in listed.stdout for word in ("team a", "held", "512.50", "label team=a"))
    assert '"spentUsd": 512.5' in shown.stdout
    assert changed.exit_code == 0
    assert server.asked[-1].body == {"limitUsd": 600.0, "hardStop": False}


def test_no_budgets_is_said(server: StandIn, novitai) -> None:
    """Rather than an empty table."""
    server.on("GET", "/api/budgets", Reply(body={"budgets": [], "total": 0, "nextCursor": None}))

    assert "No budgets." in novitai("budgets", "list").stdout


def test_a_delete_needs_a_yes_without_a_terminal(server: StandIn, novitai) -> None:
    """What it held down may be started again."""
    server.on("DELETE", ONE, Reply(body=BUDGET))

    assert novitai("budgets", "delete", "bud_1").exit_code == 2
    assert server.asked == []
    assert "bud_1 is deleted" in novitai("budgets", "delete", "bud_1", "--yes").stdout


@pytest.mark.parametrize(
    "args",
    [
        ("create", "x"),
        ("create", "--limit", "5"),
        ("create", "x", "--limit", "much"),
        ("update", "bud_1", "--total", "--label", "a=b"),
    ],
)
def test_wrong_usage_ends_with_2_and_asks_nothing(server: StandIn, novitai, args) -> None:
    """As everywhere."""
    assert novitai("budgets", *args).exit_code == 2
    assert server.asked == []
