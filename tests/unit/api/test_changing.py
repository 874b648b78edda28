"""Creating, starting, stopping and deleting over HTTP: what is answered, and that asking twice does nothing twice."""

import asyncio

import pytest

from novitai.api.parts import ApiSettings
from novitai.domain.change import with_fields, with_operation
from novitai.domain.errors import Code
from novitai.domain.instance import LastError, OperationStatus
from novitai.domain.lifecycle import State
from novitai.domain.orphan import orphan_of
from novitai.operations.ceilings import Ceilings
from support import builders
from support.api_house import House, open_house
from support.asking import create_body
from support.clock import settle

ID = builders.INSTANCE_ID


def code(answer) -> str:
    return answer.json()["error"]["code"]


def fields(answer) -> dict[str, str]:
    return {problem["field"]: problem["message"] for problem in answer.json()["error"]["validationErrors"]}


async def test_a_create_is_answered_when_it_is_durable_and_before_novita(house: House, admin):
    """201 with the offer, its price and the reason for it; the machine comes later."""
    answer = await admin.post("/api/instances", json=create_body(), headers={"X-Correlation-ID": "story-1"})

    made = answer.json()
    assert answer.status_code == 201
    assert made["status"] == "creating"
    assert made["pricePerHour"] == made["spotPrice"] == 0.35
    assert made["offer"] == {"rank": 1, "candidates": 3, "reason": "$0.35 an hour: the cheapest that fits"}
    assert made["estimatedReadyTime"] == "2027-01-15T08:03:00.000Z"
    kept = house.parts.reads.get(made["instanceId"]).instance
    assert kept.operation.correlation_id == "story-1"
    assert "create" not in [name for name, _ in house.provider.calls]


async def test_a_dry_run_says_what_would_be_done_and_does_nothing(house: House, admin):
    """The plan has every offer in its order."""
    answer = await admin.post("/api/instances", json=create_body(dryRun=True))

    plan = answer.json()
    assert answer.status_code == 200
    assert [offer["rank"] for offer in plan["offers"]] == [1, 2, 3]
    assert plan["pricePerHour"] == 0.35
    assert house.parts.reads.all() == ()


REFUSED = {
    "a name with a blank": ({"name": "a b"}, 422, "name"),
    "a name that is a word of the paths": ({"name": "start"}, 422, "name"),
    "no name": ({"name": None}, 422, "name"),
    "nine GPUs": ({"gpuNum": 9}, 422, "gpuNum"),
    "a number as a text": ({"gpuNum": "2"}, 422, "gpuNum"),
    "a truth as a number": ({"gpuNum": True}, 422, "gpuNum"),
    "a disk of 9 GB": ({"rootfsSize": 9}, 422, "rootfsSize"),
    "an unknown billing mode": ({"billingMode": "monthly"}, 422, "billingMode"),
    "a price of nothing": ({"maxPricePerHour": 0}, 422, "maxPricePerHour"),
    "an unknown field": ({"gpus": 2}, 422, "gpus"),
    "an unknown field within": ({"healthCheck": {"timeout": 2}}, 422, "healthCheck.timeout"),
    "a port that is none": ({"ports": [{"port": 0, "type": "http"}]}, 422, "ports[0].port"),
    "a health check of another port": ({"healthCheck": {"port": 9}}, 422, "healthCheck.port"),
    "33 labels": ({"labels": {f"k{number}": "v" for number in range(33)}}, 422, "labels"),
    "a webhook to a file": ({"webhookUrl": "file:///etc/passwd"}, 422, "webhookUrl"),
    "a webhook with a password": ({"webhookUrl": "https://a:b@example.com/"}, 422, "webhookUrl"),
    "a webhook without a host": ({"webhookUrl": "https:///x"}, 422, "webhookUrl"),
    "a webhook that is too long": ({"webhookUrl": "https://example.com/" + "x" * 2048}, 422, "webhookUrl"),
    "a duration that is none": ({"waitForCapacity": "soon"}, 422, "waitForCapacity"),
    "a strategy that is none": ({"migration": {"strategy": "pray"}}, 422, "migration.strategy"),
    "a warning as long as the threshold": ({"autoStop": {"idleMinutes": 5, "warnMinutes": 5}}, 422, "autoStop"),
    "no signal at all": ({"autoStop": {"signals": []}}, 422, "autoStop.signals"),
    "a signal that is none": ({"autoStop": {"signals": ["memory"]}}, 422, "autoStop.signals[0]"),
    "idle for no time": ({"autoStop": {"idleMinutes": 0}}, 422, "autoStop.idleMinutes"),
    "no image": ({"imageUrl": None}, 422, "imageUrl"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "status", "field"), REFUSED.values(), ids=REFUSED)
