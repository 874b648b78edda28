"""Check that a webhook comes from your Novitai server, and read it.

    event = verify(request.body, request.headers, secret)

Pass the body as it arrived: parsing and printing JSON again changes its bytes. Events may come twice (the id is then
the same) and in another order than they happened (`sequence` counts up within an instance).
"""

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

_PREFIX = "whsec_"
_SECONDS = re.compile(r"\d{1,15}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


class WebhookVerificationError(Exception):
    """The one error of `verify`: not signed with this secret, too old or too new, or not an event. Answer with 400 or
    401.
    """


class Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One event. `elapsed_time` is in milliseconds since the operation began; fields of newer servers are ignored."""

    id: str
    type: str
    timestamp: datetime
    sequence: int = 0
    instance_id: str | None = None
    novita_instance_id: str | None = None
    status: str | None = None
    elapsed_time: float | None = None
    reason: str | None = None
    data: dict[str, Any] = {}


def verify(
    body: bytes | str,
    headers: Mapping[str, str],
    secret: str | Sequence[str],
    tolerance: float = 300,
    allow_legacy: bool = False,  # noqa: FBT001, FBT002 -- the published signature
    *,
    now: float | None = None,
) -> Event:
    """The event, when it is signed with the secret (or one of several) and at most `tolerance` seconds old or early.

    Header names may be in any case. `allow_legacy` also accepts requests that carry only `X-Webhook-Signature`: that
    signature does not cover the time, so whoever has seen such a request can send it again at any time, with a fresh
    timestamp. Without it the Standard Webhooks headers are required. `now` (Unix seconds) is for tests.

    Raises WebhookVerificationError, and nothing else, for whatever may be wrong with the request or the secret.
    """
    raw = _as_bytes(body)
    given = {str(name).lower(): str(value) for name, value in headers.items()}
    secrets = [secret] if isinstance(secret, str) else list(secret)
    if not secrets or not all(secrets):
        raise WebhookVerificationError("no secret to verify with")
    present = time.time() if now is None else now
    if allow_legacy and "webhook-signature" not in given:
        _check_legacy(raw, given, secrets, tolerance=tolerance, now=present)
    else:
        _check_standard(raw, given, secrets, tolerance=tolerance, now=present)
    return _read(raw)


def _check_standard(
    body: bytes, headers: Mapping[str, str], secrets: Sequence[str], *, tolerance: float, now: float
) -> None:
    event_id, stamp, signatures = (headers.get(f"webhook-{name}") for name in ("id", "timestamp", "signature"))
    if not event_id or not stamp or not signatures:
        raise WebhookVerificationError("webhook-id, webhook-timestamp or webhook-signature is missing")
    _check_time(stamp, tolerance=tolerance, now=now)
    signed = b"%s.%s.%s" % (_as_bytes(event_id), stamp.encode(), body)
    expected = [_mac(_standard_key(secret), signed) for secret in secrets]
    if not _any_equal(list(_candidates(signatures)), expected):
        raise WebhookVerificationError("no signature matches")


def _check_legacy(
    body: bytes, headers: Mapping[str, str], secrets: Sequence[str], *, tolerance: float, now: float
) -> None:
    signature = headers.get("x-webhook-signature", "").lower().removeprefix("sha256=")
    if not _HEX.fullmatch(signature):
        raise WebhookVerificationError("x-webhook-signature is missing or malformed")
    if stamp := headers.get("x-webhook-timestamp"):
        _check_time(stamp, tolerance=tolerance, now=now)
    expected = [_mac(_as_bytes(secret), body) for secret in secrets]
    if not _any_equal([bytes.fromhex(signature)], expected):
        raise WebhookVerificationError("no signature matches")


def _check_time(stamp: str, *, tolerance: float, now: float) -> None:
    if not _SECONDS.fullmatch(stamp):
        raise WebhookVerificationError("the timestamp is malformed")
    if abs(now - int(stamp)) > tolerance:
        raise WebhookVerificationError("the timestamp is too old or too new")


def _candidates(signatures: str) -> Iterator[bytes]:
    for signature in signatures.split():
        version, _, encoded = signature.partition(",")
        if version == "v1":
            try:
                yield base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                continue


def _any_equal(candidates: Sequence[bytes], expected: Sequence[bytes]) -> bool:
    # Every pair is compared, so the time taken does not tell which one matched.
    return sum(hmac.compare_digest(candidate, one) for candidate in candidates for one in expected) > 0


def _standard_key(secret: str) -> bytes:
    """What follows `whsec_`, decoded from base64, else the secret's own bytes."""
    if secret.startswith(_PREFIX):
        encoded = secret.removeprefix(_PREFIX)
        try:
            key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if key:
            return key
    return _as_bytes(secret)


def _as_bytes(text: bytes | str) -> bytes:
    if not isinstance(text, str):
        return bytes(text)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise WebhookVerificationError("the request or the secret is not valid text") from error


def _read(body: bytes) -> Event:
    try:
        return msgspec.json.decode(body, type=Event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WebhookVerificationError(f"signed, but not an event: {error}") from error


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()
