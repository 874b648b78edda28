"""A life full of secrets: everything that can hold one is given one, used, and made to fail.

Two things are collected: what came out, by the place where it stood, and which secrets were really used, judged at the other end (the
stand-in for Novita, the receiver, a proxy, an answer that only the right key gets). A secret that never arrived proves nothing.
"""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from novita_simulator.account import PRIVATE_IMAGE_PREFIX, REGISTRY_AUTH_ID
from novita_simulator.machine import Env, Machine
from novitai_client.webhooks import WebhookVerificationError, verify
from support.canaries import files_below, seen_of
from support.processes import Forks, Process
from support.sites import Server, Site, open_site, order


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


CANARIES = {
    "Novita's key": "canary-novita-key-4b7e1f",
    "Novita's internal key": "canary-internal-key-9a02c3",
    "our admin key": "nvk_canary_0d41cd8f00b204e9800998ecf8427e",
    "global webhook secret": "whsec_" + _b64("canary-global-webhook!!!"),
    "a request's webhook secret": "whsec_" + _b64("canary-request-webhook!!"),
    "sealing key": _b64("canary: the key that seals all.!"),
    "sealing key before it": _b64("canary: the key that sealed once"),
    "environment value": 'canary env "value" with ünusual signs',
    "environment value of a template": "canary-template-env-77aa01",
    "registry password": "canary-registry-password-3c",
    "registry credentials": "demo:canary-registry-password-3c",
    "SSH password": "canary-ssh-password-6e5d",
    "proxy password": "canary-proxy-password-51",
    "token in WEBHOOK_URL": "canary-global-url-token-08",
    "token in a request's webhookUrl": "canary-request-url-token-19",
    "password in a webhookUrl": "canary-userinfo-password-2a",
    "guessed key": "nvk_guess_canary0123456789abcdef",
    "password of a Basic login": "canary-basic-login-3b",
    "key in a query": "nvk_query_canary0123456789abcdef",
    "key in X-API-Key": "canary-x-api-key-4c",
    "Idempotency-Key": "canary-idempotency-key-5d",
    "value of an unknown field": "canary-unknown-field-6e",
    "secret in a refused body": "whsec_canary!refused!body!7f",
    "secret in a broken body": "canary-broken-json-80",
}
"""By name, in plain. `a made key` and `a revoked key` join them when they are made."""
STORED_AS_GIVEN = frozenset({"token in WEBHOOK_URL", "token in a request's webhookUrl", "password in a webhookUrl"})
"""Addresses of receivers are records, not secrets (SECURITY.md): they are kept as given, and shown without these."""

TEMPLATE = "107672"
READS = [
    "/api/instances", "/api/instances/comprehensive", "/api/instances/{id}", "/api/instances/{id}/events", "/api/instances/{id}/explain",
    "/api/instances/{id}/deliveries", "/api/instances/refused", "/api/instances/refused/events", "/api/events", "/api/jobs", "/api/jobs/stats",
    "/api/keys", "/api/audit", "/api/upstream", "/api/registry-auths", "/api/templates", f"/api/templates/{TEMPLATE}", "/api/regions",
    "/api/network-storages", "/api/offers", "/api/novita/jobs", "/api/cache/stats", "/api/orphans", "/api/automation", "/api/metrics", "/metrics",
    "/health", "/openapi.json", "/docs", "/api/nowhere",
]  # fmt: skip


@dataclass
class Life:
    """`canaries`: everything that was planted; `used`: which of them arrived where they were meant to; `told`: what came out, by place."""

    canaries: dict[str, str] = field(default_factory=lambda: dict(CANARIES))
    used: set[str] = field(default_factory=set)
    told: dict[str, bytes] = field(default_factory=dict)
    on_disk: dict[str, bytes] = field(default_factory=dict)

    def use(self, name: str, arrived: object) -> None:
        """Note that a secret did its work."""
        if arrived:
            self.used.add(name)

    def note(self, place: str, content: bytes | str) -> None:
        """Keep what came out."""
        self.told[f"{len(self.told)} {place}"] = content.encode() if isinstance(content, str) else content


