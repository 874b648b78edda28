"""W6: a receiver needs nothing of ours: what we deliver verifies with other people's Standard Webhooks libraries, and what they sign with ours.

Deliveries are those of the whole program, as its receivers got them. The libraries for JavaScript are fetched by `make prove`, into a folder
of their own that is gone afterwards; where there is no node, or no network, their lines are left out by name.
"""

import base64
import json
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.webhooks.signature import headers as signed
from novitai_client import webhooks as ours
from support.clock import FakeClock
from support.pages import ROOT
from support.running import HOOK, running

PUBLISHED = ROOT / "docs" / "reference" / "webhook-vectors.json"
VECTORS = json.loads(PUBLISHED.read_text(encoding="utf-8"))["vectors"]
SECRETS = (
    "whsec_" + base64.b64encode(bytes(range(32))).decode(),
    "whsec_" + base64.b64encode(b"a" * 24).decode(),
    "plain words, no prefix",
)
DRIVER = Path(__file__).parent / "interop" / "verify.cjs"
PACKAGES = {"standardwebhooks": "standardwebhooks@1.1.1", "svix": "svix@2.5.0"}
NAMES = ("é", "日本語", "\u202e", "\\", '"', "\u2028", "😀", "a" * 2_000)
EVENT = {"id": "evt_1", "type": "test.ping", "timestamp": "2027-01-15T08:00:00Z"}


@dataclass(frozen=True)
class Request:
    """A webhook as it arrived, and the secret that its receiver has."""

    body: str
    headers: dict[str, str]
    secret: str

    def standard(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name.startswith("webhook-")}


Verify = Callable[[list[Request]], list[bool]]


async def deliveries(secret: str) -> list[Request]:
    """Everything that is told of an instance which is made, stopped, started and deleted."""
    async with running(clock=FakeClock(start=time.time()), WEBHOOK_URL=HOOK, WEBHOOK_SECRET=secret) as house:
        made = await house.ready(labels={"team": "größe ✓"})
        for verb, state in ((Verb.STOP, State.STOPPED), (Verb.START, State.READY), (Verb.DELETE, State.DELETED)):
            await house.ask(made, verb)
            await house.until(made, state)
        return [Request(one.body.decode(), dict(one.headers), secret) for one in house.receivers.received]


def rotating(chance: random.Random, now: int) -> Request:
    """Any body, signed while the secret is being changed; the receiver has one of the two."""
    event = EVENT | {"id": f"evt_{chance.getrandbits(40)}", "reason": chance.choice(NAMES)}
    body = json.dumps(event, ensure_ascii=chance.random() < 0.5)
    pair = chance.sample(SECRETS[:2], 2)
    made = signed(event_id=f"evt_{chance.getrandbits(60):x}", timestamp=now, body=body.encode(), secrets=pair)
    return Request(body, made, chance.choice(pair))


def forged(request: Request, chance: random.Random) -> Request:
    """The same with one thing wrong."""
    stamp = int(request.headers["webhook-timestamp"])
    return chance.choice(
        (
            replace(request, body=request.body + " "),
            replace(request, secret=SECRETS[0][:-4] + "AAA="),
            replace(request, headers=request.headers | {"webhook-id": "evt_other"}),
            replace(request, headers=request.headers | {"webhook-timestamp": str(stamp + 1)}),
            replace(request, headers=request.headers | {"webhook-timestamp": str(stamp - 4_000)}),
            replace(request, headers=request.headers | {"webhook-signature": "v1,AAAA"}),
        )
    )


def by_standardwebhooks(requests: list[Request]) -> list[bool]:
    """The library for Python."""

    def verifies(one: Request) -> bool:
        try:
            key = one.secret if one.secret.startswith("whsec_") else one.secret.encode()
            Webhook(key).verify(one.body, one.standard())
        except WebhookVerificationError:
            return False
        return True

    return [verifies(one) for one in requests]


def by_us(requests: list[Request]) -> list[bool]:
    """The helper of our own client package."""

    def verifies(one: Request) -> bool:
        try:
            ours.verify(one.body, one.headers, one.secret)
        except ours.WebhookVerificationError:
            return False
        return True

    return [verifies(one) for one in requests]


