"""The OpenAPI document against the API itself: generated requests, every check, and no answer that the document does not describe."""

import contextlib
import json

import hypothesis
import pytest
import schemathesis
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi import checks as openapi_checks

from novitai.api.app import build_inner
from novitai.api.openapi import document
from novitai.api.routing import GuardedRoute
from novitai.domain.keys import Scope
from support.api_house import House, open_house

load_all_checks()

FEW = hypothesis.settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
# Rules over several fields, over time and over what exists (one product, a future end, a known port) have no place in a JSON schema.
BEYOND_SCHEMAS = [openapi_checks.positive_data_acceptance]


@pytest.fixture(scope="session")
def api(populated):
    return schemathesis.openapi.from_url(populated.server.url + "/openapi.json").exclude(path="/api/events/stream")


@pytest.mark.parametrize("mode", GenerationMode)
def test_no_generated_request_finds_an_answer_that_is_not_described(api, populated, mode):
    """Right and wrong ones: no 5xx, no undescribed status or body, no wrong one accepted, no key ignored."""
    headers = {"Authorization": f"Bearer {populated.house.keys[Scope.ADMIN]}"}

    def check(case: Case) -> None:
        if "timeout" in (case.query or {}):
            case.query["timeout"] = 0
        case.call_and_validate(headers=headers, excluded_checks=BEYOND_SCHEMAS)

    for found in api.get_all_operations():
        requests = found.ok().as_strategy(generation_mode=mode)
        with contextlib.suppress(Unsatisfiable):  # what takes nothing cannot be asked wrongly
            FEW(hypothesis.given(requests)(check))()


@pytest.fixture
async def house():
    async with open_house() as opened:
        yield opened


async def test_every_route_is_in_the_document_with_its_scope(house: House):
    """Also the two that skip FastAPI's reading."""
    app = build_inner(house.parts)

    described = document(app)["paths"]

    for route in app.routes:
        assert isinstance(route, GuardedRoute)
        (method,) = route.methods
        operation = described[route.path_format][method.lower()]
        assert operation["x-scope"] == (str(route.rule.scope) if route.rule.scope else "open")
        assert operation["description"]


async def test_the_document_names_the_parameters_of_the_two_quick_routes(house: House):
    """They are read by the same models that it describes."""
    paths = document(build_inner(house.parts))["paths"]

    listed = {one["name"] for one in paths["/api/instances"]["get"]["parameters"]}
    one = {one["name"] for one in paths["/api/instances/{instance_id}"]["get"]["parameters"]}

    assert {"status", "label", "limit", "cursor", "sort"} <= listed
    assert one == {"instance_id", "wait", "timeout", "reveal"}


async def test_every_change_takes_an_idempotency_key(house: House):
    """And says so; a link that needs no key works once by itself."""
    paths = document(build_inner(house.parts))["paths"]

    for operations in paths.values():
        for method, operation in operations.items():
            names = {one["name"] for one in operation.get("parameters", ())}
            with_a_key = operation.get("security") != []
            assert ("Idempotency-Key" in names) is (method != "get" and with_a_key)


async def test_the_document_holds_nothing_of_the_machine_it_was_made_on(house: House):
    """It is published."""
    text = json.dumps(document(build_inner(house.parts)))

    assert "/work" not in text
    assert "127.0.0.1" not in text