async def test_a_create_that_breaks_a_rule_says_which_field(house: House, admin, change, status, field):
    """Everything that can be known to be wrong is said before any money is spent."""
    answer = await admin.post("/api/instances", json=create_body(**change))

    assert (answer.status_code, code(answer)) == (status, "VALIDATION_ERROR")
    assert field in fields(answer)
    assert house.parts.reads.all() == ()


async def test_all_wrong_fields_are_named_at_once(admin):
    """Nobody should have to ask five times."""
    answer = await admin.post("/api/instances", json=create_body(name="a b", gpuNum=0, foo=1, budget={}))

    assert set(fields(answer)) == {"name", "gpuNum", "foo", "budget.limitUsd"}


@pytest.mark.parametrize(
    ("change", "status", "refusal"),
    [
        ({"productName": "H900"}, 404, Code.PRODUCT_NOT_FOUND),
        ({"templateId": 404}, 404, Code.TEMPLATE_NOT_FOUND),
        ({"region": "MARS-01"}, 404, Code.REGION_NOT_FOUND),
        ({"imageAuthId": "none"}, 404, Code.REGISTRY_AUTH_NOT_FOUND),
        ({"networkStorages": [{"id": "none"}]}, 404, Code.NETWORK_STORAGE_NOT_FOUND),
        ({"maxPricePerHour": 0.01}, 409, Code.NO_OFFER_WITHIN_CAP),
    ],
)
async def test_what_is_not_there_or_too_dear_has_its_own_code(admin, change, status, refusal):
    """Programs decide by the code."""
    answer = await admin.post("/api/instances", json=create_body(**change))

    assert (answer.status_code, code(answer)) == (status, refusal)


async def test_words_of_the_earlier_service_are_understood(house: House, admin):
    """A client switches by changing its base URL and adding a key."""
    body = create_body(templateId=None, healthCheckConfig={"targetPort": 8080, "timeoutMs": 5000, "retryAttempts": 0})

    made = (await admin.post("/api/instances", json=body)).json()

    check = house.parts.reads.get(made["instanceId"]).instance.spec.health_check
    assert (check.port, check.timeout_ms, check.retry_attempts) == (8080, 5000, 1)


async def test_a_ceiling_is_checked_before_money_is_spent():
    """`MAX_INSTANCES` and its kin answer 409."""
    async with open_house(limits=Ceilings(instances=1)) as house, house.client() as client:
        first = await client.post("/api/instances", json=create_body())
        second = await client.post("/api/instances", json=create_body())

    assert (first.status_code, second.status_code, code(second)) == (201, 409, "BUDGET_EXCEEDED")


# ── verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_stop_is_accepted_once_and_told_the_same_while_it_is_under_way(house: House, admin):
    """Same operation, no second event; by our id, by Novita's, or by name."""
    await house.have(builders.instance(State.READY))

    answers = [await admin.post(f"/api/instances/{reference}/stop") for reference in (ID, builders.MACHINE_ID, "demo")]

    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert {answer.json()["status"] for answer in answers} == {"stopping"}
    assert len({answer.json()["operationId"] for answer in answers}) == 1
    events = (await admin.get(f"/api/instances/{ID}/events")).json()["events"]
    assert [event["type"] for event in events] == ["instance.stopping"]


@pytest.mark.parametrize(
    ("state", "verb", "status"),
    [
        (State.STOPPED, "stop", 200),
        (State.STOPPED, "start", 202),
        (State.READY, "start", 200),
        (State.READY, "restart", 202),
        (State.DELETING, "start", 409),
        (State.LOST, "start", 409),
    ],
)
async def test_a_verb_is_202_when_something_is_done_200_when_it_is_so_409_when_it_cannot_be(
    house, admin, state, verb, status
):
    """The lifecycle's table decides."""
    await house.have(builders.instance(state))

    assert (await admin.post(f"/api/instances/{ID}/{verb}")).status_code == status


async def test_verbs_by_name_find_the_one_managed_instance(house: House, admin):
    """And refuse to guess when there are two."""
    await house.have(builders.instance(State.READY))
    one = await admin.post("/api/instances/stop", json={"instanceName": "demo"})
    await house.have(builders.instance(State.READY, id=f"inst_{'b3' * 13}", machine=None))
    two = await admin.post("/api/instances/delete", json={"instanceName": "demo"})

    assert one.status_code == 202
    assert (two.status_code, code(two)) == (409, "NAME_AMBIGUOUS")
    assert len(two.json()["error"]["details"]["instanceIds"]) == 2


