"""`novitai_client.webhooks.verify`: an event or one error, whatever comes in."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from novitai_client.webhooks import Event, WebhookVerificationError, verify

VECTORS = json.loads((Path(__file__).parents[1] / "webhooks" / "vectors.json").read_text("utf-8"))["vectors"]
SIGNED = [vector for vector in VECTORS if vector["secrets"] and vector["body"].strip() != "{ }"]

NOW = 1_800_000_000
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(32)).decode()
BODY = json.dumps(
    {
        "id": "evt_1",
        "type": "instance.ready",
        "sequence": 3,
        "instanceId": "inst_1",
        "novitaInstanceId": "nv-9",
        "status": "ready",
        "timestamp": "2027-01-15T08:00:00.250Z",
        "elapsedTime": 12_500,
        "reason": None,
        "data": {"connectionDetails": {"port": 22}},
        "addedInALaterVersion": [1, 2],
    }
).encode()


def signed(body=BODY, secret=SECRET, *, at=NOW, event_id="evt_1"):
    signature = Webhook(secret).sign(event_id, datetime.fromtimestamp(at, tz=UTC), body.decode())
    return {"webhook-id": event_id, "webhook-timestamp": str(at), "webhook-signature": signature}


def legacy(body=BODY, secret=SECRET, *, at=NOW):
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Webhook-Signature": f"sha256={digest}", "X-Webhook-Timestamp": str(at)}


def test_a_signed_event_is_read_and_unknown_fields_are_ignored():
    """Typed, in Python's spelling; a newer server may say more."""
    event = verify(BODY, signed(), SECRET, now=NOW)

    assert event == Event(
        id="evt_1",
        type="instance.ready",
        sequence=3,
        instance_id="inst_1",
        novita_instance_id="nv-9",
        status="ready",
        timestamp=datetime(2027, 1, 15, 8, 0, 0, 250_000, tzinfo=UTC),
        elapsed_time=12_500,
        reason=None,
        data={"connectionDetails": {"port": 22}},
    )


@pytest.mark.parametrize("vector", SIGNED, ids=lambda vector: vector["name"])
def test_every_published_vector_verifies_with_each_of_its_secrets(vector):
    """What the server sends, the client accepts: with either header set."""
    old_only = {name: value for name, value in vector["headers"].items() if not name.startswith("webhook-")}

    for secret in [*vector["secrets"], vector["secrets"]]:
        assert verify(vector["body"], vector["headers"], secret, now=vector["timestamp"]).type.startswith("instance.")
    assert verify(vector["body"], old_only, vector["secrets"][0], allow_legacy=True, now=vector["timestamp"])


def test_header_names_may_be_in_any_case_and_the_body_may_be_text():
    """Frameworks differ; the bytes do not."""
    shouted = {name.upper(): value for name, value in signed().items()}

    assert verify(BODY.decode(), shouted, SECRET, now=NOW).id == "evt_1"
    assert verify(bytearray(BODY), shouted, SECRET, now=NOW).id == "evt_1"


@pytest.mark.parametrize(
    ("age", "accepted"), [(0, True), (299, True), (300, True), (301, False), (-300, True), (-301, False)]
)
def test_the_tolerance_holds_in_both_directions(age, accepted):
    """300 s by default, as the standard says."""
    if accepted:
        assert verify(BODY, signed(), SECRET, now=NOW + age)
    else:
        with pytest.raises(WebhookVerificationError, match="too old or too new"):
            verify(BODY, signed(), SECRET, now=NOW + age)


def test_the_tolerance_can_be_chosen():
    """Positionally too, as published."""
    assert verify(BODY, signed(), SECRET, 3_600, now=NOW + 3_000)
    with pytest.raises(WebhookVerificationError):
        verify(BODY, signed(), SECRET, 10, now=NOW + 11)


def test_the_clock_is_the_real_one_unless_given():
    """No argument is needed in production."""
    now = int(datetime.now(tz=UTC).timestamp())

    assert verify(BODY, signed(at=now), SECRET)
    with pytest.raises(WebhookVerificationError):
        verify(BODY, signed(at=now - 1_000), SECRET)


