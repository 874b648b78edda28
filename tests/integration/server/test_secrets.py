"""Secrets that are planted everywhere are found nowhere: not in logs, answers, figures, nor in any byte of the data directory."""

import base64
import json
from pathlib import Path
from typing import Any

import aiohttp

from support.sites import KEY, NOVITA_KEY, WEBHOOK_SECRET, Server, Site, order

SECRETS_KEY = base64.b64encode(b"planted: the key that seals all.").decode()
INTERNAL_KEY = "planted-internal-key-1d7f"
ENV_SECRET = 'planted env "value" with ünusual signs'
REQUEST_SECRET = "whsec_cGxhbnRlZHJlcXVlc3RzZWNyZXQ="
URL_TOKEN = "planted-token-in-an-address"
GUESSED_KEY = "nvk_guess_planted0123456789abcdef"
REGISTRY_PASSWORD = "demo-registry-password"
REGISTRY_ID = "0f4d7c86-5a52-4c1e-9d53-3c2f5a0e7b11"
FILES_THAT_KEEP = frozenset({"novitai.db", "novitai.db-wal"})


async def test_planted_secrets_are_found_nowhere(site: Site) -> None:
    """A3: a create with everything secret in it, failures that echo secrets, at the most talkative log level."""
    site.receiver.failing, site.receiver.unlucky = 0.3, ("503", "reset")
    server = await site.serve(
        LOG_LEVEL="debug", NOVITAI_SECRETS_KEY=SECRETS_KEY, NOVITA_INTERNAL_API_KEY=INTERNAL_KEY, METRICS_PUBLIC="true"
    )
    answers = await live(site, server)
    made_key = answers.pop("key")
    ssh = {password for machine in site.simulator.world.ever() if (password := machine.ssh_password)}

    everywhere = {
        KEY,
        NOVITA_KEY,
        INTERNAL_KEY,
        WEBHOOK_SECRET,
        SECRETS_KEY,
        REQUEST_SECRET,
        ENV_SECRET,
        REGISTRY_PASSWORD,
    }
    everywhere |= {made_key, GUESSED_KEY, *ssh}
    assert len(everywhere | {URL_TOKEN}) == 12
    on_disk = {path.name: path.read_bytes() for path in site.data.iterdir()}
    assert set(on_disk) >= FILES_THAT_KEEP
    assert hits(everywhere, on_disk) == []
    told = {"log": "\n".join(server.process.lines).encode(), **answers, **cmdline(server)}
    told |= {f"webhook {n}": arrival.body for n, arrival in enumerate(site.receiver.ledger)}
    assert hits(everywhere | {URL_TOKEN}, told) == []


async def live(site: Site, server: Server) -> dict[str, Any]:
    """A life full of secrets; every answer by what was asked, and the text of a key that was made."""
    answers: dict[str, Any] = {}

    async def ask(method: str, path: str, body: object = None, *, key: str = KEY) -> Any:
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            aiohttp.ClientSession(server.url, headers=headers) as session,
            session.request(method, path, json=body) as answer,
        ):
            answers[f"{len(answers)} {method} {path} {answer.status}"] = await answer.read()
            return json.loads(await answer.read()) if answer.content_type == "application/json" else None

    secret = order("secret") | {
        "imageUrl": "registry.example.com/private/app:1",
        "imageAuthId": REGISTRY_ID,
        "envs": [{"key": "MODEL", "value": ENV_SECRET}],
        "webhookUrl": f"{site.receiver.url}?token={URL_TOKEN}",
        "webhookSecret": REQUEST_SECRET,
    }
    made = await ask("POST", "/api/instances", secret)
    await server.reaches(made["instanceId"], "ready")
    site.fault("POST .*instance/create", "status", status=400, reason=f"NOT_WITH_{NOVITA_KEY}")
    refused = await ask("POST", "/api/instances", secret | {"name": "refused"})
    await server.reaches(refused["instanceId"], "failed")
    await ask("POST", "/api/instances", secret | {"name": "wrong name"})
    await ask("POST", "/api/instances", secret | {"unknown": ENV_SECRET})
    await ask("GET", "/api/instances", key=GUESSED_KEY)
    key = await ask("POST", "/api/keys", {"name": "planted", "scope": "read"})
    answers.popitem()  # the one answer that may hold the key's text
    await ask("GET", "/api/instances", key=key["key"])
    for path in (
        "/api/instances/comprehensive",
        "/api/instances/secret",
        "/api/instances/refused",
        "/api/instances/secret/events",
        "/api/instances/secret/deliveries",
        "/api/events",
        "/api/jobs",
        "/api/keys",
        "/api/upstream",
        "/api/registry-auths",
        "/api/templates",
        "/api/templates/107672",
        "/api/novita/jobs",
        "/api/metrics",
        "/metrics",
        "/health",
    ):
        await ask("GET", path)
    return answers | {"key": key["key"]}


def cmdline(server: Server) -> dict[str, bytes]:
    """What everybody on the machine sees of the process."""
    return {"cmdline": Path(f"/proc/{server.process.pid}/cmdline").read_bytes()}


def hits(secrets: set[str], places: dict[str, bytes]) -> list[tuple[str, str]]:
    """Where a secret stands, plain or as it would stand in JSON; with what is around it."""
    found = []
    for secret in secrets:
        for spelling in {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}:
            for place, content in places.items():
                at = content.find(spelling.encode())
                if at >= 0:
                    found.append((place, content[max(0, at - 80) : at + len(spelling)].decode(errors="replace")))
    return found
