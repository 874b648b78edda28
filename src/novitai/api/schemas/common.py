"""What all bodies share: camelCase outside, nothing unknown inside, and the few kinds of values that occur everywhere."""

import base64
import binascii
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

MOST_IN_A_PAGE = 200


class Body(BaseModel):
    """A request's body. Unknown fields are refused; values are taken as they are, never bent into another type."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, frozen=True)


class Answer(BaseModel):
    """A response's body."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True, extra="forbid", frozen=True
    )


class Page(Answer):
    """Root of all lists. `total` counts everything that matches; `next_cursor` is null on the last page."""

    total: int
    next_cursor: str | None = None


class Query(BaseModel):
    """Root of all query strings; unknown names are refused before this is read."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class PageQuery(Query):
    """Where a page begins and how long it is."""

    limit: int = Field(default=MOST_IN_A_PAGE, ge=1, le=MOST_IN_A_PAGE)
    cursor: str | None = Field(default=None, max_length=1000, description="`nextCursor` of the page before.")


Time = Annotated[
    str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", json_schema_extra={"format": "date-time"})
]
"""ISO 8601 in UTC with milliseconds and `Z`."""

Port = Annotated[int, Field(ge=1, le=65535)]


_NEVER_SENT = re.compile(r"[\x00-\x20\x7f\\]|\s")
"""Spaces, control characters, and the backslash, which some parsers take for a slash: the guarded client sends none of them."""


def web_address(text: str) -> str:
    """An address that webhooks may be sent to. Raises ValueError with what is allowed."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("is not an address") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http or https address with a host")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password; use a secret")
    if port == 0 or not parts.hostname.isprintable() or _NEVER_SENT.search(text):
        raise ValueError("is not an address")
    return text


def webhook_secret(text: str) -> str:
    """A secret to sign with. Raises ValueError when it promises base64 and is none."""
    if text.startswith("whsec_"):
        encoded = text.removeprefix("whsec_")
        try:
            if base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True):
                return text
        except (binascii.Error, ValueError):
            pass
        raise ValueError("what follows 'whsec_' must be base64")
    return text


WebAddress = Annotated[str, Field(max_length=2048, json_schema_extra={"format": "uri"}), AfterValidator(web_address)]
WebhookSecret = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(webhook_secret)]
Line = Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""One line of text for people."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)?", re.ASCII)


def seconds(value: Any) -> float:
    """Seconds of `30s`, `10m`, `4h` or a number. Raises ValueError."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a duration such as 30s, 10m or 4h, or a number of seconds")
    return float(match[1]) * _UNITS[match[2] or "s"]


DURATION_SCHEMA = WithJsonSchema(
    {"anyOf": [{"type": "string", "pattern": r"^\d{1,9}(\.\d{1,9})?(ms|s|m|h|d)?$"}, {"type": "number"}]}
)
