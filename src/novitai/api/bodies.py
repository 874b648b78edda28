"""Reading a request's body: bounded in size and time, and JSON in the narrow sense before anything else looks at it.

What Python's reader lets through and others choke on is refused here by name: NaN, depth, numbers beyond 64 bits, lone surrogates, NUL,
a field given twice. So nothing behind this line can be surprised by a value that no store or receiver could hold.
"""

import asyncio
import json
import math
import re
from typing import Any, NoReturn

from starlette.requests import Request

from novitai.api.problems import Malformed
from novitai.api.validation import field_path
from novitai.domain.errors import Code, Refusal, invalid

MOST_BYTES = 1024 * 1024
ARRIVAL_SECONDS = 30.0
"""In which a whole body must have arrived, however it is dripped."""
MOST_DEPTH = 32
INT64 = (-(2**63), 2**63 - 1)
_TOKENS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_HALVES = re.compile("[\ud800-\udfff]")
MOST_DIGITS = 400  # any number that means something is shorter, and longer ones cost time to read


class TooSlow(Malformed):
    """A body that did not arrive in time."""

    status = 408


async def read_body(request: Request, *, seconds: float = ARRIVAL_SECONDS) -> bytes:
    """The whole body. Raises Refusal PAYLOAD_TOO_LARGE as soon as that is known, TooSlow when it takes longer than `seconds`."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and (len(declared) > 12 or int(declared) > MOST_BYTES):
        raise _too_large()
    try:
        async with asyncio.timeout(seconds):
            return await _collect(request)
    except TimeoutError:
        raise TooSlow(f"the body did not arrive within {seconds:g} seconds") from None


async def _collect(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MOST_BYTES:
            raise _too_large()
        chunks.append(chunk)
    return b"".join(chunks)


def is_json(content_type: str) -> bool:
    """Whether a content type promises JSON; so does none at all."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in {"", "application/json"} or (kind.startswith("application/") and kind.endswith("+json"))


def read_json(body: bytes) -> Any:
    """The value of a body that is not empty. Raises Malformed (400) for what is no JSON, Refusal (422) for what breaks a limit."""
    text = _text(body)
    _check_depth(text)
    try:
        value = json.loads(
            text, parse_constant=_no_constant, parse_int=_integer, parse_float=_float, object_pairs_hook=_object
        )
    except json.JSONDecodeError as error:
        message = f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise Malformed(message) from None
    _check_texts(value)
    return value


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("the body is not UTF-8") from None


def _check_depth(text: str) -> None:
    """Count brackets outside of strings: the reader itself would use the stack for each."""
    depth = 0
    for token in _TOKENS.finditer(text):
        first = token[0][0]
        if first in "{[":
            depth += 1
            if depth > MOST_DEPTH:
                raise invalid("body", f"nests deeper than {MOST_DEPTH} levels")
        elif first != '"':
            depth -= 1


def _check_texts(value: Any, *path: str | int) -> None:
    """`path` is put together only when something is wrong: names can be long and values many."""
    if isinstance(value, str):
        if "\0" in value:
            raise invalid(field_path(("body", *path)), "holds a NUL character")
        if _HALVES.search(value):
            raise invalid(field_path(("body", *path)), "holds half of a character (a lone surrogate)")
    elif isinstance(value, dict):
        for name, held in value.items():
            _check_texts(name, *path)
            _check_texts(held, *path, name)
    elif isinstance(value, list):
        for index, held in enumerate(value):
            _check_texts(held, *path, index)


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS or not INT64[0] <= (number := int(digits)) <= INT64[1]:
        raise invalid("body", f"the number {digits[:24]}… does not fit into 64 bits")
    return number


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise invalid("body", f"the number {digits[:24]} is too large")
    return number


def _no_constant(name: str) -> NoReturn:
    raise Malformed(f"the body is not JSON: {name} is no JSON value")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held: dict[str, Any] = {}
    for name, value in pairs:
        if name in held:
            raise invalid(_printable(name), "is given twice")
        held[name] = value
    return held


def _printable(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()[:100]


def _too_large() -> Refusal:
    return Refusal(Code.PAYLOAD_TOO_LARGE, f"the body is larger than {MOST_BYTES} bytes")