def test_one_of_several_secrets_and_one_of_several_signatures_suffice():
    """Both sides can change a secret without a gap."""
    headers = signed()
    headers["webhook-signature"] = f"v1a,AAAA v1,AAAA {headers['webhook-signature']} v1,%%%"

    assert verify(BODY, headers, [OTHER, SECRET], now=NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "evt_2"},
        {"webhook-timestamp": str(NOW + 1)},
        {"webhook-signature": "v1," + base64.b64encode(bytes(32)).decode()},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v2,AAAA"},
        {"webhook-signature": "nonsense without a comma"},
        {"webhook-signature": "v1,é"},
        {"webhook-signature": ""},
        {"webhook-timestamp": "yesterday"},
        {"webhook-timestamp": "NaN"},
        {"webhook-timestamp": "1e9"},
        {"webhook-timestamp": "-5"},
        {"webhook-timestamp": "٣"},
        {"webhook-timestamp": "9" * 5_000},
        {"webhook-id": ""},
        {"webhook-id": "\ud800"},
    ],
    ids=repr,
)
def test_any_change_to_the_headers_is_refused_with_the_one_error(change):
    """Nothing that a stranger writes into a header raises anything else."""
    with pytest.raises(WebhookVerificationError):
        verify(BODY, {**signed(), **change}, SECRET, now=NOW)


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_the_whole_standard_set_is_required(missing):
    """Half a signature is none."""
    headers = signed() | legacy()
    del headers[missing]

    with pytest.raises(WebhookVerificationError, match="missing"):
        verify(BODY, headers, SECRET, now=NOW)


@pytest.mark.parametrize("body", [BODY + b" ", BODY.replace(b"ready", b"Ready"), b"", b"\xff", "\ud800"])
def test_any_change_to_the_body_is_refused(body):
    """The signature covers every byte."""
    with pytest.raises(WebhookVerificationError):
        verify(body, signed(), SECRET, now=NOW)


@pytest.mark.parametrize("secret", ["", [], [""], [SECRET, ""], "\ud800", OTHER, "wrong"])
def test_without_the_right_secret_nothing_is_accepted(secret):
    """An empty secret, say from an unset variable, is refused and never a key."""
    with pytest.raises(WebhookVerificationError):
        verify(BODY, signed(), secret, now=NOW)
    with pytest.raises(WebhookVerificationError):
        verify(BODY, legacy(secret=""), secret, allow_legacy=True, now=NOW)


@pytest.mark.parametrize("body", [b"[]", b"null", b"{}", b'{"id":1,"type":"a"}', b"not json", b"[" * 100_000])
def test_what_is_signed_but_no_event_is_refused_with_the_same_error(body):
    """A caller has one thing to catch."""
    with pytest.raises(WebhookVerificationError, match="not an event"):
        verify(body, signed(body), SECRET, now=NOW)


def test_the_older_signature_alone_is_refused_unless_it_is_allowed():
    """It can be replayed for ever, so accepting it is a decision."""
    with pytest.raises(WebhookVerificationError):
        verify(BODY, legacy(), SECRET, now=NOW)

    assert verify(BODY, legacy(), SECRET, allow_legacy=True, now=NOW).id == "evt_1"


def test_the_older_set_is_checked_for_age_when_it_tells_its_time():
    """The timestamp is not signed, but an honest sender's delay is noticed."""
    with pytest.raises(WebhookVerificationError, match="too old"):
        verify(BODY, legacy(at=NOW - 301), SECRET, allow_legacy=True, now=NOW)

    without_time = {"x-webhook-signature": legacy()["X-Webhook-Signature"].upper()}
    assert verify(BODY, without_time, SECRET, allow_legacy=True, now=NOW)


@pytest.mark.parametrize(
    "signature", ["", "sha256=", "sha256=00", "sha256=" + "0" * 64, "sha256=" + "g" * 64, "md5=" + "0" * 64]
)
def test_a_wrong_older_signature_is_refused(signature):
    """Also when it is no signature at all."""
    with pytest.raises(WebhookVerificationError):
        verify(BODY, {"X-Webhook-Signature": signature}, SECRET, allow_legacy=True, now=NOW)


def test_a_wrong_standard_signature_is_not_saved_by_a_right_older_one():
    """When both are there, the stronger one decides."""
    headers = signed(secret=OTHER) | legacy()

    with pytest.raises(WebhookVerificationError):
        verify(BODY, headers, SECRET, allow_legacy=True, now=NOW)


@given(
    body=st.binary(max_size=50) | st.text(max_size=50),
    headers=st.dictionaries(
        st.sampled_from(
            ["webhook-id", "Webhook-Timestamp", "webhook-signature", "x-webhook-signature", "x-webhook-timestamp"]
        ),
        st.text(max_size=40) | st.sampled_from([str(NOW), "v1,AAAA", "sha256=" + "0" * 64]),
    ),
    legacy_too=st.booleans(),
)
def test_no_input_raises_anything_but_the_one_error(body, headers, legacy_too):
    """A receiver with `except WebhookVerificationError` answers every stranger."""
    with pytest.raises(WebhookVerificationError):
        verify(body, headers, SECRET, allow_legacy=legacy_too, now=NOW)
