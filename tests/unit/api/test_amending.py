"""`PATCH /api/instances/{id}`, and what create and stop may say of time."""

import pytest

from novitai.domain.keys import Scope
from novitai.domain.lifecycle import State
from novitai.operations import records
from support import builders
from support.api_house import House
from support.asking import create_body

ID = builders.INSTANCE_ID
OFFICE = {"start": "0 8 * * 1-5", "stop": "0 19 * * 1-5", "timezone": "Europe/Berlin"}


def fields(answer) -> dict[str, str]:
    return {problem["field"]: problem["message"] for problem in answer.json()["error"]["validationErrors"]}


async def audited(house: House) -> list:
    page = await house.parts.store.read_log(records.AUDIT, f"target:{ID}", limit=10)
    return [records.read_audit(entry.body) for entry in page.entries]


async def test_a_create_takes_a_ttl_and_a_schedule_and_shows_where_they_come_from(admin):
    """Policies name their value and its source; the next action is what will be done by itself."""
    made = (await admin.post("/api/instances", json=create_body(ttl="4h", schedule=OFFICE))).json()

    seen = (await admin.get(f"/api/instances/{made['instanceId']}")).json()

    assert seen["policies"]["ttl"] == {
        "value": {"seconds": 14400.0, "endsAt": "2027-01-15T12:00:00.000Z"},
        "source": "request",
    }
    assert seen["policies"]["schedule"] == {"value": OFFICE, "source": "request"}


async def test_what_was_not_said_holds_by_default(house: House, admin):
    """No ttl and no schedule."""
    await house.have(builders.instance(State.READY))

    policies = (await admin.get(f"/api/instances/{ID}")).json()["policies"]

    assert policies["ttl"] == policies["schedule"] == {"value": None, "source": "default"}


async def test_a_change_is_answered_with_the_instance_as_it_is_then(house: House, admin):
    """Labels merge, a null label goes, and what was not named stays."""
    await house.have(builders.instance(State.READY, spec=builders.spec(labels={"team": "a", "job": "x"})))

    answer = await admin.patch(f"/api/instances/{ID}", json={"labels": {"job": None, "env": "dev"}, "ttl": "2h"})

    assert answer.status_code == 200
    assert answer.json()["labels"] == {"team": "a", "env": "dev"}
    assert answer.json()["policies"]["ttl"]["value"]["endsAt"] == "2027-01-15T10:00:00.000Z"
    assert (await admin.get(f"/api/instances/{ID}")).json() | {"envs": []} == answer.json() | {"envs": []}


async def test_the_next_action_follows_the_calendar(house: House, admin):
    """The stop that comes is shown, and when its moment comes that it is due, although the record did not change."""
    await house.have(builders.instance(State.READY))
    changed = await admin.patch(f"/api/instances/{ID}", json={"schedule": {"stop": "10 8 * * *"}})

    assert changed.json()["nextAction"] == {
        "what": "stop",
        "at": "2027-01-15T08:10:00.000Z",
        "because": "its schedule says stop at '10 8 * * *' (UTC)",
        "unless": "its schedule is changed",
    }
    await house.clock.advance(600.0)
    assert (await admin.get(f"/api/instances/{ID}")).json()["nextAction"][
        "at"
    ] is None  # due: it is done within a moment


async def test_null_clears(house: House, admin):
    """Each of them on its own."""
    await house.have(builders.instance(State.READY, spec=builders.spec(labels={"a": "b"})))
    await admin.patch(f"/api/instances/{ID}", json={"ttl": 60, "schedule": OFFICE, "webhookUrl": "https://a.example/x"})

    answer = await admin.patch(
        f"/api/instances/{ID}", json={"ttl": None, "schedule": None, "webhookUrl": None, "labels": None}
    )

    spec = house.parts.reads.get(ID).instance.spec
    assert (spec.ttl, spec.schedule, spec.webhook, spec.labels) == (None, None, None, {})
    assert answer.json()["policies"]["schedule"]["source"] == "default"


async def test_a_change_is_written_down_without_secrets_and_told_to_nobody(house: House, admin):
    """The audit log has the new values; of an address only that it is another one."""
    await house.have(builders.instance(State.READY))
    asked = {"ttl": "1h", "schedule": OFFICE, "webhookUrl": "https://a.example/?key=secret", "webhookSecret": "hush"}

    await admin.patch(f"/api/instances/{ID}", json=asked)

    (entry,) = await audited(house)
    assert entry.action == "instance.change"
    assert entry.detail == {"ttlSeconds": 3600.0, "schedule": OFFICE, "webhook": "set"}
    assert (await house.parts.store.read_log(records.EVENTS, f"instance:{ID}", limit=10)).entries == ()


