"""Budgets as the client asks for them and reads them."""

from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from novitai_client import Client, NotFound
from novitai_client.cli import tables
from unit.client.stand_in import Reply, StandIn, error

BUDGET: dict[str, Any] = {
    "id": "bud_1",
    "name": "team a",
    "limitUsd": 500.0,
    "period": "month",
    "scope": {"label": "team=a", "key": None},
    "hardStop": True,
    "thresholds": [50, 80, 100],
    "state": "warned",
    "spentUsd": 412.5,
    "forecastUsd": 530.0,
    "percent": 82.5,
    "usdPerHour": 1.4,
    "periodStartedAt": "2027-01-01T00:00:00.000Z",
    "resetsAt": "2027-02-01T00:00:00.000Z",
    "exceedsAt": None,
    "createdAt": "2026-12-01T00:00:00.000Z",
}


def test_a_budget_is_made_changed_and_taken_away(server: StandIn, client: Client) -> None:
    """What is not said is not sent."""
    server.on("POST", "/api/budgets", Reply(201, BUDGET))
    server.on("PATCH", "/api/budgets/bud_1", Reply(body=BUDGET), Reply(body=BUDGET))
    server.on("DELETE", "/api/budgets/bud_1", Reply(body=BUDGET))

    made = client.create_budget("team a", limit=500, label="team=a", hard_stop=True)
    client.update_budget("bud_1", limit=600, thresholds=[90])
    client.update_budget("bud_1", total=True, hard_stop=False)
    gone = client.delete_budget("bud_1")

    assert (made.scope.label, made.resets_at) == ("team=a", datetime(2027, 2, 1, tzinfo=UTC))
    assert gone.id == "bud_1"
    assert [asked.body for asked in server.asked[:3]] == [
        {"name": "team a", "limitUsd": 500, "period": "month", "hardStop": True, "scope": {"label": "team=a"}},
        {"limitUsd": 600, "thresholds": [90]},
        {"scope": "total", "hardStop": False},
    ]


def test_budgets_are_listed_to_the_end_and_one_is_read(server: StandIn, client: Client) -> None:
    """One that is not there is not found."""
    server.on(
        "GET",
        "/api/budgets",
        Reply(body={"budgets": [BUDGET], "total": 2, "nextCursor": "more"}),
        Reply(body={"budgets": [BUDGET | {"id": "bud_2"}], "total": 2, "nextCursor": None}),
    )
    server.on("GET", "/api/budgets/bud_1", Reply(body=BUDGET))
    server.on("GET", "/api/budgets/x", error(404, "BUDGET_NOT_FOUND"))

    assert [one.id for one in client.budgets()] == ["bud_1", "bud_2"]
    assert client.budget("bud_1").percent == 82.5
    with pytest.raises(NotFound):
        client.budget("x")


def test_people_see_what_is_spent_foreseen_and_counted(server: StandIn, client: Client) -> None:
    """In a row, and field by field."""
    server.on("GET", "/api/budgets/bud_1", Reply(body=BUDGET))
    one = client.budget("bud_1")
    printed = StringIO()
    console = Console(file=printed, markup=False, width=400)
    console.print(tables.budgets([one]))
    console.print(tables.budget(one))

    for words in ("412.50", "500.00", "82 %", "530.00", "label team=a", "warned", "2027-02-01 00:00:00Z"):
        assert words in printed.getvalue()
    assert "412.50 of 500.00 USD a month (82.5 %)" in printed.getvalue()
