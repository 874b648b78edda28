"""What nobody sends by mistake: bodies, values, targets, headers and whole requests that have broken other servers.

Everything is data, as bytes on the wire or as values for a field; who sends it judges the answers.
"""

import itertools
import json
from collections.abc import Iterator
from typing import Any

DEEP = 100_000
TEXTS = {
    "empty": "",
    "spaces": " \t ",
    "line breaks": "a\r\nSet-Cookie: x=1\r\n\r\n",
    "right to left": "\u202eevil\u202c gnp.exe",
    "homoglyph": "\u0430dmin",
    "four bytes": "\U0001f9ff\U0001d518" * 20,
    "composed and not": "\u00e9 e\u0301",
    "zero width": "a\u200b\u200d\ufeffb",
    "line separators": "a\u2028b\u2029c\u0085d",
    "controls": "".join(map(chr, range(1, 32))) + "\x7f",
    "private and unassigned": "\ue000\U000e0001\U0010ffff\ufffe",
    "traversal": "../../../../etc/passwd",
    "SQL": "x'; DROP TABLE records; --",
    "markup": "<img src=x onerror=alert(1)>{{7*7}}${7*7}%s%n%x",
    "shell": "$(id)`id`;id|id\n&& id",
    "long": "x" * 100_000,
    "zalgo": "Z" + "\u0351\u036b\u0343" * 500,
    "looks like a number": "1e999",
    "looks like nothing": "null",
    "format": "%00%0a%0d{0.__class__}",
}
VALUES: dict[str, Any] = {
    **TEXTS,
    "null": None,
    "true": True,
    "list": [],
    "object": {},
    "nested": [[[[[[{"a": [{}]}]]]]]],
    "zero": 0,
    "minus": -1,
    "below one": 1e-320,
    "fraction": 1.5,
    "just 64 bits": 2**63 - 1,
    "most 64 bits": -(2**63),
    "beyond a float's whole numbers": 2**53 + 1,
    "huge": 1e308,
    "many": list(range(3_000)),
    "names": {f"k{number}": number for number in range(500)},
}
LITERALS = {
    "NaN": "NaN",
    "infinity": "-Infinity",
    "beyond 64 bits": str(2**63),
    "5,000 digits": "9" * 5_000,
    "a long fraction": "0." + "3" * 5_000,
    "an endless exponent": "1e" + "9" * 300,
    "lone surrogate": '"\\ud800"',
    "NUL": '"a\\u0000b"',
    "leading zero": "007",
    "a comma too many": "[1,]",
    "single quotes": "'a'",
    "deep": "[" * DEEP + "]" * DEEP,
    "unended text": '"abc',
}
"""Values that Python's own writer would not write."""