async def test_a_name_that_only_novita_knows_is_not_looked_for_when_the_settings_say_so():
    """What is not managed is then left alone, whatever it is called."""
    stranger = builders.machine(id="beef" * 4, name="lonely")
    async with open_house(ApiSettings(rate_limit_max_requests=0, name_lookup=False)) as house:
        await house.parts.orphans.record([orphan_of(stranger, price=None, ours=False, at=house.clock.now())], None)
        answer = await house.client().post("/api/instances/start", json={"instanceName": "lonely"})

    assert (answer.status_code, code(answer)) == (404, "INSTANCE_NOT_FOUND")


async def test_a_name_in_the_body_must_be_that_of_the_path(house: House, admin):
    """Two statements that contradict each other are not acted on."""
    await house.have(builders.instance(State.READY))

    answer = await admin.post(f"/api/instances/{ID}/stop", json={"instanceName": "other"})

    assert (answer.status_code, set(fields(answer))) == (422, {"instanceName"})


async def test_a_start_takes_its_own_health_check(house: House, admin):
    """Also in the words of the earlier service."""
    await house.have(builders.instance(State.STOPPED))

    await admin.post(f"/api/instances/{ID}/start", json={"targetPort": 8080, "timeoutMs": 90_000})

    check = house.parts.reads.get(ID).instance.operation.health_check
    assert (check.port, check.max_wait_time_ms) == (8080, 90_000)


async def test_the_latest_use_that_was_told_holds(house: House, admin):
    """Older news changes nothing; a time in the future is refused."""
    await house.have(builders.instance(State.READY))
    where = f"/api/instances/{ID}/last-used"

    now = await admin.put(where)
    older = await admin.put(where, json={"lastUsedAt": "2020-01-01T00:00:00Z"})
    future = await admin.put(where, json={"lastUsedAt": "2030-01-01T00:00:00Z"})
    zoneless = await admin.put(where, json={"lastUsedAt": "2020-01-01T00:00:00"})

    assert now.json()["lastUsedAt"] == older.json()["lastUsedAt"] == "2027-01-15T08:00:00.000Z"
    assert (future.status_code, zoneless.status_code) == (422, 422)
    assert (await admin.get(f"/api/instances/{ID}")).json()["lastUsedAt"] == "2027-01-15T08:00:00.000Z"


# ── Prefer: wait ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def asking(house: House, request) -> asyncio.Task:
    task = asyncio.create_task(request)
    await settle()
    assert not task.done()
    return task


async def test_a_create_that_waits_is_answered_when_novita_accepted(house: House, admin):
    """With the machine's id."""
    task = await asking(house, admin.post("/api/instances", json=create_body(), headers={"Prefer": "wait=60"}))
    made = house.parts.reads.all()[0].instance

    await house.change(with_fields(made, machine=builders.seen_machine()))
    answer = await task

    assert (answer.status_code, answer.json()["novitaInstanceId"]) == (201, builders.MACHINE_ID)
    assert answer.headers["Preference-Applied"] == "wait=60"


async def test_a_create_that_waits_is_told_when_every_offer_refused(house: House, admin):
    """The error is the one that would otherwise stand in `lastError`; the accepted answer is what a replay gives."""
    headers = {"Prefer": "wait=60", "Idempotency-Key": "k"}
    task = await asking(house, admin.post("/api/instances", json=create_body(), headers=headers))
    made = house.parts.reads.all()[0].instance
    error = LastError(code=Code.NO_CAPACITY, message="every offer refused", at=house.clock.now())

    failed = with_operation(made, status=OperationStatus.FAILED, completed_at=house.clock.now())
    await house.change(with_fields(failed, state=State.FAILED, last_error=error))
    answer = await task
    again = await admin.post("/api/instances", json=create_body(), headers={"Idempotency-Key": "k"})

    assert (answer.status_code, code(answer)) == (409, "NO_CAPACITY")
    assert answer.json()["error"]["details"]["instanceId"] == made.id
    assert (again.status_code, again.json()["instanceId"]) == (201, made.id)


