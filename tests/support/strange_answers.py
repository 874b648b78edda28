"""Answers as no documentation has them: what bugs, proxies, half-finished releases and malice make of a true one.

`spoiled` changes the bytes of a true answer at random; everything comes from the chance that is handed in, so a seed replays it. `unbelievable`
does the same in ways that no reader can take for a plausible other answer (the status of a machine never becomes another known one).
"""

import copy
import json
import random
from collections.abc import Callable
from typing import Any

DEEP = b"[" * 50_000 + b"]" * 50_000
HTML = b"<!doctype html><html><head><title>502 Bad Gateway</title></head><body><h1>cloudflare</h1></body></html>"
WHOLE: tuple[bytes, ...] = (
    b"",
    b" ",
    b"\x00",
    b"null",
    b"true",
    b"0",
    b'""',
    b"[]",
    b"{}",
    b"[[]]",
    b'{"":{}}',
    b"NaN",
    b"Infinity",
    b"-",
    b"\xff\xfe\x00",
    b"\xef\xbb\xbf{}",
    b"\x1f\x8b\x08\x00garbage",
    b"data: {}\n\n",
    b"<?xml version='1.0'?><error/>",
    HTML,
    DEEP,
    b'{"instances":' + DEEP + b"}",
    b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
    b'{"instances": [' + b'{"id":"a","status":"running"},' * 5_000 + b"{}]}",
    b'{"total": 9' + b"9" * 5_000 + b"}",
    b'{"instances":{},"data":{},"template":{},"jobs":{},"total":"many"}',
    b'{"instances":[null,1,"a",[],{}],"data":[null,1,"a",[],{}],"template":[null],"jobs":[0],"total":-5}',
    b'{"code":0,"reason":"","message":"ok","data":null}',
    b'{"id":{"id":"a"}}',
    b'{"id":"\\ud800","status":"\\u0000"}',
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1e308,
    10**30,
    -(2**63) - 1,
    "",
    " ",
    "hibernating",
    "\x00",
    "é" * 300,
    "9" * 400,
    "NaN",
    [],
    {},
    [[]],
    {"a": 1},
    ["x"] * 50,
)


def spoiled(body: bytes, chance: random.Random) -> bytes:
    """A true answer, changed in one of many ways."""
    return chance.choice(_ANYHOW)(body, chance)


def unbelievable(body: bytes, chance: random.Random) -> bytes:
    """The same, but never into an answer that could be true."""
    return chance.choice(_PLAINLY)(body, chance)


def _whole(_body: bytes, chance: random.Random) -> bytes:
    return chance.choice(WHOLE)


def _cut(body: bytes, chance: random.Random) -> bytes:
    return body[: chance.randrange(len(body) + 1)]


def _flipped(body: bytes, chance: random.Random) -> bytes:
    changed = bytearray(body or b"{}")
    for _ in range(chance.randint(1, 8)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _doubled(body: bytes, chance: random.Random) -> bytes:
    return body + chance.choice((b"", b"\n", b"}", b",")) + body


def _torn(body: bytes, chance: random.Random) -> bytes:
    middle, length = chance.randrange(len(body) + 1), chance.randint(1, 40)
    return body[:middle] + body[middle + length :]


def _revalued(body: bytes, chance: random.Random) -> bytes:
    return _edited(body, chance, lambda _old: copy.deepcopy(chance.choice(VALUES)))


def _without(body: bytes, chance: random.Random) -> bytes:
    return _edited(body, chance, lambda _old: _GONE)


def _of_another_type(body: bytes, chance: random.Random) -> bytes:
    """Texts become lists, numbers objects, lists and objects texts."""

    def other(old: Any) -> Any:
        return {"was": "a number"} if isinstance(old, int | float) else ["was a text"] if isinstance(old, str) else "?"

    return _edited(body, chance, other)


def _unheard_of(body: bytes, chance: random.Random) -> bytes:
    """Every status is a word that nobody knows."""
    word = chance.choice(("hibernating", "RUNNING?", "", "quantum", "0"))
    return _walked(body, lambda name, old: word if name in {"status", "spotStatus"} else old)


class _Gone:
    pass


_GONE = _Gone()


def _edited(body: bytes, chance: random.Random, change: Callable[[Any], Any]) -> bytes:
    """One to four places of the JSON, however deep, changed."""
    value = _parsed(body)
    for _ in range(chance.randint(1, 4)):
        places = list(_places(value))
        if not places:
            return json.dumps(change(value), default=str).encode()
        holder, key = chance.choice(places)
        new = change(holder[key])
        if isinstance(new, _Gone):
            del holder[key]
        else:
            holder[key] = new
    return json.dumps(value).encode()


def _walked(body: bytes, change: Callable[[str, Any], Any]) -> bytes:
    value = _parsed(body)
    for holder, key in list(_places(value)):
        if isinstance(key, str) and not isinstance(holder[key], dict | list):
            holder[key] = change(key, holder[key])
    return json.dumps(value).encode()


def _parsed(body: bytes) -> Any:
    return json.loads(body) if body.strip() else {}


def _places(value: Any) -> Any:
    """Every place inside a JSON value: what holds it, and under which key or number."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


_ANYHOW = (_whole, _cut, _flipped, _doubled, _torn, _revalued, _revalued, _without, _of_another_type, _unheard_of)
_PLAINLY = (_whole, _cut, _doubled, _of_another_type, _unheard_of)