async def test_the_same_key_again_gets_the_same_answer_and_changes_nothing(house: House, admin):
    """The receipt is committed with the change; another body under the key is refused."""
    await house.have(builders.instance(State.READY))
    key = {"Idempotency-Key": "patch-1"}
    first = await admin.patch(f"/api/instances/{ID}", json={"ttl": "1h"}, headers=key)
    await house.clock.advance(600.0)

    again = await admin.patch(f"/api/instances/{ID}", json={"ttl": "1h"}, headers=key)
    other = await admin.patch(f"/api/instances/{ID}", json={"ttl": "2h"}, headers=key)

    assert (again.content, again.headers["Idempotency-Replayed"]) == (first.content, "true")
    assert other.status_code == 422
    assert house.parts.reads.get(ID).instance.spec.ttl.seconds == 3600.0
    assert len(await audited(house)) == 1


REFUSED = {
    "nothing": ({}, "body"),
    "a strategy that is none": ({"migration": {"strategy": "pray"}}, "migration.strategy"),
    "a budget without a limit": ({"budget": {}}, "budget.limitUsd"),
    "an unknown field": ({"name": "x"}, "name"),
    "a ttl of nothing": ({"ttl": 0}, "ttl"),
    "a ttl that is none": ({"ttl": "soon"}, "ttl"),
    "a schedule of nothing": ({"schedule": {}}, "schedule"),
    "a line of six fields": ({"schedule": {"stop": "0 0 19 * * *"}}, "schedule.stop"),
    "a line that is none": ({"schedule": {"start": "61 * * * *"}}, "schedule.start"),
    "a zone that is none": ({"schedule": {"stop": "0 19 * * *", "timezone": "Mars"}}, "schedule.timezone"),
    "a start that is the stop": ({"schedule": {"start": "0 8 * * *", "stop": "0 8 * * *"}}, "schedule"),
    "a secret without an address": ({"webhookSecret": "hush"}, "body"),
    "33 labels": ({"labels": {f"k{number}": "v" for number in range(33)}}, "labels"),
    "a label that is no text": ({"labels": {"a": 1}}, "labels.a"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "field"), REFUSED.values(), ids=REFUSED)
async def test_a_change_that_breaks_a_rule_says_which_field(house: House, admin, change, field):
    """And changes nothing."""
    await house.have(builders.instance(State.READY))

    answer = await admin.patch(f"/api/instances/{ID}", json=change)

    assert answer.status_code == 422
    assert field in fields(answer)
    assert await audited(house) == []


async def test_more_labels_than_an_instance_may_have_are_refused_after_the_merge(house: House, admin):
    """32 in all, not 32 a time."""
    labels = {f"k{number}": "v" for number in range(20)}
    await house.have(builders.instance(State.READY, spec=builders.spec(labels=labels)))

    answer = await admin.patch(f"/api/instances/{ID}", json={"labels": {f"n{number}": "v" for number in range(13)}})

    assert "at most 32" in fields(answer)["labels"]


@pytest.mark.parametrize("state", [State.DELETING, State.DELETED])
async def test_of_what_is_deleted_nothing_can_be_changed(house: House, admin, state):
    """409."""
    await house.have(builders.instance(state))

    answer = await admin.patch(f"/api/instances/{ID}", json={"ttl": "1h"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "INVALID_STATE")


async def test_a_stop_until_is_kept_and_shown(house: House, admin):
    """The word says until when it holds."""
    await house.have(builders.instance(State.READY))

    answer = await admin.post(f"/api/instances/{ID}/stop", json={"until": "2027-01-15T10:00:00+01:00"})

    assert answer.status_code == 202
    assert (await admin.get(f"/api/instances/{ID}")).json()["desired"]["until"] == "2027-01-15T09:00:00.000Z"


@pytest.mark.parametrize("until", ["2027-01-15T07:00:00Z", "2027-01-15T10:00:00", "tomorrow", 5])
async def test_a_stop_until_a_moment_that_is_past_or_none_is_refused(house: House, admin, until):
    """422 with the field."""
    await house.have(builders.instance(State.READY))

    answer = await admin.post(f"/api/instances/{ID}/stop", json={"until": until})

    assert answer.status_code == 422
    assert "until" in fields(answer)


async def test_a_start_past_the_ttl_is_refused_until_there_is_a_new_one(house: House, admin):
    """A later start needs a new ttl by PATCH."""
    await house.have(builders.instance(State.STOPPED))
    await admin.patch(f"/api/instances/{ID}", json={"ttl": "1m"})
    await house.clock.advance(61.0)

    refused = await admin.post(f"/api/instances/{ID}/start")
    await admin.patch(f"/api/instances/{ID}", json={"ttl": "1h"})
    accepted = await admin.post(f"/api/instances/{ID}/start")

    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "INSTANCE_NOT_STARTABLE")
    assert accepted.status_code == 202


async def test_who_may_only_read_changes_nothing(house: House):
    """PATCH needs `write`."""
    await house.have(builders.instance(State.READY))
    async with house.client(Scope.READ) as reader:
        answer = await reader.patch(f"/api/instances/{ID}", json={"ttl": "1h"})

    assert answer.status_code == 403
