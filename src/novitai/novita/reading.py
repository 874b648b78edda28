"""Reading Novita's JSON as loosely as it really comes (novita-wire.md 1.2).

It is protobuf-like: 64-bit numbers are strings, unset texts are `""`, lists may be `null`, messages may be missing, and
single fields differ between documents and reality. So a scalar is taken in any form, a nested thing stays raw until
someone wants it, and a list is read record by record: one record that makes no sense costs that record, not the page.
"""

from typing import TypeVar

import msgspec

Scalar = str | int | float | bool | None
ABSENT = msgspec.Raw(b"null")
"""A nested thing that was left out, which is the same as one that is null."""

T = TypeVar("T")

_TOP = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[msgspec.Raw] | None)
_LIST = msgspec.json.Decoder(list[msgspec.Raw] | None)
_SCALAR: msgspec.json.Decoder[Scalar] = msgspec.json.Decoder(Scalar)
_LARGEST = 2**63 - 1


class Unreadable(ValueError):
    """An answer that cannot be understood: not JSON, another shape, or without what it must have."""


class EmptyRecord(Unreadable):
    """A record in which nothing is set: what a service of this kind may answer for a thing that it does not have."""


class Rows(msgspec.Struct, frozen=True):
    """The records of a list answer, each still raw, and Novita's own count (None when it gave none)."""

    items: list[msgspec.Raw]
    total: int | None


def rows(body: bytes, key: str) -> Rows:
    """A list under `key`, or a bare list. Raises Unreadable.

    A list that is missing counts as empty only when `total` says 0: an empty object is no proof of an empty account.
    """
    top = _decode(_TOP, body)
    if isinstance(top, list):
        return Rows(items=top, total=None)
    top = top or {}
    total = _count(top.get("total", ABSENT))
    if key not in top and total != 0:
        raise Unreadable(f"the answer has no {key!r}")
    items = _decode(_LIST, top[key]) if key in top else []
    return Rows(items=items or [], total=total)


def record(body: bytes | msgspec.Raw, shape: type[T]) -> T:
    """One object. Raises Unreadable."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not a {shape.__name__}: {type(error).__name__}") from None


def is_blank(body: bytes) -> bool:
    """Whether this is an object in which nothing is set: unset values are left out, or `""`, `"0"`, 0, false, null."""
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and _unset(found)


def part(raw: msgspec.Raw, shape: type[T]) -> T | None:
    """A nested object, or None when it is missing or of another shape."""
    try:
        return msgspec.json.decode(raw, type=shape)
    except (ValueError, RecursionError):
        return None


def parts(raw: msgspec.Raw, shape: type[T]) -> list[T]:
    """A nested list without the items that make no sense; empty when it is missing or no list."""
    items = part(raw, list[msgspec.Raw]) or []
    return [item for item in (part(one, shape) for one in items) if item is not None]


def check_json(body: bytes) -> None:
    """An answer whose content does not matter: empty, or any JSON. Raises Unreadable for anything else (HTML)."""
    if body.strip():
        record(body, msgspec.Raw)


def number(value: Scalar) -> int | None:
    """A number that may have come as text; None for what is none, or is beyond 64 bits."""
    if isinstance(value, str):
        value = _parse(value.strip())
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = int(value)
    except (ValueError, OverflowError):  # NaN, infinity
        return None
    return found if abs(found) <= _LARGEST else None


def whole(value: Scalar) -> int:
    """A number where 0 stands for none."""
    return number(value) or 0


def moment(value: Scalar) -> float:
    """Unix seconds; 0.0 for `""`, `"0"` and `"-1"`, which all mean "none" (novita-wire.md 1.2, 3.5)."""
    return float(max(0, whole(value)))


def text(value: Scalar) -> str:
    """Text that may have come as a number (ids do); `""` for what is none."""
    if value is None or isinstance(value, bool):
        return ""
    return str(value)


def _decode(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    try:
        return decoder.decode(body)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not the JSON that was expected: {type(error).__name__}") from None


def _unset(value: object) -> bool:
    if isinstance(value, dict):
        return all(_unset(inner) for inner in value.values())
    return value in ("", "0", 0, None, []) or value is False


def _count(raw: msgspec.Raw) -> int | None:
    """How many there are in all. A count that is none would let a part pass for the whole, so it is unreadable."""
    written = _decode(_SCALAR, raw)
    count = number(written)
    if written is not None and (count is None or count < 0):
        raise Unreadable("the total is not a number")
    return count


def _parse(digits: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(digits)
        except ValueError:
            continue
    return None
