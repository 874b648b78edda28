"""Pages and cursors. A cursor is opaque to its holder and refused where it was not given."""

import base64
import binascii
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from novitai.domain.errors import Refusal, invalid

T = TypeVar("T")
Place = list[str | int | float]
_DECODER = msgspec.json.Decoder(Place)


def pack(scope: str, *place: str | float) -> str:
    """A cursor for this place of this list."""
    return base64.urlsafe_b64encode(msgspec.json.encode([scope, *place])).rstrip(b"=").decode()


def unpack(scope: str, cursor: str, *, length: int) -> Place:
    """The place that was packed. Raises Refusal VALIDATION_ERROR unless the cursor was given for this list."""
    try:
        place = _DECODER.decode(
            base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        )
    except (msgspec.DecodeError, binascii.Error, UnicodeError, ValueError):
        raise not_a_cursor() from None
    if len(place) != length + 1 or place[0] != scope:
        raise not_a_cursor()
    return place[1:]


def number(place: str | float) -> int:
    """A part of a cursor that must be a number. Raises Refusal VALIDATION_ERROR."""
    if not isinstance(place, int) or not 0 <= place < 2**63:
        raise not_a_cursor()
    return place


def not_a_cursor() -> Refusal:
    """The refusal of a cursor that this list did not give."""
    return invalid("cursor", "is not a cursor of this list; use nextCursor of a page, with the same filters")


def slice_of(items: Sequence[T], scope: str, *, cursor: str | None, limit: int) -> tuple[Sequence[T], str | None]:
    """A page of a list that is in memory as a whole, and the cursor of the next one."""
    start = number(unpack(scope, cursor, length=1)[0]) if cursor is not None else 0
    end = start + limit
    return items[start:end], pack(scope, end) if end < len(items) else None