class Node:
    """Libraries for JavaScript, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def by(self, library: str) -> Verify:
        def verify(requests: list[Request]) -> list[bool]:
            asked = [
                {"library": library, "secret": one.secret, "body": one.body, "headers": one.standard()}
                for one in requests
            ]
            return [answer["ok"] for answer in self.answers(asked)]

        return verify

    def answers(self, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        driver = shutil.copy(DRIVER, self._folder)
        done = subprocess.run(
            ["node", driver], input=json.dumps(asked), capture_output=True, text=True, check=True, timeout=60
        )
        answered: list[dict[str, Any]] = json.loads(done.stdout)
        return answered


@pytest.fixture(scope="module")
def node(scale, tmp_path_factory) -> Iterator[Node | str]:
    """The libraries, or why they are not here."""
    if scale.name == "short":
        yield "they are fetched by `make prove`"
        return
    if shutil.which("npm") is None:
        yield "node is not installed"
        return
    folder = tmp_path_factory.mktemp("node")
    install = [
        "npm",
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
        folder,
        *PACKAGES.values(),
    ]
    done = subprocess.run(install, capture_output=True, text=True, check=False, timeout=120)
    yield Node(folder) if done.returncode == 0 else "npm could not fetch them"
    shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Sample:
    """What is to verify, and what is not."""

    real: list[Request]
    false: list[Request]


@pytest.fixture
async def sample(scale, quiet) -> Sample:
    chance, now = random.Random(6), int(time.time())
    told = [one for secret in SECRETS for one in await deliveries(secret)]
    real = told + [rotating(chance, now) for _ in range(scale.pick(short=50, prove=500, full=5_000))]
    return Sample(real, [forged(one, chance) for one in real])


def judge(book, sample: Sample, library: str, verify: Verify) -> None:
    """A library takes every real one and no forged one."""
    refused, taken = verify(sample.real).count(False), verify(sample.false).count(True)
    book.figure("W6", f"of {len(sample.real):,} of our deliveries, those that {library} refuses", refused, exactly=0)
    book.figure("W6", f"of {len(sample.false):,} forged ones, those that {library} takes", taken, exactly=0)


async def test_what_we_deliver_verifies_with_the_library_for_python(scale, book, sample):
    """And with our own helper, which judges alike."""
    judge(book, sample, "standardwebhooks for Python", by_standardwebhooks)
    judge(book, sample, "our own helper", by_us)


async def test_what_we_deliver_verifies_with_the_libraries_for_javascript(scale, book, sample, node):
    """As receivers written in JavaScript check it."""
    for library, pinned in PACKAGES.items():
        if isinstance(node, str):
            book.left_out("W6", f"our deliveries, verified by {library} for JavaScript", why=node)
        else:
            judge(book, sample, f"{pinned} for JavaScript", node.by(library))


def signatures(library: str, node: Node | None, bodies: list[tuple[str, str]], now: int) -> list[str]:
    """What a library signs: for each secret and body."""
    if node is None:
        keys = [secret if secret.startswith("whsec_") else secret.encode() for secret, _ in bodies]
        moment = datetime.fromtimestamp(now, tz=UTC)
        return [Webhook(key).sign("evt_1", moment, body) for key, (_, body) in zip(keys, bodies, strict=True)]
    asked = [
        {"library": library, "secret": secret, "body": body, "id": "evt_1", "timestamp": now} for secret, body in bodies
    ]
    return [answer["signature"] for answer in node.answers(asked)]


def test_what_others_sign_verifies_with_our_helper(scale, book, node):
    """Whoever sends in our format is understood by our client package."""
    now, chance = int(time.time()), random.Random(7)
    bodies = [
        (chance.choice(SECRETS), json.dumps(EVENT | {"reason": chance.choice(NAMES)}, ensure_ascii=False))
        for _ in range(scale.pick(short=30, prove=300, full=3_000))
    ]
    libraries: dict[str, Node | None] = {"standardwebhooks for Python": None}
    if isinstance(node, Node):
        libraries |= dict.fromkeys(PACKAGES, node)
    for library, where in libraries.items():
        made = [
            Request(
                text, {"webhook-id": "evt_1", "webhook-timestamp": str(now), "webhook-signature": signature}, secret
            )
            for (secret, text), signature in zip(bodies, signatures(library, where, bodies, now), strict=True)
        ]
        name = library if where is None else f"{PACKAGES[library]} for JavaScript"
        refused = by_us(made).count(False)
        book.figure(
            "W6", f"of {len(made)} requests signed by {name}, those that our helper refuses", refused, exactly=0
        )


def test_the_published_vectors_are_those_that_we_are_tested_with(book):
    """The file that other people test their receivers with is the one that we test ourselves with."""
    tested = ROOT / "tests" / "unit" / "webhooks" / "vectors.json"

    wrong = [
        vector["name"]
        for vector in VECTORS
        if vector["headers"]
        != signed(
            event_id=vector["id"],
            timestamp=vector["timestamp"],
            body=vector["body"].encode(),
            secrets=vector["secrets"],
            correlation_id=vector["correlationId"],
        )
    ]

    assert tested.read_bytes() == PUBLISHED.read_bytes()
    book.figure(
        "W6", f"of {len(VECTORS)} published vectors, those that we do not send like that", len(wrong), exactly=0
    )
