"""A1: no input makes a 5xx. A server as it is run, against the stand-in for Novita: schemathesis as anybody runs it, with every check it has,
and a corpus of what has broken other servers, sent byte for byte. Judged by what comes back over the wire.
"""

import asyncio
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proofs.planted import a1_any_json
from support import nasty
from support.processes import Forks
from support.sites import KEY, Server, forks, open_site, order

__all__ = ["forks"]

CONFIGURATION = """
[checks]
# What the schema allows may still break a rule that no schema can say (one product, a time that lies ahead, a port that is there), which is
# 422 with the field's name; what it must never be is 400, "cannot be read", or a 5xx.
positive_data_acceptance.expected-statuses = ["2xx", "401", "402", "403", "404", "409", "422"]

[[operations]]
include-path = "/api/events/stream"
enabled = false # an answer without an end
"""
KNOWN = """
[[operations]]
include-path-regex = "/api/instances/{{instance_id}}.*"
parameters = {{ "path.instance_id" = "{instance}" }}
"""
"""A second run asks about an instance that exists, since nothing that is made up ever does."""

BEARER = ("Authorization", f"Bearer {KEY}")
JSON = ("Content-Type", "application/json")
CREATE: dict[str, Any] = {
    "name": "nasty",
    "productName": "RTX 4090 24GB",
    "imageUrl": "ubuntu:22.04",
    "ports": [{"port": 8080, "type": "http"}],
    "envs": [{"key": "A", "value": "b"}],
    "command": "serve",
    "entrypoint": "sh",
    "imageAuthId": "",
    "gpuNum": 1,
    "rootfsSize": 60,
    "region": ["CN-HK-01"],
    "billingMode": "spot",
    "placement": "cheapest",
    "maxPricePerHour": 9,
    "networkStorages": [{"id": "x", "mountPoint": "/x"}],
    "webhookUrl": "https://example.com/hook",
    "webhookSecret": "whsec_c2VjcmV0c2VjcmV0",
    "labels": {"team": "a"},
    "healthCheck": {
        "type": "http",
        "port": 8080,
        "path": "/",
        "expectStatus": [200],
        "expectBody": "ok",
        "timeoutMs": 1000,
        "retryAttempts": 1,
        "retryDelayMs": 0,
        "maxWaitTimeMs": 1000,
    },
    "waitForCapacity": "30m",
    "protect": False,
    "dryRun": True,
}
START = {"instanceName": "x", "timeoutMs": 1000, "targetPort": 8080, "healthCheck": {"port": 1}, "reason": "because"}
OTHERS: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/api/instances/start"): START,
    ("POST", "/api/instances/stop"): {"instanceName": "x", "reason": "because", "webhookUrl": "https://example.com/"},
    ("PUT", "/api/instances/{id}/last-used"): {"lastUsedAt": "2026-01-01T00:00:00Z"},
    ("POST", "/api/keys"): {
        "name": "x",
        "scope": "read",
        "expiresAt": "2030-01-01T00:00:00Z",
        "limits": {"gpus": 1, "usdPerHour": 1.5},
    },
    ("POST", "/api/instances/bulk"): {"action": "stop", "ids": ["x"], "dryRun": True},
    ("POST", "/api/instances/migration/check-failed"): {"immediate": True, "dryRun": True},
    ("POST", "/api/automation/pause"): {"scope": "idle", "reason": "because"},
}
READS = [
    "/api/instances",
    "/api/instances/{id}",
    "/api/events",
    "/api/jobs",
    "/api/offers",
    "/api/keys",
    "/api/audit",
    "/api/metrics",
    "/health",
]
SECONDS = 20.0

Sent = tuple[str, bytes]


