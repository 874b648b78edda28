"""Those we talk to beside Novita: the receiver of webhooks, and our own server when one runs."""

import json
from importlib import metadata
from typing import Any
from urllib.parse import urlsplit

import msgspec

from novitai.app.groups import revealed
from novitai.config import Settings
from novitai.doctor.report import Check, fail, ok, warn
from novitai.domain.times import iso
from novitai.egress.addresses import Guard
from novitai.egress.client import EgressClient
from novitai.egress.dialling import SystemResolver
from novitai.egress.errors import EgressError
from novitai.ports.world import Clock, Ids
from novitai.webhooks.signature import headers

ANYWHERE = ("0.0.0.0/0", "::/0")
OWN_DEADLINE_SECONDS = 5.0
_ALL_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where somebody who listens on all is asked


async def webhooks(settings: Settings) -> list[Check]:
    """Whether `WEBHOOK_URL` can be called at all, and whether what is sent is signed."""
    name, asked = "webhooks", settings.webhooks
    if asked.url is None:
        return [ok(name, "no WEBHOOK_URL; requests may name their own")]
    signed = [] if asked.secret else [warn(name, "no WEBHOOK_SECRET: they go out unsigned", "set WEBHOOK_SECRET")]
    host = urlsplit(asked.url).hostname or ""
    resolver = SystemResolver()
    try:
        addresses = sorted({one["host"] for one in await resolver.resolve(host)})
    except OSError as error:
        return [fail(name, f"{host} has no address: {error.strerror or error}", "check WEBHOOK_URL"), *signed]
    finally:
        await resolver.close()
    guard = Guard(str(network) for network in asked.allow_cidrs)
    refused = [f"{address} ({why})" for address in addresses if (why := guard.refusal(address))]
    if refused:
        return [fail(name, f"{host} is {', '.join(refused)}: not called", "list it in WEBHOOK_ALLOW_CIDRS"), *signed]
    return [ok(name, f"{host} is {', '.join(addresses)}, which may be called"), *signed]


async def ping(settings: Settings, *, clock: Clock, ids: Ids) -> Check:
    """A signed `test.ping`, as any other webhook goes out."""
    name, asked = "webhook ping", settings.webhooks
    if asked.url is None:
        return warn(name, "there is no WEBHOOK_URL to send it to")
    event_id, now = ids.new("evt"), clock.now()
    body = msgspec.json.encode(_ping_body(event_id, iso(now)))
    secret = revealed(asked.secret)
    sent = headers(event_id=event_id, timestamp=int(now), body=body, secrets=(secret,) if secret else ())
    async with EgressClient(Guard(str(network) for network in asked.allow_cidrs)) as client:
        try:
            answer = await client.post(
                asked.url, body, {"Content-Type": "application/json"} | sent, deadline_seconds=asked.timeout
            )
        except EgressError as error:
            return fail(name, f"{error.kind}: {error}", "mend the receiver or WEBHOOK_URL")
    if 200 <= answer.status < 300:
        return ok(name, f"{event_id} delivered, answered {answer.status} in {answer.elapsed_ms:.0f} ms")
    return fail(name, f"answered {answer.status}", "a receiver answers 2xx; 400 usually means another WEBHOOK_SECRET")


def _ping_body(event_id: str, at: str) -> dict[str, Any]:
    return {
        "id": event_id,
        "type": "test.ping",
        "sequence": 0,
        "instanceId": None,
        "novitaInstanceId": None,
        "status": None,
        "timestamp": at,
        "elapsedTime": 0,
        "reason": "novitai doctor --ping",
        "data": {},
    }


async def own_server(settings: Settings, *, expected: bool) -> Check:
    """The server at HOST:PORT. `expected`: a process holds the store, so one should answer."""
    name, asked = "own server", settings.server
    if asked.port == 0:
        return ok(name, "not asked: PORT=0 takes a free port")
    host = _ALL_ADDRESSES.get(asked.host, asked.host)
    place = f"{'https' if asked.tls_cert_file else 'http'}://{f'[{host}]' if ':' in host else host}:{asked.port}"
    key = revealed(asked.api_key)
    async with EgressClient(Guard(ANYWHERE), ca_file=asked.tls_cert_file) as client:
        try:
            answer = await client.get(
                f"{place}/health",
                {"Authorization": f"Bearer {key}"} if key else {},
                deadline_seconds=OWN_DEADLINE_SECONDS,
            )
        except EgressError as error:
            if expected:
                return fail(name, f"the store is open, but {place} does not answer: {error}", "check HOST and PORT")
            return ok(name, f"none runs at {place}")
    try:
        told = json.loads(answer.body_prefix)
        return _judge_health(place, told["status"], told["services"], told.get("details") or {})
    except (ValueError, KeyError, TypeError, AttributeError):
        return warn(name, f"something else answers at {place}", "choose another PORT")


def _judge_health(place: str, status: str, services: dict[str, Any], details: dict[str, Any]) -> Check:
    name, ours = "own server", metadata.version("novitai")
    stands = {part: how["status"] if isinstance(how, dict) else how for part, how in services.items()}
    away = ", ".join(part for part, how in stands.items() if how in {"down", "degraded"})
    running = str(details.get("version", "an unknown version"))
    told = f"{running} at {place} is {status}{f': {away} away' if away else ''}"
    if status == "unhealthy":
        return fail(name, told, "see its log")
    if status != "healthy":
        return warn(name, told, "see its log")
    if details and running != ours:
        return warn(name, f"{told}, but this is {ours}", "restart it after an upgrade")
    return ok(name, told)