async def test_a_create_that_waits_is_answered_with_what_is_known_when_the_time_is_over(house: House, admin):
    """Waiting longer would help nobody."""
    task = await asking(house, admin.post("/api/instances", json=create_body(), headers={"Prefer": "wait=5"}))

    await house.clock.advance(5.0)

    assert (await task).json()["novitaInstanceId"] is None


async def test_whoever_waits_is_answered_when_the_server_stops(house: House, admin):
    """A deploy must not look like an error."""
    task = await asking(house, admin.post("/api/instances", json=create_body(), headers={"Prefer": "wait=60"}))

    house.parts.shutting_down.set()

    assert (await task).status_code == 201


async def test_a_stop_that_waits_is_answered_when_novita_accepted(house: House, admin):
    """Acceptance, not the end: a machine may take minutes to stop."""
    await house.have(builders.instance(State.READY))
    task = await asking(house, admin.post(f"/api/instances/{ID}/stop", headers={"Prefer": "wait=30"}))

    stopping = house.parts.reads.get(ID).instance
    await house.change(with_operation(stopping, accepted_at=house.clock.now()))

    assert (await task).status_code == 202


async def test_a_start_that_waits_is_told_of_a_refusal(house: House, admin):
    """A stopped machine does not hold its GPU."""
    await house.have(builders.instance(State.STOPPED))
    task = await asking(house, admin.post(f"/api/instances/{ID}/start", headers={"Prefer": "wait=30"}))

    starting = house.parts.reads.get(ID).instance
    error = LastError(code=Code.NO_CAPACITY, message="no GPU is free on its host", at=house.clock.now())
    refused = with_operation(starting, status=OperationStatus.FAILED, completed_at=house.clock.now())
    await house.change(with_fields(refused, state=State.STOPPED, last_error=error))

    answer = await task
    assert (answer.status_code, code(answer)) == (409, "NO_CAPACITY")


@pytest.mark.parametrize("preference", ["respond-async", "wait=abc", "wait", "await=5", ""])
async def test_a_preference_that_cannot_be_read_is_none(admin, preference):
    """RFC 7240: preferences are wishes."""
    answer = await admin.post("/api/instances", json=create_body(), headers={"Prefer": preference})

    assert answer.status_code == 201
    assert "Preference-Applied" not in answer.headers


async def test_secrets_are_sealed_and_never_shown(house: House, admin):
    """Environment values are opened only for an admin who asks; webhook secrets never."""
    body = create_body(
        envs=[{"key": "TOKEN", "value": "hush"}], webhookUrl="https://example.com/hook", webhookSecret="whsec_aHVzaA=="
    )
    made = (await admin.post("/api/instances", json=body)).json()
    where = f"/api/instances/{made['instanceId']}"

    shown = await admin.get(where)
    listed = await admin.get("/api/instances")
    revealed = await admin.get(f"{where}?reveal=envs")

    assert shown.json()["envs"] == [{"key": "TOKEN", "value": "***"}]
    assert "envs" not in listed.json()["instances"][0]
    assert revealed.json()["envs"] == [{"key": "TOKEN", "value": "hush"}]
    assert not any("aHVzaA" in answer.text for answer in (shown, listed, revealed))


@pytest.mark.parametrize("body", [{"targetPort": 9999}, {"healthCheck": {"port": 9999}}])
async def test_a_start_cannot_be_judged_by_a_port_that_is_not_there(house: House, admin, body):
    """As on create: a check that can never pass is refused before it is paid for."""
    await house.have(builders.instance(State.STOPPED))

    refused = await admin.post(f"/api/instances/{ID}/start", json=body)
    accepted = await admin.post(f"/api/instances/{ID}/start", json={"targetPort": builders.PORT})

    assert (refused.status_code, refused.json()["error"]["validationErrors"][0]["field"]) == (422, "healthCheck.port")
    assert accepted.status_code == 202


@pytest.mark.parametrize(
    ("state", "verb"), [(State.STARTING, "start"), (State.READY, "start"), (State.STOPPED, "stop")]
)
async def test_whoever_asks_for_what_is_so_already_is_told_what_happens_next(house: House, admin, state, verb):
    """The answer is the same as before, but the address that came with it is the one that counts from now on."""
    await house.have(builders.instance(state))
    before = await admin.post(f"/api/instances/{ID}/{verb}")

    again = await admin.post(f"/api/instances/{ID}/{verb}", json={"webhookUrl": "https://new.example.test/hook"})

    assert (again.status_code, again.json()) == (before.status_code, before.json())
    assert house.parts.reads.get(ID).instance.spec.webhook.url == "https://new.example.test/hook"
