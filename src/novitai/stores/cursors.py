"""Cursors: where a page ended, as text that means nothing to its holder and is refused anywhere else than where it was given."""

import base64
import binascii

import msgspec

_DECODER = msgspec.json.Decoder(list[str])


def pack(scope: tuple[str, ...], place: tuple[str, ...]) -> str:
    """A cursor for this place of this listing."""
    return base64.urlsafe_b64encode(msgspec.json.encode([*scope, *place])).rstrip(b"=").decode()


def unpack(scope: tuple[str, ...], cursor: str) -> tuple[str, ...]:
    """The place that was packed. Raises ValueError unless the cursor was given for exactly this scope."""
    try:
        parts = _DECODER.decode(base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
    except (msgspec.DecodeError, binascii.Error, UnicodeError) as error:
        raise ValueError("not a cursor of this listing") from error
    if tuple(parts[: len(scope)]) != scope or len(parts) == len(scope):
        raise ValueError("not a cursor of this listing")
    return tuple(parts[len(scope) :])