async def live(forks: Forks, folder: Path, *, log_format: str = "json", troubles: int, brief: bool = False) -> Life:
    """Live it once. `troubles`: how many of the stand-in's ways to fail are gone through. `brief`: without the command line, starts that fail
    (which write in `log_format`), and a rotation.
    """
    life, here = Life(), CANARIES
    scenario = {"key": here["Novita's key"], "internalKey": here["Novita's internal key"]}
    async with open_site(forks, folder, scenario) as site, _proxy(site, life) as proxy:
        _furnish(site)
        site.receiver.failing, site.receiver.unlucky = 0.2, ("503", "reset")
        settings = {
            "NOVITAI_API_KEY": here["our admin key"],
            "NOVITAI_SECRETS_KEY": f"{here['sealing key']},{here['sealing key before it']}",
            "WEBHOOK_SECRET": here["global webhook secret"],
            "WEBHOOK_URL": f"{site.receiver.url}?token={here['token in WEBHOOK_URL']}",
            "UPSTREAM_PROXY": f"http://me:{here['proxy password']}@{proxy}",
            "LOG_LEVEL": "debug",
            "METRICS_PUBLIC": "true",
        }
        await _once_with_the_old_key(site, life, settings)
        server = await site.serve(**settings)
        await _people(site, server, life)
        await _strangers(server, life)
        await _trouble(site, server, life, troubles)
        life.told |= seen_of(server.process.pid)
        life.on_disk = files_below(site.folder)
        if not brief:
            await _command_line(site, server, life)
            await server.process.terminate()
            await _starts_that_fail(site, life, settings, log_format)
            await _rotated(site, life, settings)
            life.on_disk |= {f"{name}, later": content for name, content in files_below(site.folder).items()}
        await server.process.kill()
        for process in site.processes:
            life.note("log", "\n".join(process.lines))
            life.note("output", await process.output())
        for arrival in site.receiver.ledger:
            life.note("webhook", arrival.body + json.dumps(dict(arrival.headers)).encode())
        _judge_arrivals(site, life)
    return life


def _furnish(site: Site) -> None:
    """The account at Novita holds secrets too."""
    account = site.simulator.world.account
    auth = account.registry_auths[REGISTRY_AUTH_ID]
    account.registry_auths[REGISTRY_AUTH_ID] = replace(auth, password=CANARIES["registry password"])
    envs = (Env("TOKEN", CANARIES["environment value of a template"]),)
    account.templates[TEMPLATE] = replace(account.templates[TEMPLATE], envs=envs)


async def _once_with_the_old_key(site: Site, life: Life, settings: dict[str, str]) -> None:
    """The store is begun with another sealing key, so that the ring has two that are needed."""
    first = await site.serve(**settings | {"NOVITAI_SECRETS_KEY": CANARIES["sealing key before it"]})
    await first.process.terminate()
    life.use("sealing key before it", first.process.code == 0)


async def _people(site: Site, server: Server, life: Life) -> None:
    """Who may, uses everything that takes or gives a secret."""
    here = life.canaries
    url_token = here["token in a request's webhookUrl"]
    full = order("full") | {
        "imageUrl": "registry.example.com/private/app:1",
        "imageAuthId": REGISTRY_AUTH_ID,
        "envs": [{"key": "MODEL", "value": here["environment value"]}],
        "webhookUrl": f"{site.receiver.url}?token={url_token}",
        "webhookSecret": here["a request's webhook secret"],
    }
    made = await ask(life, server, "POST", "/api/instances", full, Idempotency_Key=here["Idempotency-Key"])
    again = await ask(life, server, "POST", "/api/instances", full, Idempotency_Key=here["Idempotency-Key"])
    life.use("our admin key", made is not None)
    life.use("Idempotency-Key", made == again)
    templated = {"name": "templated", "productName": "RTX 4090 24GB", "templateId": TEMPLATE}
    second = await ask(life, server, "POST", "/api/instances", templated)
    userinfo = f"http://me:{here['password in a webhookUrl']}@{urlsplit(site.receiver.url).netloc}/hooks"
    await ask(life, server, "POST", "/api/instances", order("userinfo") | {"webhookUrl": userinfo})
    life.use("password in a webhookUrl", "told")
    for instance in (made["instanceId"], second["instanceId"]):
        await _reaches(life, server, instance, "ready")
    [machine] = site.machines(made["instanceId"])
    _give_ssh_password(machine, here["SSH password"])
    await _keys(server, life)
    for path in READS:
        await ask(life, server, "GET", path.format(id=made["instanceId"]))
    await _revealed(server, life, made["instanceId"])
    await ask(life, server, "POST", f"/api/instances/{made['instanceId']}/stop")
    for instance in (made["instanceId"], second["instanceId"]):
        [machine] = site.machines(instance)
        values = {env.value for env in machine.workload.envs}
        life.use("environment value", here["environment value"] in values)
        life.use("environment value of a template", here["environment value of a template"] in values)
        # Such an image is sold to nobody without the right credentials.
        life.use("registry password", machine.workload.image_url.startswith(PRIVATE_IMAGE_PREFIX))
    life.use("registry credentials", "registry password" in life.used)


def _give_ssh_password(machine: Machine, password: str) -> None:
    machine.ssh_password = password


