"""`Idempotency-Key`: the same request is done once, whatever came of it, also across replicas and restarts."""

import asyncio
from dataclasses import replace

import pytest
from msgspec.structs import replace as replace_struct

from novitai.api.app import build_app
from novitai.domain.errors import Code
from novitai.domain.instance import LastError, OperationStatus
from novitai.domain.keys import Scope
from novitai.domain.lifecycle import State
from novitai.operations.receipts import Answer, Receipts
from novitai.stores.sqlite import open_sqlite
from support import builders
from support.api_house import ENVIRONMENT_KEY, House, open_house
from support.asking import create_body
from support.clock import FakeClock, settle

KEY = {"Idempotency-Key": "order-66"}
ID = builders.INSTANCE_ID


async def test_the_same_request_gets_the_same_answer_and_makes_one_instance(house: House, admin):
    """To the byte, and marked as a replay."""
    first = await admin.post("/api/instances", json=create_body(), headers=KEY)
    again = await admin.post("/api/instances", json=create_body(), headers=KEY)

    assert again.content == first.content
    assert (first.status_code, again.status_code) == (201, 201)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(house.parts.reads.all()) == 1


async def test_another_body_under_the_same_key_is_refused(house: House, admin):
    """A key stands for one request."""
    await admin.post("/api/instances", json=create_body(), headers=KEY)

    other = await admin.post("/api/instances", json=create_body(gpuNum=2), headers=KEY)

    assert (other.status_code, other.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert len(house.parts.reads.all()) == 1


async def test_a_key_counts_for_its_owner_method_and_path_only(house: House, admin):
    """Two callers may choose the same key."""
    await admin.post("/api/instances", json=create_body(), headers=KEY)
    async with house.client(Scope.WRITE) as other:
        answer = await other.post("/api/instances", json=create_body(), headers=KEY)

    assert "Idempotency-Replayed" not in answer.headers
    assert len(house.parts.reads.all()) == 2


async def test_many_at_once_make_one_instance(house: House, admin):
    """Those that come while the first is being decided are told to come back."""
    answers = await asyncio.gather(*(admin.post("/api/instances", json=create_body(), headers=KEY) for _ in range(20)))

    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {a.json()["error"]["code"] for a in answers if a.status_code == 409} <= {"OPERATION_IN_PROGRESS"}
    assert len(house.parts.reads.all()) == 1


async def test_a_repeat_does_not_wait_for_the_first_one_that_holds_its_answer(house: House, admin):
    """What was accepted is answered at once, though the first caller still waits for Novita."""
    first = asyncio.create_task(admin.post("/api/instances", json=create_body(), headers=KEY | {"Prefer": "wait=60"}))
    await settle()

    again = await admin.post("/api/instances", json=create_body(), headers=KEY)

    assert (first.done(), again.status_code) == (False, 201)
    house.parts.shutting_down.set()
    assert (await first).json()["instanceId"] == again.json()["instanceId"]


async def test_a_key_is_good_again_after_a_day(house: House, admin):
    """Stored answers are not kept for ever."""
    await admin.post("/api/instances", json=create_body(), headers=KEY)

    await house.clock.advance(86_401.0)
    again = await admin.post("/api/instances", json=create_body(), headers=KEY)

    assert "Idempotency-Replayed" not in again.headers


async def test_a_verb_that_changes_nothing_is_stored_as_well(house: House, admin):
    """Stopping what is stopped: the repeat must not stop what was started in between."""
    await house.have(builders.instance(State.STOPPED))
    first = await admin.post(f"/api/instances/{ID}/stop", headers=KEY)
    await admin.post(f"/api/instances/{ID}/start")

    again = await admin.post(f"/api/instances/{ID}/stop", headers=KEY)

    assert again.content == first.content
    assert house.parts.reads.get(ID).instance.state is State.STARTING


async def test_what_the_state_of_the_world_refused_is_kept(house: House, admin):
    """409 NO_OFFER_WITHIN_CAP today is the answer to this request tomorrow."""
    body = create_body(maxPricePerHour=0.01)

    first = await admin.post("/api/instances", json=body, headers=KEY)
    again = await admin.post("/api/instances", json=body, headers=KEY)

    assert first.status_code == 409
    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("body", [create_body(name="a b"), create_body(productName="H900")])
async def test_what_only_the_request_decides_is_not_kept(admin, body):
    """400, 404 and 422 cost nothing to decide again."""
    first = await admin.post("/api/instances", json=body, headers=KEY)
    again = await admin.post("/api/instances", json=body, headers=KEY)

    assert first.status_code in {404, 422}
    assert "Idempotency-Replayed" not in again.headers


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\x7f", "é"])
async def test_a_key_that_is_none_is_refused(admin, key):
    """1 to 255 visible ASCII characters."""
    answer = await admin.post("/api/instances", json=create_body(), headers={"Idempotency-Key": key.encode()})

    assert answer.status_code == 422
    assert answer.json()["error"]["validationErrors"][0]["field"] == "Idempotency-Key"


class Overtaken(Receipts):
    """Receipts of a replica that is always a moment later than another."""

    def __init__(self, *, store, clock) -> None:
        super().__init__(store=store, clock=clock)
        self._other = Receipts(store=store, clock=clock)

    async def begin(self, **asked):
        draft = await super().begin(**asked)
        theirs = await self._other.begin(**asked)
        await self._other.keep(theirs, Answer(status=201, body='{"instanceId":"of the other"}'))
        return draft


async def test_the_answer_of_another_replica_is_given_when_it_was_first(house: House):
    """Two replicas, one request: the later one throws its decision away."""
    parts = replace(house.parts, receipts=Overtaken(store=house.parts.store, clock=house.clock))
    house.app = build_app(parts)

    async with house.client() as client:
        answer = await client.post("/api/instances", json=create_body(), headers=KEY)

    assert answer.json() == {"instanceId": "of the other"}
    assert answer.headers["Idempotency-Replayed"] == "true"
    assert house.parts.reads.all() == ()


async def test_the_text_of_a_new_key_is_not_stored_with_its_receipt(house: House, admin):
    """It is shown once; a replay has everything else."""
    body = {"name": "ci", "scope": "write"}

    first = await admin.post("/api/keys", json=body, headers=KEY)
    again = await admin.post("/api/keys", json=body, headers=KEY)

    assert first.json()["key"].startswith("nvk_")
    assert again.json() == first.json() | {"key": None}
    assert len(house.parts.keys.all()) == len(Scope) + 1


async def test_a_hundred_at_once_make_one_instance_and_one_stored_answer(house: House, admin):
    """One is accepted; whoever comes with it is told to come back or gets its answer, and afterwards all get it."""

    async def ask():
        return await admin.post("/api/instances", json=create_body(), headers=KEY)

    at_once = await asyncio.gather(*(ask() for _ in range(100)))
    afterwards = await asyncio.gather(*(ask() for _ in range(100)))

    made = [a for a in at_once if a.status_code == 201 and "Idempotency-Replayed" not in a.headers]
    others = [a for a in at_once if a not in made]
    assert len(made) == len(house.parts.reads.all()) == 1
    assert {a.json()["error"]["code"] for a in others if a.status_code != 201} <= {"OPERATION_IN_PROGRESS"}
    assert {a.content for a in others if a.status_code == 201} | {a.content for a in afterwards} == {made[0].content}
    assert {a.headers["Idempotency-Replayed"] for a in afterwards} == {"true"}


async def test_the_answer_is_kept_over_a_restart(tmp_path):
    """The second process reads it from the file; the instance is the first one's."""
    answers = []
    for _ in range(2):
        clock = FakeClock()
        store = await open_sqlite(tmp_path / "novitai.db", clock=clock)
        async with (
            open_house(store=store, clock=clock) as opened,
            opened.client(None, Authorization=f"Bearer {ENVIRONMENT_KEY}") as client,
        ):
            answers.append(await client.post("/api/instances", json=create_body(), headers=KEY))
            assert len(opened.parts.reads.all()) == 1

    assert answers[1].content == answers[0].content
    assert answers[1].headers["Idempotency-Replayed"] == "true"


async def test_a_refusal_at_the_end_of_a_wait_is_replayed_as_what_was_accepted(house: House, admin):
    """The accepted answer with its instance, whatever came of it."""
    waiting = asyncio.create_task(admin.post("/api/instances", json=create_body(), headers=KEY | {"Prefer": "wait=60"}))
    await settle()
    [snapshot] = house.parts.reads.all()
    failed = replace_struct(
        snapshot.instance,
        state=State.FAILED,
        operation=replace_struct(snapshot.instance.operation, status=OperationStatus.FAILED),
        last_error=LastError(code=Code.NO_CAPACITY, message="all refused", at=house.clock.now()),
    )
    await house.change(failed)

    first = await waiting
    again = await admin.post("/api/instances", json=create_body(), headers=KEY)

    assert (first.status_code, first.json()["error"]["code"]) == (409, "NO_CAPACITY")
    assert (again.status_code, again.json()["instanceId"]) == (201, snapshot.instance.id)
