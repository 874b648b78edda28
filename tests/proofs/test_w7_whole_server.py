"""W7 over the whole server: webhooks that a store already holds, webhooks that a request asks for, and machines whose ports are said to be
somewhere inside.

The server is a process of its own; its environment names proxies; Novita's answers pass through somebody who puts private addresses into
them. Canaries on every address of this machine judge.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from support.private_addresses import LISTED, SPELLINGS, Canary
from support.processes import Forks
from support.seeding import Seed, seed_file
from support.sites import Server, Site, open_site, order

FIRST_PORT = 9000
CONTROL_PORT = 8080
PORTS_EACH = 10
PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY")
NAMES = {"%31%32%37.0.0.1"}
"""What is a name to us, and refused when it is resolved."""


async def test_a_server_calls_no_private_address_whatever_it_is_told(book, tmp_path: Path) -> None:
    """0 connections at the canaries; every spelling refused in the request; the listed address gets its webhook and its health check."""
    programs = Forks()
    try:
        async with (
            open_site(programs, tmp_path) as site,
            Canary() as canary,
            lying(site.simulator.url, canary) as novita,
        ):
            server = await _serve(site, canary, novita)
            refused = await _asked_for_webhooks(server, canary)
            checked = await _checked(server)
            attempted = await _attempted(server, at_least=len(SPELLINGS) + 2)
            await server.process.kill()
    finally:
        programs.close()

    book.figure("W7", "the whole server: webhooks to private addresses attempted", attempted, at_least=len(SPELLINGS))
    book.figure("W7", "the whole server: machine ports said to be at private addresses", checked, at_least=60)
    book.figure("W7", "the whole server: connections that the canaries saw", canary.alarms, exactly=0)
    book.figure("W7", "the whole server: connections to the one listed address", canary.touched[LISTED], at_least=3)
    book.figure(
        "W7", "requests with such a webhookUrl that were not refused", len(SPELLINGS) - refused, exactly=len(NAMES)
    )


async def _serve(site: Site, canary: Canary, novita: str) -> Server:
    urls = [f"http://{spelling}:{canary.port}/" for spelling in SPELLINGS]
    urls += [f"http://{LISTED}:{canary.port}/", f"http://{LISTED}:{canary.port}/redirect"]
    store = site.folder / "webhooks.db"
    await seed_file(store, [Seed(f"evt_{place}", url, time.time()) for place, url in enumerate(urls)])
    return await site.serve(
        NOVITAI_STORE=f"sqlite:///{store}",
        NOVITA_API_BASE_URL=f"{novita}/gpu-instance/openapi",
        WEBHOOK_URL=None,
        WEBHOOK_RETRY_SCHEDULE="1h",
        WEBHOOK_ALLOW_CIDRS=f"{LISTED}/32",
        HEALTH_CHECK_ALLOW_CIDRS=f"{LISTED}/32",
        **dict.fromkeys(PROXIES, f"http://127.0.0.1:{canary.other_port}"),
    )


async def _asked_for_webhooks(server: Server, canary: Canary) -> int:
    """How many requests are refused for their `webhookUrl`."""
    refused = 0
    for spelling in SPELLINGS:
        body = order("asked") | {"webhookUrl": f"http://{spelling}:{canary.port}/", "dryRun": True}
        status, answer = await server.ask("POST", "/api/instances", body)
        if status == 422 and [problem["field"] for problem in answer["error"]["validationErrors"]] == ["webhookUrl"]:
            refused += 1
    return refused


async def _checked(server: Server) -> int:
    """How many ports of machines were checked without ever answering; one machine is where it should be, and gets ready."""
    control = await server.create("control")
    made = []
    for first in range(0, len(SPELLINGS), PORTS_EACH):
        numbers = range(FIRST_PORT + first, FIRST_PORT + min(first + PORTS_EACH, len(SPELLINGS)))
        ports = [{"port": number, "type": "tcp" if number % 3 == 0 else "http"} for number in numbers]
        check = {"maxWaitTimeMs": 500, "retryAttempts": 1, "timeoutMs": 1000}
        made.append(await server.create(f"inside-{first}", ports=ports, healthCheck=check))
    await server.reaches(control, "ready")
    ended = [await server.reaches(instance, "failed") for instance in made]
    assert {instance["lastError"]["code"] for instance in ended} == {"HEALTH_CHECK_TIMEOUT"}
    return sum(1 for instance in ended for port in instance["portMappings"] if port["endpoint"])


async def _attempted(server: Server, *, at_least: int) -> int:
    """Attempts to deliver, when there have been enough."""
    while True:
        _, metrics = await server.ask("GET", "/api/metrics")
        counted = sum(row["value"] for row in metrics["webhookAttempts"])
        if counted >= at_least:
            return int(counted)
        await asyncio.sleep(0.05)


@asynccontextmanager
async def lying(truth: str, canary: Canary) -> AsyncIterator[str]:
    """A front of the stand-in for Novita that says of each port that it is somewhere inside; its address."""
    session = aiohttp.ClientSession(auto_decompress=True)

    async def pass_on(request: web.Request) -> web.Response:
        headers = {name: text for name, text in request.headers.items() if name in {"Authorization", "Content-Type"}}
        body = await request.read()
        async with session.request(request.method, truth + request.path_qs, data=body, headers=headers) as answer:
            told = await answer.read()
            if answer.content_type == "application/json" and told:
                told = json.dumps(_misplaced(json.loads(told), canary)).encode()
            return web.Response(status=answer.status, body=told, content_type=answer.content_type)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", pass_on)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await session.close()


def _misplaced(told: Any, canary: Canary) -> Any:
    if isinstance(told, list):
        return [_misplaced(one, canary) for one in told]
    if not isinstance(told, dict):
        return told
    if {"port", "endpoint", "type"} <= told.keys() and told["endpoint"]:
        number = told["port"]
        host = LISTED if number == CONTROL_PORT else SPELLINGS[number - FIRST_PORT]
        scheme = "http://" if told["type"] == "http" else ""
        return told | {"endpoint": f"{scheme}{host}:{canary.port}"}
    return {name: _misplaced(value, canary) for name, value in told.items()}
