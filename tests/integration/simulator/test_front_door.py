"""Keys, unknown routes, bodies and rates over real HTTP."""

import aiohttp
import pytest

API = "/gpu-instance/openapi/v1"


async def ask(caller, path, authorization):
    headers = {"Authorization": authorization} if authorization else {}
    async with caller.session.get(f"{caller.simulator.url}{path}", headers=headers) as response:
        return response.status, (await response.json()).get("reason") if response.status != 200 else None


async def test_any_key_will_do_but_none_and_bad_ones(start):
    """No header is 401; `bad-…` is 401 UNAUTHORIZED or, by a switch, 403 INVALID_API_KEY."""
    caller, strict = await start(), await start(switches={"badKeyStatus": 403})

    assert await ask(caller, f"{API}/clusters", "Bearer anything") == (200, None)
    assert await ask(caller, f"{API}/clusters", "") == (401, "UNAUTHORIZED")
    assert await ask(caller, f"{API}/clusters", "Basic anything") == (401, "UNAUTHORIZED")
    assert await ask(caller, f"{API}/clusters", "Bearer bad-key") == (401, "UNAUTHORIZED")
    assert await ask(strict, f"{API}/clusters", "Bearer bad-key") == (403, "INVALID_API_KEY")
    assert await ask(strict, f"{API}/clusters", "") == (401, "UNAUTHORIZED")


async def test_a_set_key_is_the_only_one_and_the_internal_api_has_its_own(start):
    """The public key opens nothing inside, and the other way round."""
    caller = await start(key="public-1", internalKey="internal-1")

    statuses = [
        (await ask(caller, path, f"Bearer {key}"))[0]
        for path in (f"{API}/jobs", "/api/v1/jobs")
        for key in ("public-1", "internal-1")
    ]

    assert statuses == [200, 401, 401, 200]


async def test_an_unknown_route_is_404_and_a_broken_body_400(caller):
    """Neither is a 500, and neither needs a content type."""
    async with caller.session.post(
        f"{caller.simulator.url}{API}/gpu/instance/create", data=b"{", headers={"Authorization": "Bearer k"}
    ) as response:
        broken = response.status, (await response.json())["reason"]

    assert (await caller.get(f"{API}/nonsense"))[0] == 404
    assert (await caller.get("/gpus/v2/instances"))[0] == 404
    assert broken == (400, "REQUEST")
    assert (await caller.post(f"{API}/gpu/instance/create", [1]))[0] == 400
    assert (await caller.post(f"{API}/gpu/instance/start", {}))[1]["message"] == "invalid param: instanceId"


async def test_a_rate_limit_answers_429_above_n_calls_a_minute(start):
    """Off by default; with a limit the next call of the same minute is refused, and a minute later it is not."""
    caller = await start(switches={"rateLimitPerMinute": 3, "rateLimitRetryAfter": True})

    statuses = [(await caller.get(f"{API}/clusters"))[0] for _ in range(5)]
    caller.clock.now += 60
    later = (await caller.get(f"{API}/clusters"))[0]

    assert statuses == [200, 200, 200, 429, 429]
    assert later == 200


async def test_the_log_knows_every_call_and_no_secret(caller):
    """Received and answered times, status, correlation id and body, with credentials and values masked."""
    await caller.create(imageAuth="demo:demo-registry-password", envs=[{"key": "TOKEN", "value": "s3cret"}])
    await caller.get(f"{API}/nonsense")

    status, log = await caller.get("/_sim/calls", since=caller.clock.now)

    create, unknown = log["calls"]
    assert (status, create["method"], create["status"], create["correlationId"]) == (200, "POST", 200, "corr-1")
    assert create["receivedAt"] == create["answeredAt"] == caller.clock.now
    assert (create["body"]["imageAuth"], create["body"]["envs"]) == ("***", [{"key": "TOKEN", "value": "***"}])
    assert unknown["status"] == 404
    assert (await caller.get("/_sim/calls", since=caller.clock.now + 1))[1]["total"] == 0


async def test_bad_control_input_is_422_with_the_field(caller):
    """Every control call names what is wrong; an unknown action is not a route of its own."""
    answers = [
        await caller.post("/_sim/reclaim", {}),
        await caller.post("/_sim/stock", {"stock": "lots"}),
        await caller.post("/_sim/faults", {"match": "x", "mode": "boom"}),
        await caller.post("/_sim/dance", {}),
        await caller.get("/_sim/calls", since="yesterday"),
    ]

    assert [status for status, _ in answers] == [422] * 5
    fields = [answer["error"]["field"] for _, answer in answers]
    assert fields == ["instanceId", "stock", "mode", "action", "since"]


async def test_state_config_bill_and_reset_over_http(caller):
    """What a rehearsal looks at, and how it begins anew."""
    instance_id = await caller.create()
    await caller.wait(100)

    state = (await caller.get("/_sim/state"))[1]
    bill = (await caller.get("/_sim/bill"))[1]
    config = await caller.sim("config", switches={"gpuQuota": 8})
    await caller.sim("reset")

    assert state["counts"] == {"running": 1}
    assert state["machines"][0]["appPhase"] == "502"
    assert [item["instanceId"] for item in bill["machines"]] == [instance_id]
    assert bill["machines"][0]["gpuSeconds"] == 89
    assert config["switches"]["gpuQuota"] == 8
    assert (await caller.get("/_sim/state"))[1]["machines"] == []
    assert (await caller.get("/_sim/config"))[1]["switches"]["gpuQuota"] == 0


async def test_in_an_outage_nobody_listens_but_the_machines_run_on(start):
    """Dark, connections are refused and applications answer; back on the same port, the world has moved on."""
    caller = await start()
    instance_id = await caller.create()
    await caller.wait(56)
    endpoint = await caller.endpoint(instance_id)
    url = caller.simulator.url

    await caller.simulator.go_dark()
    with pytest.raises(aiohttp.ClientConnectorError):
        await caller.get(f"{API}/clusters")
    await caller.wait(45)
    in_the_dark = await caller.visit(endpoint)
    await caller.simulator.come_back()

    assert caller.simulator.url == url
    assert in_the_dark == 200
    assert (await caller.get(f"{API}/gpu/instance", instanceId=instance_id))[1]["status"] == "running"


async def test_stopping_twice_and_starting_again_is_fine(start):
    """The port and the world are kept."""
    caller = await start()
    instance_id = await caller.create()
    url = caller.simulator.url

    await caller.simulator.stop()
    await caller.simulator.stop()
    await caller.simulator.start()

    assert caller.simulator.url == url
    assert (await caller.get(f"{API}/gpu/instance", instanceId=instance_id))[0] == 200
