"""What a key may use at most is held by the API, whatever the key asks for."""

from datetime import UTC, datetime

import pytest

from novitai.domain.keys import Scope
from novitai.domain.times import iso
from support.api_house import House
from support.asking import create_body


async def client_of(house: House, admin, **asked):
    made = (await admin.post("/api/keys", json={"name": "limited", "scope": "write", **asked})).json()
    return house.client(None, Authorization=f"Bearer {made['key']}")


async def test_a_key_that_may_ask_twice_a_minute_is_refused_the_third_time(house: House, admin):
    """And told when to come back; then it may again."""
    async with await client_of(house, admin, limits={"requestsPerMinute": 2}) as client:
        answers = [await client.get("/api/instances") for _ in range(3)]
        await house.clock.advance(60.0)
        later = await client.get("/api/instances")

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].headers["Retry-After"] == "60"
    assert later.status_code == 200


async def test_every_request_counts_also_one_that_is_refused(house: House, admin):
    """Wrong paths, lacking scopes and bodies that cannot be read cost as much."""
    async with await client_of(house, admin, limits={"requestsPerMinute": 3}) as client:
        await client.get("/api/nowhere")
        await client.get("/api/keys")
        await client.post("/api/instances", content=b"{")

        assert (await client.get("/api/instances")).status_code == 429


@pytest.mark.parametrize("limits", [{"gpus": 2}, {"usdPerHour": 0.8}, {"gpus": 0}, {"usdPerHour": 0}])
async def test_a_key_buys_no_more_than_its_limits(house: House, admin, limits):
    """Counted over all that it has, not over one request; a dry run says so before."""
    async with await client_of(house, admin, limits=limits) as client:
        statuses = [
            (await client.post("/api/instances", json=create_body(name=f"w{number}"))).status_code
            for number in range(4)
        ]
        too_big = await client.post("/api/instances", json=create_body(name="big", gpuNum=8, dryRun=True))

    room = 2 if 0 not in limits.values() else 0
    assert statuses == [201] * room + [409] * (4 - room)
    assert too_big.json()["error"]["code"] == "BUDGET_EXCEEDED"


async def test_a_key_ends_at_its_time(house: House, admin):
    """To the second, without anybody doing anything."""
    ends = iso(house.clock.now() + 10)
    async with await client_of(house, admin, expiresAt=ends) as client:
        assert (await client.get("/api/instances")).status_code == 200
        await house.clock.advance(10.0)
        assert (await client.get("/api/instances")).status_code == 401


async def test_a_key_that_is_over_already_is_not_made(house: House, admin):
    """It would only look like one."""
    past = datetime.fromtimestamp(house.clock.now() - 1, UTC).isoformat()
    answer = await admin.post("/api/keys", json={"name": "late", "expiresAt": past})

    assert (answer.status_code, answer.json()["error"]["validationErrors"][0]["field"]) == (422, "expiresAt")


@pytest.mark.parametrize("scope", [Scope.READ, Scope.WRITE])
async def test_only_admins_make_keys(house: House, scope):
    """A key cannot make itself a bigger one."""
    async with house.client(scope) as client:
        answer = await client.post("/api/keys", json={"name": "more", "scope": "admin"})

    assert answer.status_code == 403
