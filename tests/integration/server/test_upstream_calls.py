"""How many calls reach Novita, by Novita's own log: within the limit whatever is asked, few while all is quiet, none that change anything
when the server only observes.
"""

import asyncio
import time
from collections import Counter

from support.sites import CREATE, Server, Site, order

LIMIT, CREATES = 20, 60
RUN_SECONDS, PATIENCE_SECONDS = 1.0, 2.0
LIST = "/gpu-instance/openapi/v1/gpu/instances"


async def test_a_burst_of_creates_stays_within_the_limit_across_kills(site: Site) -> None:
    """U1: never more calls in any 60 s than allowed, as Novita sees them, though the server forgets everything but its file; and a
    person's stop is not kept waiting by the creates.
    """
    limited = {"UPSTREAM_RATE_LIMIT": str(LIMIT)}
    server = await site.serve(**limited)
    first = await server.create("first")
    await site.until(lambda: bool(site.calls("POST", CREATE)))
    await asyncio.gather(*(server.create(f"burst-{number}") for number in range(CREATES)))

    for _ in range(3):
        await asyncio.sleep(RUN_SECONDS)
        await server.process.kill()
        server = await site.serve(**limited)
    status, _ = await server.ask("POST", f"/api/instances/{first}/stop")
    await site.until(lambda: bool(site.calls("POST", "instance/stop")), seconds=PATIENCE_SECONDS)
    await asyncio.sleep(RUN_SECONDS)

    calls = site.calls()
    assert status == 202
    assert calls[-1].received_at - calls[0].received_at < 60.0
    assert LIMIT // 2 < len(calls) <= LIMIT, Counter(f"{call.method} {call.path}" for call in calls)
    assert max(Counter(call.body["name"] for call in site.calls("POST", CREATE)).values()) == 1
    assert (await server.ask("GET", "/api/instances"))[1]["total"] == CREATES + 1


async def test_a_quiet_poll_costs_one_call_for_each_page(site: Site) -> None:
    """P1: 153 machines at 100 a page are two calls a poll, none per instance."""
    for number in range(150):
        site.perform("machines", {"name": f"foreign-{number}", "productId": "3090.16c92g", "status": "exited"})
    server = await site.serve(INSTANCE_POLL_INTERVAL="300ms")
    ids = [await server.create(f"ours-{number}") for number in range(3)]
    for instance_id in ids:
        await server.reaches(instance_id, "ready")
    await quiet(site)

    since = site.simulator.calls.since(0)[-1].sequence
    await site.until(lambda: len(site.calls("GET", LIST)) >= 12 and newest(site) >= since + 10)

    calls = [call for call in site.calls() if since < call.sequence <= since + 10]
    assert {call.path for call in calls} == {LIST}
    pages = Counter(query_of(call.query, "pageNum") for call in calls)
    assert sorted(pages.values()) == [5, 5]
    assert calls[-1].received_at - calls[0].received_at > 4 * 0.3 * 0.9


async def test_an_observer_changes_nothing(site: Site) -> None:
    """`NOVITAI_MODE=observe`: creates are refused, reads go on, and Novita sees no call that changes anything."""
    server = await site.serve()
    kept = await server.create("kept")
    await server.reaches(kept, "ready")
    await server.process.terminate()
    changed = len(site.changing_calls())

    server = await site.serve(NOVITAI_MODE="observe")
    created, answer = await server.ask("POST", "/api/instances", order("refused"))
    verbs = [await refused(server, method, f"/api/instances/{kept}{tail}") for method, tail in VERBS]
    listed = len(site.calls("GET", LIST))
    await site.until(lambda: len(site.calls("GET", LIST)) >= listed + 3)

    assert (created, answer["error"]["code"]) == (403, "FORBIDDEN"), answer
    assert verbs == [403] * len(VERBS)
    assert (await server.reaches(kept, "ready"))["stale"] is False
    assert len(site.changing_calls()) == changed


VERBS = (("POST", "/stop"), ("POST", "/start"), ("POST", "/restart"), ("DELETE", ""))


async def refused(server: Server, method: str, path: str) -> int:
    status, _ = await server.ask(method, path)
    return status


async def quiet(site: Site) -> None:
    """Wait until a whole interval of the log holds nothing but lists."""
    async with asyncio.timeout(15):
        while True:
            since = time.time()
            before = len(site.calls("GET", LIST))
            await site.until(lambda before=before: len(site.calls("GET", LIST)) >= before + 6)
            if all(call.path == LIST for call in site.simulator.calls.since(since)):
                return


def newest(site: Site) -> int:
    return site.simulator.calls.since(0)[-1].sequence


def query_of(query: str, name: str) -> str:
    return next((pair.partition("=")[2] for pair in query.split("&") if pair.startswith(f"{name}=")), "")
