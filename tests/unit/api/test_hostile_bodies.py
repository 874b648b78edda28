"""Bodies that are well-formed and meant to hurt: the answer is short, soon there, and says what is wrong."""

import json
import time

import pytest

from support.asking import create_body

MANY_NAMES = {f"k{number}": 1 for number in range(80_000)}
HOSTILE = {
    "unknown fields": create_body(**MANY_NAMES),
    "regions": create_body(region=[""] * 200_000),
    "statuses": create_body(healthCheck={"expectStatus": [1] * 200_000}),
    "labels": create_body(labels=dict.fromkeys(MANY_NAMES, 1)),
    "environment": create_body(envs=[{"key": "", "value": 1}] * 30_000),
    "one long name": create_body(**{"x" * 900_000: 1}),
    "many long names": create_body(**{f"{number}{'x' * 5_000}": 1 for number in range(180)}),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_mebibyte_of_mistakes_gets_a_short_answer_soon(admin, body):
    """Nobody makes the server hold others up, or send fifteen bytes for each that it was sent."""
    content = json.dumps(body)
    began = time.process_time()

    answer = await admin.post("/api/instances", content=content, headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "VALIDATION_ERROR")
    assert len(answer.content) < 100_000
    assert time.process_time() - began < 3


@pytest.mark.parametrize(
    "url",
    ["http://example.com/\x01a", "http://exa\\mple.com/", "http://example.com\\@10.0.0.1/", "http://example.com/\x7f"],
)
@pytest.mark.parametrize("ask", ["create", "stop"])
async def test_an_address_that_no_attempt_could_call_is_refused_at_once(admin, ask, url):
    """Control characters and backslashes are never sent; the caller learns it from the answer, not from dead letters."""
    path, body = (
        ("/api/instances", create_body()) if ask == "create" else ("/api/instances/stop", {"instanceName": "demo"})
    )

    answer = await admin.post(path, json=body | {"webhookUrl": url})

    assert (answer.status_code, answer.json()["error"]["validationErrors"][0]["field"]) == (422, "webhookUrl")
