"""The headers that let a receiver trust a webhook: Standard Webhooks, and the older set beside it.

Pure. The bytes signed are the bytes sent; the id and the timestamp are inside the standard signature, so neither can be
replayed or changed. The older `X-Webhook-Signature` covers the body alone and is kept for receivers that already check
it.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

_PREFIX = "whsec_"


def headers(
    *, event_id: str, timestamp: int, body: bytes, secrets: Sequence[str], correlation_id: str | None = None
) -> dict[str, str]:
    """Both header sets for one attempt (api.md section 3).

    `timestamp` is the attempt's, in Unix seconds; `secrets` has the current one first and, while it is being changed,
    the earlier ones after it. Without secrets the attempt is unsigned. Raises ValueError for an id with a dot, which
    would make the signed text ambiguous.
    """
    if "." in event_id:
        raise ValueError("an event id contains no dot")
    result = {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "X-Webhook-Id": event_id,
        "X-Webhook-Timestamp": str(timestamp),
    }
    if correlation_id is not None:
        result["X-Correlation-ID"] = correlation_id
    if secrets:
        signed = b"%s.%d.%s" % (event_id.encode(), timestamp, body)
        result["webhook-signature"] = " ".join(_standard(secret, signed) for secret in secrets)
        result["X-Webhook-Signature"] = "sha256=" + _mac(secrets[0].encode(), body).hex()
    return result


def standard_key(secret: str) -> bytes:
    """The key of the standard signature: what follows `whsec_`, decoded from base64, else the secret's own bytes."""
    if secret.startswith(_PREFIX):
        encoded = secret.removeprefix(_PREFIX)
        try:
            key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if key:
            return key
    return secret.encode()


def _standard(secret: str, signed: bytes) -> str:
    return "v1," + base64.b64encode(_mac(standard_key(secret), signed)).decode()


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()
