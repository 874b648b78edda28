"""Every route has a rule, and no route answers anybody but those whom the rule lets in."""

import re
from dataclasses import replace

import pytest
from fastapi.routing import APIRoute

from novitai.api.app import build_inner
from novitai.api.parts import ApiSettings
from novitai.api.routing import GuardedRoute
from novitai.domain.keys import KeyLimits, Scope
from support.api_house import House, open_house
from support.running import context

LINK = "/api/instances/{instance_id}/snooze"
"""Whoever got the announcement of an idle stop has no key, perhaps: the token in the link is worth one postponement of it."""
OPEN = {"/healthz", "/readyz", "/health", "/docs", "/openapi.json", LINK}
"""Without a key, outside of production."""

ORDER = [Scope.READ, Scope.WRITE, Scope.ADMIN]


def routes(house: House) -> list[GuardedRoute]:
    return [route for route in build_inner(house.parts).routes if isinstance(route, GuardedRoute)]


def place(route: GuardedRoute) -> tuple[str, str]:
    (method,) = route.methods
    return method, re.sub(r"{\w+}", "some-id", route.path_format)


async def test_every_route_has_a_rule(house: House):
    """A route that is added any other way would be open to everybody."""
    every = build_inner(house.parts).routes

    assert [route for route in every if not isinstance(route, GuardedRoute)] == []
    assert all(isinstance(route, APIRoute) and route.rule is not None for route in every)


async def test_the_routes_without_a_key_are_exactly_the_listed_ones(house: House):
    """Opening one more is a decision that changes this list."""
    assert {route.path_format for route in routes(house) if route.rule.scope is None} == OPEN


@pytest.mark.parametrize(
    ("settings", "without_a_key"),
    [
        (ApiSettings(production=True), {"/healthz", "/readyz", "/health", LINK}),
        (ApiSettings(metrics_public=True), OPEN | {"/metrics"}),
    ],
)
async def test_settings_close_the_documentation_and_open_the_metrics(settings, without_a_key):
    """In production the description needs a key; metrics are open only when asked for."""
    async with open_house(settings) as house:
        assert {route.path_format for route in routes(house) if route.rule.scope is None} == without_a_key


async def test_no_route_answers_a_caller_without_a_valid_key(house: House):
    """Missing, malformed, strange, unknown, revoked, expired: 401 on every route, whatever else is wrong with the request."""
    keys = house.parts.keys
    expired = await keys.make(
        context(), name="x", scope=Scope.ADMIN, expires_at=house.clock.now() + 1, limits=KeyLimits()
    )
    revoked = await keys.make(context(), name="y", scope=Scope.ADMIN, expires_at=None, limits=KeyLimits())
    await keys.revoke(revoked.key.id, context())
    await house.clock.advance(2.0)
    wrong = {
        "none": None,
        "empty": b"",
        "malformed": b"Token abc",
        "non-ASCII": "Bearer nvk_ü_ß".encode(),
        "unknown": b"Bearer nvk_0123456789ab_" + b"A" * 43,
        "revoked": f"Bearer {revoked.text}".encode(),
        "expired": f"Bearer {expired.text}".encode(),
    }

    answers = {}
    for number, (name, header) in enumerate(wrong.items()):
        async with house.client(None, address=f"10.1.0.{number}") as client:
            for route in routes(house):
                if route.rule.scope is None:
                    continue
                method, path = place(route)
                headers = {} if header is None else {b"Authorization": header}
                answer = await client.request(method, path, headers=headers, content=b"{not json")
                answers[name, method, path] = answer.status_code

    assert {key: status for key, status in answers.items() if status != 401} == {}


async def test_no_route_answers_a_key_of_a_lower_scope(house: House):
    """403 before the body or the query is looked at, so nothing can be learned from the difference."""
    answers = {}
    for route in routes(house):
        if route.rule.scope is None:
            continue
        lower = ORDER[: ORDER.index(route.rule.scope)]
        method, path = place(route)
        for scope in lower:
            async with house.client(scope) as client:
                answer = await client.request(method, f"{path}?unknown=1", content=b"{not json")
                answers[scope, method, path] = answer.status_code

    assert answers
    assert {key: status for key, status in answers.items() if status != 403} == {}


async def test_a_path_that_is_not_there_is_401_to_strangers_and_404_to_callers(house: House):
    """Strangers do not learn which paths there are."""
    async with house.client(None) as stranger, house.client(Scope.READ) as caller:
        assert (await stranger.get("/api/secret")).status_code == 401
        assert (await caller.get("/api/secret")).status_code == 404
        assert (await caller.get("/api/instances/")).status_code == 404


async def test_a_wrong_method_is_405_with_all_that_are_offered(house: House):
    """`Allow` names every method of the path, though they are routes of their own."""
    async with house.client() as client:
        answer = await client.patch("/api/instances")
        verb = await client.delete("/api/instances/stop")

    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")
    assert (verb.status_code, verb.headers["Allow"]) == (405, "POST")


async def test_a_key_in_the_query_is_no_key(house: House):
    """Queries end up in logs of proxies."""
    async with house.client(None) as client:
        answer = await client.get(f"/api/instances?key={house.keys[Scope.ADMIN]}")

    assert answer.status_code == 401


async def test_a_revoked_key_stops_working_with_the_next_request(house: House):
    """Nothing is cached between the key and its use."""
    made = await house.parts.keys.make(context(), name="k", scope=Scope.READ, expires_at=None, limits=KeyLimits())
    async with house.client(None, Authorization=f"Bearer {made.text}") as client, house.client() as admin:
        before = await client.get("/api/instances")
        await admin.delete(f"/api/keys/{made.key.id}")
        after = await client.get("/api/instances")

    assert (before.status_code, after.status_code) == (200, 401)


async def test_observe_mode_refuses_every_change_of_an_instance():
    """It watches and explains; what would change something on Novita says why it does not. A plan is still given."""
    body = {"name": "worker", "productName": "RTX 4090", "imageUrl": "nginx"}
    async with open_house(replace(ApiSettings(), observe=True)) as house, house.client() as client:
        refused = [
            await client.post("/api/instances", json=body),
            await client.post("/api/instances/some-id/start"),
        ]
        planned = await client.post("/api/instances", json=body | {"dryRun": True})

    assert {answer.status_code for answer in refused} == {403}
    assert "observe" in refused[0].json()["error"]["message"]
    assert planned.status_code == 200
