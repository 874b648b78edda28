"""What a receiver reads when an instance is ready, in full: fields, their order, and every header, computed here by hand."""

import base64
import hashlib
import hmac
import json
import re

import pytest

from novitai.domain.lifecycle import State
from support import builders
from support.running import HOOK, SECRET, House, running

PUBLISHED = {
    "instanceId": "inst_12345",
    "status": "running",
    "timestamp": "2023-12-01T10:30:00Z",
    "elapsedTime": 245000,
    "data": {"connectionDetails": {"host": "192.168.1.100", "port": 22, "username": "gpuuser"}},
}
"""The example that receivers were built after."""

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def ready_attempt(house: House, **fields):
    """The attempt that told the global endpoint of `ready`, and the instance."""
    made = await house.ready(**fields)
    await house.clock.advance(1.0)
    [attempt] = [one for one in house.receivers.received if (one.url, one.event["type"]) == (HOOK, "instance.ready")]
    return attempt, await house.instance(made)


def shape(example, body) -> None:
    """Every field of the example is in the body, with a value of the same kind."""
    for name, value in example.items():
        assert isinstance(body[name], type(value)), name
        if isinstance(value, dict):
            shape(value, body[name])


async def test_ready_has_everything_that_the_published_example_has():
    """A receiver written after the example needs no change."""
    async with running(WEBHOOK_URL=HOOK) as house:
        attempt, _ = await ready_attempt(house)

    shape(PUBLISHED, attempt.event)


async def test_ready_says_how_to_connect_how_long_it_took_and_what_was_checked():
    """Times in milliseconds, in UTC; no password anywhere."""
    async with running(WEBHOOK_URL=HOOK) as house:
        attempt, instance = await ready_attempt(house)
        [*_, told] = await house.events(instance.id)

    body = json.loads(attempt.body)
    assert list(body) == [
        "id", "type", "sequence", "instanceId", "novitaInstanceId", "status", "timestamp", "elapsedTime", "reason", "data",
    ]  # fmt: skip
    assert (body["id"], body["instanceId"], body["sequence"]) == (told.id, instance.id, instance.sequence)
    assert (body["novitaInstanceId"], body["status"]) == (instance.machine.id, str(State.READY))
    assert body["elapsedTime"] == round((instance.ready_at - instance.operation.requested_at) * 1000)
    assert TIME.fullmatch(body["timestamp"])
    connection = body["data"]["connectionDetails"]
    assert (connection["host"], connection["port"], connection["username"]) == ("proxy.example.test", 32787, "root")
    assert connection["portMappings"][0]["port"] == builders.PORT
    startup, checks = body["data"]["startupOperation"], body["data"]["healthCheckResult"]
    assert (startup["operationId"], startup["status"], startup["currentStatus"]) == (
        instance.operation.id,
        "completed",
        "ready",
    )
    assert list(startup["phases"]) == [
        "startRequested", "instanceStarting", "instanceRunning", "healthCheckStarted", "healthCheckCompleted", "ready",
    ]  # fmt: skip
    assert all(TIME.fullmatch(at) for at in [*startup["phases"].values(), startup["startedAt"], startup["completedAt"]])
    assert checks["overallStatus"] == "healthy"
    assert set(checks["endpoints"][0]) == {"port", "endpoint", "type", "status", "responseTime", "error"}
    assert b"password" not in attempt.body.lower()


@pytest.mark.parametrize("secret", [SECRET, "not-base64-and-no-prefix", "ünïcode-secret"])
async def test_both_header_sets_are_exactly_as_published(secret):
    """HMAC-SHA256 of the bytes sent: in hex with the whole secret, and in base64 over id, time and body with the standard key."""
    async with running(WEBHOOK_URL=HOOK) as house:
        attempt, _ = await ready_attempt(house, webhook_url="https://own.example.test/hook", webhook_secret=secret)
        [own] = [one for one in house.receivers.received if one.id == attempt.id and one.url != attempt.url]

    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    event_id, at = own.event["id"], str(int(own.at))
    signed = f"{event_id}.{at}.".encode() + own.body
    older = hmac.new(secret.encode(), own.body, hashlib.sha256).hexdigest()
    standard = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert dict(own.headers) == {
        "Content-Type": "application/json",
        "User-Agent": own.headers["User-Agent"],
        "X-Webhook-Signature": f"sha256={older}",
        "X-Webhook-Timestamp": at,
        "X-Webhook-Id": event_id,
        "X-Correlation-ID": "corr_1",
        "webhook-id": event_id,
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{standard}",
    }
    assert own.body == attempt.body