async def _keys(server: Server, life: Life) -> None:
    """Keys are made, used and revoked; the one answer that may show a key is not kept."""
    here = life.canaries
    for name in ("a made key", "a revoked key"):
        made = await ask(
            life,
            server,
            "POST",
            "/api/keys",
            {"name": name, "scope": "read"},
            secret=True,
            Idempotency_Key=name.replace(" ", "-"),
        )
        here[name] = made["key"]
        await ask(
            life, server, "POST", "/api/keys", {"name": name, "scope": "read"}, Idempotency_Key=name.replace(" ", "-")
        )
        life.use(name, await ask(life, server, "GET", "/api/instances", key=made["key"]))
        if name == "a revoked key":
            await ask(life, server, "DELETE", f"/api/keys/{made['id']}")
            await ask(life, server, "GET", "/api/instances", key=made["key"])


async def _revealed(server: Server, life: Life, instance: str) -> None:
    """What an admin asks to see is the one place for it; the server has to have it, then."""
    async with asyncio.timeout(20):
        while "SSH password" not in life.used:
            shown = await ask(life, server, "GET", f"/api/instances/{instance}?reveal=credentials,envs", secret=True)
            if shown is None or "connectionDetails" not in shown:
                shown = await ask(life, server, "GET", f"/api/instances/{instance}?reveal=credentials", secret=True)
            life.use("SSH password", (shown["connectionDetails"] or {}).get("password"))
            await asyncio.sleep(0.1)


async def _strangers(server: Server, life: Life) -> None:
    """Wrong ways to ask, each with a secret in it that its owner will want to use elsewhere."""
    here = life.canaries
    basic = _b64(f"me:{here['password of a Basic login']}")
    asked = [
        ("guessed key", "/api/instances", {"Authorization": f"Bearer {here['guessed key']}"}, None),
        ("password of a Basic login", "/api/instances", {"Authorization": f"Basic {basic}"}, None),
        ("key in a query", f"/api/instances?key={here['key in a query']}&access_token={here['key in a query']}", {}, None),
        ("key in X-API-Key", "/api/instances", {"X-API-Key": here["key in X-API-Key"], "Cookie": f"a={here['key in X-API-Key']}"}, None),
        ("value of an unknown field", "/api/instances", None, json.dumps(order("x") | {"password": here["value of an unknown field"]})),
        ("secret in a refused body", "/api/instances", None, json.dumps(order("no name") | {"webhookSecret": here["secret in a refused body"]})),
        ("secret in a broken body", "/api/instances", None, '{"webhookSecret": "' + here["secret in a broken body"]),
        ("secret in a refused body", "/api/instances", None, json.dumps({"envs": [{"key": here["secret in a refused body"]}]})),
    ]  # fmt: skip
    for name, path, headers, body in asked:
        sent = (
            {"Authorization": f"Bearer {here['our admin key']}", "Content-Type": "application/json"}
            if headers is None
            else headers
        )
        async with aiohttp.ClientSession() as session:
            method = "GET" if body is None else "POST"
            async with session.request(method, server.url + path, headers=sent, data=body) as answer:
                life.note(f"{method} with {name}", await answer.read() + str(dict(answer.headers)).encode())
                life.use(name, answer.status in {400, 401, 422})


async def _trouble(site: Site, server: Server, life: Life, many: int) -> None:
    """Novita fails in many ways, some of which tell back what it was sent."""
    here = life.canaries
    echoes = [here["Novita's key"], here["registry password"], here["environment value of a template"]]
    faults = [
        *({"mode": "status", "status": 400, "reason": f"NOT_WITH_{echo}"} for echo in echoes),
        {"mode": "status", "status": 500, "reason": f"BROKEN_{echoes[0]}"},
        {"mode": "html"}, {"mode": "malformed"}, {"mode": "truncate"}, {"mode": "reset"}, {"mode": "empty"},
        {"mode": "status", "status": 401, "reason": f"INVALID_API_KEY_{echoes[0]}"},
    ]  # fmt: skip
    for number, fault in enumerate(faults[:many]):
        site.fault("POST .*instance/create", **fault)
        wanted = {"name": f"refused{number or ''}", "productName": "RTX 4090 24GB", "templateId": TEMPLATE}
        made = await ask(life, server, "POST", "/api/instances", wanted, Prefer="wait=2")
        if made is not None and "error" not in made:
            await ask(life, server, "GET", f"/api/instances/{wanted['name']}")
            await ask(life, server, "GET", f"/api/instances/{wanted['name']}/events")
    for path in READS:
        await ask(life, server, "GET", path.format(id="refused"))


