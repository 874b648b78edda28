"""The signatures are those that the published libraries check (promise W6)."""

import base64
import hashlib
import hmac
import json
import secrets as chance
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from novitai.webhooks.signature import headers, standard_key

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text("utf-8"))["vectors"]
BODY = '{"id":"evt_1","type":"test.ping","reason":"héllo ✓"}'.encode()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_every_published_vector_is_what_we_send(vector):
    """The file in the docs is not an example but a contract."""
    sent = headers(
        event_id=vector["id"],
        timestamp=vector["timestamp"],
        body=vector["body"].encode(),
        secrets=vector["secrets"],
        correlation_id=vector["correlationId"],
    )

    assert sent == vector["headers"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_every_published_vector_is_what_the_standard_library_signs(vector):
    """The standard signature of each secret, made by `standardwebhooks` itself."""
    moment = datetime.fromtimestamp(vector["timestamp"], tz=UTC)

    signatures = [
        Webhook(secret if secret.startswith("whsec_") else secret.encode()).sign(vector["id"], moment, vector["body"])
        for secret in vector["secrets"]
    ]

    assert vector["headers"].get("webhook-signature", "").split() == signatures


def test_the_standard_library_accepts_what_we_send():
    """A receiver needs nothing of ours."""
    now = int(datetime.now(tz=UTC).timestamp())

    sent = headers(event_id="evt_1", timestamp=now, body=BODY, secrets=[SECRET])

    assert Webhook(SECRET).verify(BODY, sent)["id"] == "evt_1"


def test_while_a_secret_changes_receivers_with_either_one_accept():
    """Old and new secret both sign; the older header is made with the current one."""
    now = int(datetime.now(tz=UTC).timestamp())
    new, old = ("whsec_" + base64.b64encode(chance.token_bytes(32)).decode() for _ in range(2))

    sent = headers(event_id="evt_1", timestamp=now, body=BODY, secrets=[new, old])

    assert Webhook(new).verify(BODY, sent)
    assert Webhook(old).verify(BODY, sent)
    assert sent["X-Webhook-Signature"] == "sha256=" + hmac.new(new.encode(), BODY, hashlib.sha256).hexdigest()


def test_the_older_header_uses_the_whole_secret_as_its_key():
    """As the predecessor's receivers check it: no prefix is cut, nothing is decoded."""
    sent = headers(event_id="evt_1", timestamp=1, body=BODY, secrets=[SECRET])

    assert sent["X-Webhook-Signature"] == "sha256=" + hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()


def test_without_a_secret_the_attempt_is_unsigned_but_still_identified():
    """No signature rather than a wrong one."""
    sent = headers(event_id="evt_1", timestamp=7, body=BODY, secrets=[], correlation_id="c-1")

    assert sent == {
        "webhook-id": "evt_1",
        "webhook-timestamp": "7",
        "X-Webhook-Id": "evt_1",
        "X-Webhook-Timestamp": "7",
        "X-Correlation-ID": "c-1",
    }


def test_an_id_with_a_dot_is_refused():
    """`a.1` at time 2 would sign the same text as `a` at time 1.2."""
    with pytest.raises(ValueError, match="dot"):
        headers(event_id="evt.1", timestamp=1, body=BODY, secrets=[SECRET])


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("whsec_" + base64.b64encode(b"k" * 32).decode(), b"k" * 32),
        ("whsec_" + base64.b64encode(b"k" * 32).decode().rstrip("="), b"k" * 32),
        ("plain words", b"plain words"),
        ("aGVsbG8=", b"aGVsbG8="),
        ("whsec_", b"whsec_"),
        ("whsec_not base64!", b"whsec_not base64!"),
        ("schlüssel", "schlüssel".encode()),
    ],
)
def test_the_standard_key_is_the_base64_after_the_prefix_else_the_secret_itself(secret, key):
    """Any text works as a secret; what follows the prefix is decoded only when it is base64."""
    assert standard_key(secret) == key


@given(
    key=st.binary(min_size=1, max_size=64), body=st.text(st.characters(codec="utf-8")), timestamp=st.integers(0, 2**33)
)
def test_any_body_and_key_are_signed_as_the_standard_library_signs_them(key, body, timestamp):
    """No input makes a difference between the two."""
    secret = "whsec_" + base64.b64encode(key).decode()

    sent = headers(event_id="evt_1", timestamp=timestamp, body=body.encode(), secrets=[secret])

    moment = datetime.fromtimestamp(timestamp, tz=UTC)
    assert sent["webhook-signature"] == Webhook(secret).sign("evt_1", moment, body)