BODIES: dict[str, bytes] = {
    "empty": b"",
    "spaces": b"   ",
    "no JSON": b"{not json",
    "a number": b"5",
    "null": b"null",
    "a list": b"[]",
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep in a text": json.dumps({"name": "[" * DEEP}).encode(),
    "twice": b'{"name":"a","name":"b"}',
    "not UTF-8": b'{"name":"\xff\xfe"}',
    "UTF-16": '{"name":"a"}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"name":"a"}',
    "raw surrogate": b'{"name":"\xed\xa0\x80"}',
    "overlong": b'{"name":"\xc0\xaf"}',
    "raw NUL": b'{"name":"a\x00b"}',
    "control": b'{"name":"a\nb"}',
    "unknown field": b'{"isAdmin":true,"__proto__":{"x":1},"constructor":1}',
    "lone surrogate as a name": b'{"\\ud800":1}',
    "NUL as a name": b'{"\\u0000":1}',
    "trailing": b"{}{}",
    "XML": b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
    "form": b"name=a&gpuNum=1",
    "one mebibyte and one": b'"' + b"x" * (1024 * 1024) + b'"',
    "half a mebibyte of brackets": b"[]," * 170_000,
}
TYPES = [
    "application/json",
    "text/plain",
    "application/xml",
    "multipart/form-data; boundary=x",
    "",
    "\xff",
    "application/json; charset=utf-7",
]

TARGETS = [
    "//api/instances", "/api/instances/", "/api/instances/../keys", "/api/instances/%2e%2e/keys", "/api/instances/%2F", "/api/instances/%5C",
    "/api/instances/a%00b", "/api/instances/%ff%fe", "/api/instances/%ED%A0%80", "/api/instances/%0d%0aSet-Cookie:x", "/api/instances/..;/keys",
    "/api/instances/;a=b", "/api/instances/" + "x" * 8_000, "/api/instances/%", "/api/instances/%zz", "/api/instances/%u0041", "/%c0%ae%c0%ae/etc/passwd",
    "/api/instances/\u00fc", "/.env", "/.git/config", "/actuator/env", "/api/jobs/" + "9" * 400, "/api/keys/../../x", "/api/events/%20", "/\\api\\instances",
    "/api/instances?", "/api/instances?&&&", "/api/instances??limit=1", "/?a=" + "b" * 30_000,
]  # fmt: skip
QUERIES = [
    "limit=0", "limit=-1", "limit=201", "limit=1e3", "limit=99999999999999999999", "limit=NaN", "limit=", "limit=%00", "limit=1&limit=2", "limit[]=1",
    "cursor=", "cursor=x", "cursor=%00", "cursor=" + "A" * 5_000, "cursor=eyJ4IjoxfQ", "cursor=%ff", "sort=x", "sort=-", "sort=__class__", "status=x",
    "status=ready&status=x", "label=x", "label==", "label=a=b=c", "label=" + "&label=".join(["k=v"] * 300), "name=%ED%A0%80", "name=%F0%9F%A7%BF", "name=%",
    "region=%0d%0a", "wait=ready&timeout=NaN", "wait=x", "timeout=-1", "timeout=1e400", "reveal=x", "reveal=envs&reveal=envs", "unknown=1", "format=x",
    "since=x", "since=9999-99-99", "gpuNum=0", "gpuNum=9", "rootfsSize=-1", "maxPricePerHour=NaN", "maxPricePerHour=-0", "page=-1", "pageSize=1e9",
    "startTime=9e999", "type=%27%20OR%201=1", "dryRun=maybe", "after=-9223372036854775809", "&".join(f"k{n}=1" for n in range(2_000)),
]  # fmt: skip
HEADERS: list[tuple[str, str]] = [
    *(("Idempotency-Key", value) for value in ("", " ", "x" * 256, "\xff", "a b", "a\tb", "'", "\x7f", "../x")),
    *(("Prefer", value) for value in ("wait=0", "wait=-1", "wait=1e9", "wait=99999999999999999999", "wait=", "wait=\xff", "=", ",,,,", "wait=0;" * 400)),
    *(("X-Request-ID", value) for value in ("", "a" * 4_000, "\xff", "a b", "<script>", "${jndi:ldap://x}", "%0d%0a")),
    *(("X-Correlation-ID", value) for value in ("", "a" * 129, "\x01")),
    *(("Last-Event-ID", value) for value in ("-1", "x", "9" * 400, "\xff")),
    *(("Accept", value) for value in ("", "x", "*/*;q=NaN", "text/html", "application/json;q=0", "\xff", "," * 3_000)),
    *(("Authorization", value) for value in ("", "Bearer", "Bearer \xff", "Bearer " + "x" * 9_000, "Digest a=b", "\xff" * 40, "bearer\tx")),
    *(("X-Forwarded-For", value) for value in ("\xff", "," * 5_000, "1.2.3.4, " * 800, "[::1", "unknown", "127.0.0.1\x0b")),
    *(("Forwarded", value) for value in ('for="', "for=;for=;" * 300, 'for="\\"\\"', "\xff")),
    *(("Origin", value) for value in ("null", "\xff", "https://" + "a" * 9_000)),
    *(("Accept-Encoding", value) for value in ("gzip;q=x", "\xff")),
    *(("Expect", value) for value in ("100-continue", "x")),
    *(("Range", value) for value in ("bytes=0-", "bytes=9-1,\xff")),
    *(("Host", value) for value in ("", "\xff", "a" * 5_000, "x:99999", "evil.example, x")),
    *(("Transfer-Encoding", value) for value in ("x", "chunked, chunked", "\x0bchunked", "gzip, chunked")),
    *(("Content-Length", value) for value in ("-1", "+5", "0x5", "5, 5", "1e3", "99999999999999999999", "\xb2")),
    *(("Connection", value) for value in ("upgrade", "close, x", "\xff")),
    *(("Upgrade", value) for value in ("websocket", "h2c")),
    ("Content-Encoding", "gzip"),
    ("Cookie", "a=" + "b" * 9_000),
    ("X-HTTP-Method-Override", "DELETE"),
    ("A" * 9_000, "x"),
    ("", "x"),
    ("a b", "x"),
    ("a\xff", "x"),
]  # fmt: skip

_END = b"\r\n\r\n"
RAW: dict[str, bytes] = {
    "nothing": b"",
    "line breaks": b"\r\n" * 500,
    "garbage": bytes(range(256)) * 8,
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/1.0": b"GET /healthz HTTP/1.0" + _END,
    "HTTP/9.9": b"GET /healthz HTTP/9.9\r\nHost: x" + _END,
    "no version": b"GET /healthz" + _END,
    "no target": b"GET  HTTP/1.1\r\nHost: x" + _END,
    "no host": b"GET /healthz HTTP/1.1" + _END,
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b" + _END,
    "bare line feeds": b"GET /healthz HTTP/1.1\nHost: x\n\n",
    "folded": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: a\r\n b" + _END,
    "NUL in a header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: a\x00b" + _END,
    "space before colon": b"GET /healthz HTTP/1.1\r\nHost : x" + _END,
    "a long method": b"G" * 5_000 + b" / HTTP/1.1\r\nHost: x" + _END,
    "a long target": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x" + _END,
    "a long header": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 200_000 + _END,
    "many headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 20_000 + b"\r\n",
    "length and chunks": b"POST /api/instances HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGPOST / HTTP/1.1\r\n\r\n",
    "chunks and length": b"POST /api/instances HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGPOST / HTTP/1.1\r\n\r\n",
    "two lengths": b"POST /api/instances HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "a bad chunk": b"POST /api/instances HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a negative chunk": b"POST /api/instances HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "a huge chunk": b"POST /api/instances HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n",
    "a chunk with an extension": b"POST /api/instances HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;"
    + b"a" * 60_000
    + b"\r\n{}\r\n0\r\n\r\n",
    "trailers": b"POST /api/instances HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: Bearer x\r\n\r\n",
    "pipelined": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 200,
    "pipelined after a refusal": b"POST /api/instances HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x" + _END,
    "absolute": b"GET http://127.0.0.1:1/healthz HTTP/1.1\r\nHost: x" + _END,
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: x" + _END,
}
METHODS = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "PROPFIND",
    "M-SEARCH",
    "SOURCE",
    "BREW",
]


