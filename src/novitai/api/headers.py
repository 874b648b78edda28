"""Headers that every answer has, and those by which a browser is told whether a page of another origin may read it."""

from collections.abc import Mapping

Header = tuple[bytes, bytes]

SAFETY: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
)
HTTPS_ONLY: Header = (b"strict-transport-security", b"max-age=31536000")

METHODS = b"GET, POST, PUT, PATCH, DELETE"
SENT = b"Authorization, Content-Type, Idempotency-Key, Prefer, X-Request-ID, X-Correlation-ID, Last-Event-ID"
SHOWN = (
    b"X-Request-ID, X-Correlation-ID, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, "
    b"Idempotency-Replayed, Preference-Applied"
)
PREFLIGHT_SECONDS = b"600"


def origin_headers(origin: bytes | None, allowed: tuple[str, ...]) -> list[Header]:
    """CORS for an answer: empty unless the page's origin is allowed. Keys are sent by programs, never by cookies."""
    if origin is None or not allowed:
        return []
    if "*" in allowed:
        return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", SHOWN)]
    if origin.decode("latin-1") not in allowed:
        return [(b"vary", b"Origin")]
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", SHOWN),
        (b"vary", b"Origin"),
    ]


def preflight(headers: Mapping[bytes, bytes], allowed: tuple[str, ...]) -> list[Header] | None:
    """The headers that answer a browser's question before a call; None when this is no such question or the origin is not allowed."""
    if b"access-control-request-method" not in headers:
        return None
    granted = origin_headers(headers.get(b"origin"), allowed)
    if not any(name == b"access-control-allow-origin" for name, _ in granted):
        return None
    return [
        *granted,
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", SENT),
        (b"access-control-max-age", PREFLIGHT_SECONDS),
    ]
