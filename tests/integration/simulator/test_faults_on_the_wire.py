"""Faults break real connections, before or after the effect."""

import asyncio

import aiohttp
import pytest

API = "/gpu-instance/openapi/v1"
CREATE_CALL = "POST .*instance/create"


async def machines(caller):
    return (await caller.get(f"{API}/gpu/instances"))[1]["total"]


@pytest.mark.parametrize(("after_effect", "created"), [(False, 0), (True, 1)])
@pytest.mark.parametrize("mode", ["status", "reset", "hang", "html", "malformed", "empty"])
async def test_a_fault_on_create_comes_before_or_after_the_effect(caller, mode, after_effect, created):
    """With afterEffect the machine exists although the answer was lost or wrong; without, it does not."""
    await caller.sim("faults", match=CREATE_CALL, mode=mode, afterEffect=after_effect, seconds=0.02)

    with pytest.raises((aiohttp.ClientError, AssertionError, ValueError, TypeError)):
        await caller.create()

    assert await machines(caller) == created
    assert await caller.create()


async def test_a_reset_and_a_hang_are_calls_without_an_answer(caller):
    """The log has no status for them; the fault is named. (With POST: a broken GET is repeated by aiohttp itself.)"""
    for mode in ("reset", "hang"):
        await caller.sim("faults", match=CREATE_CALL, mode=mode, seconds=0.01)
        with pytest.raises(aiohttp.ClientError):
            await caller.create()

    calls = (await caller.get("/_sim/calls"))[1]["calls"]

    assert [call["status"] for call in calls] == [None, None]
    assert [call["fault"].split()[1] for call in calls] == ["reset", "hang"]


async def test_a_hang_lasts_until_the_caller_gives_up(caller):
    """Without seconds it is for ever; the simulator still stops at once."""
    await caller.sim("faults", match="clusters", mode="hang")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await caller.get(f"{API}/clusters")
    async with asyncio.timeout(5):
        await caller.simulator.stop()


async def test_a_slow_create_is_done_even_if_nobody_waits(caller):
    """The caller times out, the machine is there: the effect belongs to the server."""
    await caller.sim("faults", match=CREATE_CALL, mode="slow", seconds=0.2)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await caller.create()
    while (there := await machines(caller)) == 0:
        pass

    assert there == 1


async def test_an_error_fault_carries_status_reason_and_retry_after(caller):
    """What a client needs in order to decide, exactly as scripted."""
    await caller.sim("faults", match="clusters", mode="status", status=503, reason="NODE_STATUS", retryAfter=7)

    url = f"{caller.simulator.url}{API}/clusters"
    async with caller.session.get(url, headers={"Authorization": "Bearer k"}) as response:
        body = await response.json()

    assert (response.status, body["code"], body["reason"]) == (503, 503, "NODE_STATUS")
    assert response.headers["Retry-After"] == "7"


async def test_a_list_can_be_empty_short_stale_or_cut(caller):
    """Four ways in which a list is not the truth."""
    for number in range(3):
        await caller.create(name=f"m-{number}")
    answers = {}
    for mode in ("empty", "short-list", "stale", "truncate"):
        await caller.sim("faults", match="GET .*instances", mode=mode)
        try:
            answers[mode] = (await caller.get(f"{API}/gpu/instances"))[1]
        except ValueError:
            answers[mode] = "not JSON"

    assert answers["empty"] == {"instances": [], "total": 0}
    assert (len(answers["short-list"]["instances"]), answers["short-list"]["total"]) == (2, 3)
    assert len(answers["stale"]["instances"]) == 3
    assert answers["truncate"] == "not JSON"


async def test_a_drip_is_whole_but_slow_and_a_flood_never_ends(caller):
    """One byte at a time; and white space for as long as the caller reads."""
    await caller.sim("faults", match="clusters", mode="drip", seconds=0)
    whole = await caller.get(f"{API}/repository/auths")
    await caller.sim("faults", match="clusters", mode="flood")
    read = 0
    assert (await caller.get(f"{API}/clusters"))[0] == 200

    url = f"{caller.simulator.url}{API}/clusters"
    async with caller.session.get(url, headers={"Authorization": "Bearer k"}) as response:
        while read < 2_000_000:
            read += len(await response.content.readany())

    assert whole[0] == 200
    assert read >= 2_000_000


async def test_faults_are_listed_and_cleared(caller):
    """GET shows what waits, DELETE takes it away."""
    await caller.sim("faults", match="clusters", mode="reset", count=-1)

    listed = (await caller.get("/_sim/faults"))[1]["faults"]
    cleared = (await caller.delete("/_sim/faults"))[1]

    assert [(fault["mode"], fault["count"]) for fault in listed] == [("reset", None)]
    assert cleared == {"cleared": 1}
    assert (await caller.get(f"{API}/clusters"))[0] == 200