def mutations(body: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The body with one field after the other, inner ones too, replaced by each nasty value; as bytes, with a name."""
    for path in _paths(body):
        for name, value in VALUES.items():
            yield f"{'.'.join(map(str, path))} = {name}", json.dumps(_with(body, path, value)).encode()
        for name, literal in LITERALS.items():
            yield (
                f"{'.'.join(map(str, path))} = {name}",
                json.dumps(_with(body, path, "\u2603")).replace('"\\u2603"', literal).encode(),
            )


def request(method: str, target: str, *headers: tuple[str, str], body: bytes = b"", length: bool = True) -> bytes:
    """A request as bytes, whatever is in it; the connection ends with it."""
    sent = [("Host", "x"), ("Connection", "close"), *([("Content-Length", str(len(body)))] if length and body else [])]
    named = {name.lower() for name, _ in headers}
    lines = [*((name, value) for name, value in sent if name.lower() not in named), *headers]
    head = [f"{method} {target} HTTP/1.1", *itertools.starmap("{}: {}".format, lines)]
    return "\r\n".join(head).encode("utf-8" if "\u00fc" in target else "latin-1") + _END + body


def _paths(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in inner:
        yield (*at, key)
        yield from _paths(held, (*at, key))


def _with(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    if not path:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _with(value[path[0]], path[1:], new)
    return copy