def corpus(instance: str) -> Iterator[Sent]:
    """Every nasty request, with its name."""
    writes = [("POST", "/api/instances"), *OTHERS]
    for name, body in nasty.mutations(CREATE):
        yield f"create: {name}", nasty.request("POST", "/api/instances", BEARER, JSON, body=body)
    for (method, path), usual in OTHERS.items():
        for name, body in nasty.mutations(usual):
            yield f"{path}: {name}", nasty.request(method, path.format(id=instance), BEARER, JSON, body=body)
    for (method, path), (name, body) in itertools.product(writes, nasty.BODIES.items()):
        yield f"{path}: {name}", nasty.request(method, path.format(id=instance), BEARER, JSON, body=body)
    for kind, (name, body) in itertools.product(nasty.TYPES, [("{}", b"{}"), ("bytes", bytes(range(256)))]):
        yield f"{kind}: {name}", nasty.request("POST", "/api/instances", BEARER, ("Content-Type", kind), body=body)
    for target, method in itertools.product(nasty.TARGETS, ("GET", "POST", "DELETE")):
        yield f"{method} {target[:60]}", nasty.request(method, target, BEARER)
    for path, query in itertools.product(READS, nasty.QUERIES):
        yield f"{path}?{query[:60]}", nasty.request("GET", f"{path.format(id=instance)}?{query}", BEARER)
    for (name, value), (method, path) in itertools.product(
        nasty.HEADERS, [("GET", "/api/instances"), ("POST", "/api/instances")]
    ):
        keys = [] if name == "Authorization" else [BEARER]
        yield f"{method} with {name[:40]}: {value[:40]}", nasty.request(method, path, *keys, (name, value), body=b"{}")
    for method, path in itertools.product(nasty.METHODS, [*READS, "/healthz", "/metrics", "/docs"]):
        yield f"{method} {path}", nasty.request(method, path.format(id=instance), BEARER)
    yield from ((f"raw: {name}", content) for name, content in nasty.RAW.items())


async def status_of(port: int, content: bytes) -> int:
    """The status of the answer to these bytes: 0 when the connection was closed without one, -1 when nothing came in time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(SECONDS):
            writer.write(content)
            writer.write_eof()
            while line := await reader.readline():
                status = int(line.split()[1])
                if status != 100:
                    return status
                await reader.readline()
            return 0
    except TimeoutError:
        return -1
    except OSError:  # refused and closed while it was still being sent
        return 0
    finally:
        writer.close()


async def broken_by(server: Server, sent: Sequence[Sent]) -> list[str]:
    """What was answered with a 5xx or not at all within the time, and what a server that ended left unanswered."""
    port, found = int(server.url.rpartition(":")[2]), []
    turn = asyncio.Semaphore(8)

    async def one(name: str, content: bytes) -> None:
        async with turn:
            status = await status_of(port, content)
        if status < 0 or status >= 500:
            found.append(f"{status} {name}")

    await asyncio.gather(*itertools.starmap(one, sent))
    status, _ = await server.ask("GET", "/healthz")
    return found if status == 200 else [*found, "the server no longer answers"]


async def fuzzed(forks: Forks, folder: Path, options: Sequence[str], *, known: bool) -> tuple[dict[str, Any], int]:
    """What schemathesis found on a server of its own, and how many faults that server logged. `known`: it asks about an instance that exists."""
    folder.mkdir()
    async with open_site(forks, folder) as site:
        server = await site.serve()
        instance = await server.create("one")
        if known:
            await server.reaches(instance, "ready")
        found = await fuzz(server, folder, options, known=instance if known else "")
        return found, faults_logged(server)


async def fuzz(server: Server, folder: Path, options: Sequence[str], *, known: str) -> dict[str, Any]:
    """Run schemathesis; its report."""
    configuration, report = folder / "schemathesis.toml", folder / "report.json"
    configuration.write_text(CONFIGURATION + (KNOWN.format(instance=known) if known else ""), encoding="utf-8")
    argv = [
        "--config-file",
        str(configuration),
        "--no-color",
        "run",
        f"{server.url}/openapi.json",
        "--header",
        ": ".join(BEARER),
    ]
    argv += ["--seed", "1", "--continue-on-failure", "--report", "json", "--report-json-path", str(report), *options]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *argv,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert report.exists(), said.decode()
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    if found["failures"] or not found["complete"]:
        print(said.decode())
    return found


def faults_logged(server: Server) -> int:
    """Requests that ended in something unforeseen, by the server's own words."""
    return sum(entry["event"] in {"request_failed", "answer_broken_off"} for entry in server.process.entries())