async def _command_line(site: Site, server: Server, life: Life) -> None:
    """The client's verbs, told where the server is by its environment; the last one has a wrong key."""
    here = life.canaries
    known = {"NOVITAI_URL": server.url, "NOVITAI_API_KEY": here["our admin key"]}
    runs = [
        ["list", "--json"],
        ["show", "full", "--json"],
        ["show", "nowhere"],
        ["keys", "list"],
        ["jobs"],
        ["config"],
        ["config", "--json"],
    ]
    ended = [await site.run(*argv, **known) for argv in runs]
    ended.append(await site.run("list", **known | {"NOVITAI_API_KEY": here["guessed key"]}))
    for process in ended:
        with contextlib.suppress(OSError):
            life.told |= seen_of(process.pid)
        await process.end(seconds=30)


async def _starts_that_fail(site: Site, life: Life, settings: dict[str, str], log_format: str) -> None:
    """Another sealing key; a directory in place of the store; settings that are wrong. The first also shows a whole life in another form."""
    wrong = [
        {"NOVITAI_SECRETS_KEY": _b64("not the key with which it began!")},
        {"NOVITAI_STORE": f"sqlite:///{site.folder}"},
        {
            "UPSTREAM_PROXY": f"ftp://me:{CANARIES['proxy password']}@x",
            "NOVITAI_SECRETS_KEY": CANARIES["sealing key"] + "x",
        },
        {"WEBHOOK_SECRET": "short", "NOVITAI_API_KEY": CANARIES["our admin key"] + " "},
        {"TLS_CERT_FILE": str(site.folder / "none"), "TLS_KEY_FILE": str(site.folder / "none")},
    ]
    for more in wrong:
        process: Process = await site.run("serve", **settings | {"LOG_FORMAT": log_format} | more)
        with contextlib.suppress(TimeoutError):
            await process.end(seconds=10)


async def _rotated(site: Site, life: Life, settings: dict[str, str]) -> None:
    """Everything moves to the first key, which alone opens it afterwards."""
    process = await site.run("secrets", "rotate", **settings)
    life.use("sealing key", await process.end() == 0)
    server = await site.serve(**settings | {"NOVITAI_SECRETS_KEY": CANARIES["sealing key"]})
    shown = await ask(life, server, "GET", "/api/instances/full?reveal=envs", secret=True)
    life.use("sealing key", shown["envs"][0]["value"] == CANARIES["environment value"])
    await server.process.terminate()


def _judge_arrivals(site: Site, life: Life) -> None:
    here = life.canaries
    life.use("Novita's key", any(call.status == 200 for call in site.calls("GET", "/openapi/v1/gpu/instances")))
    life.use("Novita's internal key", any(call.status == 200 for call in site.calls("", "/api/v1/jobs")))
    for arrival in site.receiver.ledger:
        for name in ("global webhook secret", "a request's webhook secret"):
            with contextlib.suppress(WebhookVerificationError):
                verify(arrival.body, arrival.headers, here[name], tolerance=3600)
                life.used.add(name)
        for name in ("token in WEBHOOK_URL", "token in a request's webhookUrl"):
            life.use(name, here[name] in arrival.target)


async def ask(
    life: Life,
    server: Server,
    method: str,
    path: str,
    body: object = None,
    *,
    key: str = "",
    secret: bool = False,
    **headers: str,
) -> Any:
    """Ask and keep the answer with its headers, unless it is one that may hold a secret."""
    sent = {
        "Authorization": f"Bearer {key or CANARIES['our admin key']}",
        **{name.replace("_", "-"): text for name, text in headers.items()},
    }
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, server.url + path, json=body, headers=sent) as answer,
    ):
        text = await answer.read()
        if not secret:
            life.note(f"{method} {path} {answer.status}", text + str(dict(answer.headers)).encode())
        return json.loads(text) if "json" in answer.content_type else None


async def _reaches(life: Life, server: Server, instance: str, status: str) -> None:
    async with asyncio.timeout(30):
        while (await ask(life, server, "GET", f"/api/instances/{instance}?wait=ready&timeout=1"))["status"] != status:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def _proxy(site: Site, life: Life) -> AsyncIterator[str]:
    """A proxy for calls to Novita, which passes everything on to the stand-in; its address. What it is told is what it is for."""
    host, port = urlsplit(site.simulator.url).hostname, urlsplit(site.simulator.url).port
    wanted = _b64(f"me:{CANARIES['proxy password']}").encode()
    open_ends: set[asyncio.StreamWriter] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ends.add(writer)
        with contextlib.suppress(OSError):
            while content := await reader.read(65_536):
                life.use("proxy password", wanted in content)
                writer.write(content)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward = await asyncio.open_connection(host, port)
        await asyncio.gather(pipe(reader, onward[1]), pipe(onward[0], writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for end in open_ends:
            end.close()
