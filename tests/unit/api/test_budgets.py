"""`/api/budgets`: who may do what, what is shown, what is written down."""

from typing import Any

import pytest

from novitai.domain.keys import Scope
from novitai.domain.lifecycle import State
from novitai.operations import records
from support import builders
from support.api_house import House
from support.asking import create_body

BODY = {"name": "team a", "limitUsd": 100, "period": "month", "scope": {"label": "team=a"}, "hardStop": True}


def code(answer) -> str:
    return answer.json()["error"]["code"]


def fields(answer) -> dict[str, str]:
    return {problem["field"]: problem["message"] for problem in answer.json()["error"]["validationErrors"]}


async def audited(house: House, target: str) -> list[tuple[str, dict[str, Any]]]:
    """What is written down of a target."""
    page = await house.parts.store.read_log(records.AUDIT, f"target:{target}", limit=100)
    entries = [records.read_audit(entry.body) for entry in page.entries]
    return [(entry.action, entry.detail) for entry in entries]


async def test_a_budget_is_made_shown_changed_and_taken_away(house: House, admin):
    """With how it stands, each time."""
    made = await admin.post("/api/budgets", json=BODY)
    body = made.json()
    one = f"/api/budgets/{body['id']}"
    changed = await admin.patch(one, json={"limitUsd": 250.5, "scope": "total", "thresholds": [90, 50, 90]})
    listed = (await admin.get("/api/budgets")).json()
    gone = await admin.delete(one)

    assert made.status_code == 201
    assert {key: body[key] for key in BODY} == BODY | {"scope": {"label": "team=a", "key": None}}
    assert (body["spentUsd"], body["forecastUsd"], body["percent"], body["state"]) == (0.0, 0.0, 0.0, "ok")
    assert (body["thresholds"], body["resetsAt"]) == ([50, 80, 100], "2027-02-01T00:00:00.000Z")
    assert (changed.json()["limitUsd"], changed.json()["scope"]) == (250.5, {"label": None, "key": None})
    assert (changed.json()["thresholds"], changed.json()["hardStop"]) == ([50, 90], True)
    assert (listed["budgets"], listed["total"], listed["nextCursor"]) == ([changed.json()], 1, None)
    assert (gone.status_code, gone.json()["id"]) == (200, body["id"])
    assert (await admin.get(one)).status_code == 404


async def test_everything_done_to_a_budget_is_written_down_in_its_commit(house: House, admin):
    """With its values, and of a change what changed."""
    made = (await admin.post("/api/budgets", json=BODY)).json()
    await admin.patch(f"/api/budgets/{made['id']}", json={"limitUsd": 200})
    await admin.patch(f"/api/budgets/{made['id']}", json={"limitUsd": 200})
    await admin.delete(f"/api/budgets/{made['id']}")

    actions = await audited(house, made["id"])

    assert [action for action, _ in actions] == ["budget.create", "budget.change", "budget.delete"]
    assert actions[0][1]["limitUsd"] == 100.0
    assert actions[1][1] == {"limitUsd": 200.0}


async def test_reading_needs_a_reader_and_changing_an_admin(house: House, admin):
    """A key that could change its own budget would have none."""
    made = (await admin.post("/api/budgets", json=BODY)).json()
    one = f"/api/budgets/{made['id']}"
    async with house.client(Scope.READ) as reader, house.client(Scope.WRITE) as writer:
        assert (await reader.get("/api/budgets")).status_code == 200
        assert (await reader.get(one)).status_code == 200
        assert (await writer.post("/api/budgets", json=BODY)).status_code == 403
        assert (await writer.patch(one, json={"limitUsd": 1})).status_code == 403
        assert (await writer.delete(one)).status_code == 403


async def test_the_same_request_again_makes_no_second_budget(house: House, admin):
    """The receipt is committed with the budget."""
    headers = {"Idempotency-Key": "once"}
    first = await admin.post("/api/budgets", json=BODY, headers=headers)
    again = await admin.post("/api/budgets", json=BODY, headers=headers)

    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (await admin.get("/api/budgets")).json()["total"] == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"limitUsd": 0}, "limitUsd"),
        ({"limitUsd": "100"}, "limitUsd"),
        ({"period": "year"}, "period"),
        ({"name": ""}, "name"),
        ({"thresholds": [0]}, "thresholds[0]"),
        ({"thresholds": [12.5]}, "thresholds[0]"),
        ({"scope": {"label": "team"}}, "scope.label"),
        ({"scope": {"team": "a"}}, "scope.team"),
        ({"owner": "x"}, "owner"),
    ],
)
async def test_a_body_that_breaks_a_rule_is_refused_with_the_field(admin, change, field):
    """And nothing is made."""
    answer = await admin.post("/api/budgets", json=BODY | change)

    assert (answer.status_code, code(answer)) == (422, "VALIDATION_ERROR")
    assert field in fields(answer)
    assert (await admin.get("/api/budgets")).json()["total"] == 0