@pytest.mark.timeout(300)
async def test_schemathesis_with_every_check_finds_nothing(book, scale, forks, tmp_path):
    """Right and wrong requests to every operation, boundary values, and chains of calls: no 5xx, nothing that the document does not describe."""
    options = scale.pick(
        short=["--phases", "fuzzing,stateful", "--max-examples", "1"],
        prove=["--max-examples", "5"],
        full=["--max-examples", "100"],
    )
    runs = [await fuzzed(forks, tmp_path / "free", options, known=False)]
    if scale.name != "short":
        runs.append(await fuzzed(forks, tmp_path / "known", options, known=True))
    reports, faults = [report for report, _ in runs], sum(faults for _, faults in runs)

    cases = sum(report["test_cases"]["generated"] for report in reports)
    book.figure("A1", "schemathesis cases, all its checks", cases, at_least=scale.pick(short=100, prove=2_000))
    book.figure(
        "A1", "of them failed a check", sum(report["test_cases"]["with_failures"] for report in reports), exactly=0
    )
    book.figure(
        "A1", "operations that were not tried", sum(report["operations"]["errored"] for report in reports), exactly=0
    )
    book.figure("A1", "requests of these that ended in something unforeseen, by the log", faults, exactly=0)
    assert all(report["complete"] and not report["failures"] for report in reports)


@pytest.mark.timeout(300)
async def test_nothing_of_the_nasty_corpus_is_answered_with_a_5xx(book, scale, forks, tmp_path):
    """Values in every field, bodies, targets, queries, headers, methods and bytes that are no request; the server goes on."""
    async with open_site(forks, tmp_path) as site:
        server = await site.serve()
        instance = await server.create("one")
        sent = list(corpus(instance))[:: scale.pick(short=12, prove=1)]
        found = await broken_by(server, sent)
        faults = faults_logged(server)

    book.figure("A1", "nasty requests, byte for byte", len(sent), at_least=scale.pick(short=150, prove=2_000))
    book.figure("A1", "of them answered with a 5xx, or not within 20 s", len(found), exactly=0)
    book.figure("A1", "nasty requests that ended in something unforeseen, by the log", faults, exactly=0)


async def test_strange_texts_are_kept_as_given_and_shown_as_given(book, scale, forks, tmp_path):
    """Whatever a field allows goes through the store, to Novita and back; no log line is broken by it."""
    texts = [text for text in nasty.TEXTS.values() if 0 < len(text) <= 200 and "\0" not in text]
    texts = texts[:: scale.pick(short=4, prove=1)]
    async with open_site(forks, tmp_path) as site:
        server = await site.serve()
        changed = 0
        for number, text in enumerate(texts):
            wanted = {"labels": {"strange": text}, "envs": [{"key": "STRANGE", "value": text}], "command": text}
            status, made = await server.ask("POST", "/api/instances", order(f"strange-{number}") | wanted)
            assert status in {201, 422}, made
            if status == 201:
                _, shown = await server.ask("GET", f"/api/instances/{made['instanceId']}?reveal=envs")
                changed += shown["labels"] != wanted["labels"] or shown["envs"] != wanted["envs"]
        statuses = [
            (await server.ask("GET", path))[0]
            for path in ("/api/instances", "/api/events", "/api/instances/comprehensive")
        ]
        await server.process.terminate()
        torn = sum(not line.startswith("{") or not line.endswith("}") for line in server.process.lines)

    assert statuses == [200] * len(statuses)
    book.figure("A1", "strange texts that came back changed", changed, exactly=0)
    book.figure("A1", "log lines torn by a strange text", torn, exactly=0)


@contextmanager
def bugged(program: Path) -> Iterator[Forks]:
    """Starts servers with a bug."""
    made = Forks(program)
    try:
        yield made
    finally:
        made.close()


async def test_a_body_that_nobody_checked_is_noticed(book, tmp_path):
    """The same check on a server that takes for JSON whatever Python's reader does."""
    with bugged(Path(a1_any_json.__file__)) as lenient:
        async with open_site(lenient, tmp_path) as site:
            server = await site.serve()
            sent = [one for one in corpus("x") if "/keys: " in one[0] and "deep" in one[0]]
            found = await broken_by(server, sent)

    book.planted("A1", a1_any_json.BUG, caught=bool(found))
