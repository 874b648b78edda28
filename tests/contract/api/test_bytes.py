"""Two families write and describe the answers: every byte that msgspec writes must be what pydantic describes, so they cannot drift."""

import msgspec
import pytest
from pydantic import BaseModel

from novitai.api.app import build_inner
from novitai.api.problems import STATUS, problem_of
from novitai.api.schemas.instances import InstanceAnswer, InstanceDetailsAnswer, InstancePage
from novitai.api.schemas.problems import ProblemAnswer
from novitai.domain.errors import Code, FieldProblem, Refusal
from novitai.domain.instance import EndpointHealth, Health, LastError
from novitai.domain.instance import Refusal as RefusedOffer
from novitai.domain.lifecycle import State
from novitai.domain.secrets import Sealed
from novitai.operations.ledger import Snapshot
from support import builders
from support.api_house import open_house

NOW = builders.NOW
REFUSED = RefusedOffer(key=builders.offer().key, code=Code.NO_CAPACITY, message="none left", at=NOW)
FULL = {
    "spec": builders.spec(
        labels={"team": 'quo"te', "ü": "é"},
        envs=(("A", Sealed("x")),),
        template_id="t1",
        wait_for_capacity_seconds=60.0,
    ),
    "machine": builders.seen_machine(connection=builders.SSH, reclaim_at=NOW + 60, pulling_since=NOW),
    "health": Health(
        started_at=NOW,
        checked_at=NOW,
        endpoints=(EndpointHealth(port=80, endpoint="https://x", type="http", healthy=False, error="refused"),),
    ),
    "last_error": LastError(code=Code.NO_CAPACITY, message="all refused", at=NOW, offers=(REFUSED,)),
    "refusals": (REFUSED,),
    "open_attempt": builders.open_attempt(),
    "stopped_at": NOW - 10,
}
BARE = {"machine": None, "health": None, "last_error": None, "started_at": None}


@pytest.fixture
async def renderer():
    async with open_house() as house:
        house.parts.freshness.saw(builders.machine(), NOW)
        yield build_inner(house.parts).state.renderer


def same(model: type[BaseModel], body: bytes) -> None:
    """The body is described by the model, in both directions: nothing unknown in it, and nothing lost in reading it."""
    read = model.model_validate_json(body)

    assert read.model_dump(by_alias=True, exclude_unset=True) == msgspec.json.decode(body)


@pytest.mark.parametrize("fields", [{}, FULL, BARE], ids=["usual", "full", "bare"])
@pytest.mark.parametrize("state", State)
async def test_an_instance_in_any_state_is_what_the_document_says(renderer, state, fields):
    """Clients are generated from the document; the bytes are written by something faster."""
    snapshot = Snapshot(instance=builders.instance(state, **fields), version=1)

    same(InstanceAnswer, renderer.one(snapshot, now=NOW))
    same(InstanceDetailsAnswer, renderer.one(snapshot, now=NOW, more={"envs": [{"key": "A", "value": "***"}]}))


@pytest.mark.parametrize("cursor", [None, "abc"])
async def test_a_list_is_what_the_document_says(renderer, cursor):
    """With and without a next page."""
    snapshots = [Snapshot(instance=builders.instance(state), version=1) for state in State]

    same(InstancePage, renderer.page(snapshots, total=99, next_cursor=cursor, now=NOW))
    same(InstancePage, renderer.page([], total=0, next_cursor=cursor, now=NOW))


async def test_a_newer_version_is_written_anew(renderer):
    """What is kept for speed belongs to one version."""
    first = Snapshot(instance=builders.instance(State.READY), version=1)
    second = Snapshot(instance=builders.instance(State.STOPPED), version=2)

    renderer.one(first, now=NOW)

    assert msgspec.json.decode(renderer.one(second, now=NOW))["status"] == "stopped"


@pytest.mark.parametrize("code", STATUS)
def test_an_error_is_what_the_document_says(code):
    """With everything that may be in it."""
    refusal = Refusal(code, "no", fields=[FieldProblem("a", "b")], details={"x": 1}, retry_after=1.5)

    for one in (refusal, Refusal(code, "no")):
        body = problem_of(one).body(at="2027-01-15T08:00:00.000Z", request_id="r", correlation_id="c")
        same(ProblemAnswer, body)


@pytest.mark.parametrize("state", State)
async def test_no_secret_is_ever_written(renderer, state):
    """Neither sealed nor plain: environment values, passwords, webhook secrets."""
    machine = builders.seen_machine(connection=builders.SSH, password=Sealed("box-of-password"))
    spec = builders.spec(envs=(("A", Sealed("box-of-env")),))
    snapshot = Snapshot(instance=builders.instance(state, machine=machine, spec=spec), version=1)

    assert b"box-of" not in renderer.one(snapshot, now=NOW)