@pytest.mark.parametrize("change", [{}, {"limitUsd": None}, {"name": None}, {"hardStop": None}, {"period": None}])
async def test_a_change_must_say_something_that_a_budget_can_be(admin, change):
    """What a budget must have cannot be cleared."""
    made = (await admin.post("/api/budgets", json=BODY)).json()

    assert (await admin.patch(f"/api/budgets/{made['id']}", json=change)).status_code == 422


async def test_scope_and_thresholds_can_be_cleared(admin):
    """Then everything counts, and the usual ones are told."""
    made = (await admin.post("/api/budgets", json=BODY | {"thresholds": [10]})).json()
    answer = await admin.patch(f"/api/budgets/{made['id']}", json={"scope": None, "thresholds": None})

    assert (answer.json()["scope"], answer.json()["thresholds"]) == ({"label": None, "key": None}, [50, 80, 100])


async def test_a_budget_of_a_key_that_does_not_exist_is_refused(house: House, admin):
    """Else it would stay empty for ever; the key of the environment is one."""
    body = BODY | {"scope": {"key": "nobody"}}
    answer = await admin.post("/api/budgets", json=body)

    assert (answer.status_code, code(answer)) == (404, "KEY_NOT_FOUND")
    assert (await admin.post("/api/budgets", json=body | {"scope": {"key": "environment"}})).status_code == 201


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_unknown_budget_is_not_found(admin, method):
    """In the house's words."""
    answer = await admin.request(method, "/api/budgets/bud_none", json={"name": "x"} if method == "PATCH" else None)

    assert (answer.status_code, code(answer)) == (404, "BUDGET_NOT_FOUND")


async def test_lists_come_in_pages(admin):
    """Oldest first."""
    for name in ("a", "b", "c"):
        await admin.post("/api/budgets", json=BODY | {"name": name})
    first = (await admin.get("/api/budgets?limit=2")).json()
    rest = (await admin.get(f"/api/budgets?limit=2&cursor={first['nextCursor']}")).json()

    assert [one["name"] for one in first["budgets"] + rest["budgets"]] == ["a", "b", "c"]
    assert (first["total"], rest["nextCursor"]) == (3, None)


async def test_a_create_that_the_forecast_does_not_allow_is_refused_with_the_figures(house: House, admin):
    """409, naming the budget, what is spent, the forecast and the limit; in a dry run, too."""
    await admin.post("/api/budgets", json=BODY | {"limitUsd": 1, "hardStop": False})
    asked = create_body(labels={"team": "a"})
    for body in (asked, asked | {"dryRun": True}):
        answer = await admin.post("/api/instances", json=body)
        details = answer.json()["error"]["details"]

        assert (answer.status_code, code(answer)) == (409, "BUDGET_EXCEEDED")
        assert (
            "budget 'team a': $0.00 are spent, and with this the forecast would be" in answer.json()["error"]["message"]
        )
        assert details["budget"] == "team a"
        assert (details["spentUsd"], details["limitUsd"], details["resetsAt"]) == (0.0, 1.0, "2027-02-01T00:00:00.000Z")
        assert details["forecastUsd"] > 100.0
    assert (await admin.post("/api/instances", json=create_body(labels={"team": "b"}))).status_code == 201
    assert (await admin.post("/api/instances", json=asked | {"ttl": "1h"})).status_code == 201


async def test_an_instances_own_budget_is_asked_shown_changed_and_cleared(house: House, admin):
    """In create, PATCH and among its policies."""
    own = {"limitUsd": 5, "hardStop": True}
    made = (await admin.post("/api/instances", json=create_body(budget=own))).json()
    path = f"/api/instances/{made['instanceId']}"
    asked = (await admin.get(path)).json()["policies"]["budget"]
    changed = (await admin.patch(path, json={"budget": {"limitUsd": 7}})).json()["policies"]["budget"]
    cleared = (await admin.patch(path, json={"budget": None})).json()["policies"]["budget"]

    assert asked == {"value": own, "source": "request"}
    assert changed["value"] == {"limitUsd": 7.0, "hardStop": False}
    assert cleared == {"value": None, "source": "default"}
    assert [detail.get("budget") for _, detail in await audited(house, made["instanceId"])][1:] == [
        {"limitUsd": 7.0, "hardStop": False},
        None,
    ]


async def test_what_a_budget_shows_is_what_is_spent_and_what_it_will_come_to(house: House, admin):
    """For what runs in its scope."""
    runs = builders.instance(State.READY, spec=builders.spec(labels={"team": "a"}))
    await house.have(runs)
    await admin.post("/api/budgets", json=BODY | {"period": "day", "limitUsd": 5})

    [shown] = (await admin.get("/api/budgets")).json()["budgets"]

    assert shown["forecastUsd"] == pytest.approx(shown["spentUsd"] + 16 * 0.35, abs=1e-4)
    assert (shown["usdPerHour"], shown["state"], shown["exceedsAt"] is not None) == (0.35, "ok", True)
    assert shown["resetsAt"] == "2027-01-16T00:00:00.000Z"
