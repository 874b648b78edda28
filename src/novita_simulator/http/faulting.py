"""Faults on a real connection.

`deliver` sends the answer of a call, spoiled in the way a fault says. The call's effect is a function handed in, so that it is plain here
whether the world changed before the answer was lost or not at all.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from aiohttp import web

from novita_simulator.errors import Refusal
from novita_simulator.faults import NEEDS_ANSWER, Fault
from novita_simulator.http.reply import Reply, refusal_reply

Effect = Callable[[], Reply]

_LIST_KEYS = ("data", "instances", "jobs", "template", "bills")
_REASONS = {
    400: "REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "RESOURCE_NOT_FOUND",
    429: "RATE_LIMIT_EXCEEDED",
}
_HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr>nginx</body></html>"
_FLOOD_BLOCK = b" " * 65_536


async def deliver(
    request: web.Request, fault: Fault | None, *, effect: Effect, closing: asyncio.Event
) -> web.StreamResponse:
    """Answer the request; `closing` ends whatever would otherwise wait."""
    if fault is None:
        return effect().response()
    if fault.mode == "slow":
        return await _slow(fault, effect, closing)
    reply = effect() if _takes_effect(request, fault) else None
    if fault.mode == "reset":
        return _reset(request)
    if fault.mode == "hang":
        return await _hang(request, fault, closing)
    if fault.mode == "drip":
        return await _drip(request, fault, reply or Reply(), closing)
    if fault.mode == "flood":
        return await _flood(request, fault, closing)
    return spoil(fault, reply, request.path_qs).response()


def spoil(fault: Fault, reply: Reply | None, path: str) -> Reply:
    """The reply that a fault leaves; `reply` is the true one when the call took effect."""
    if fault.mode == "status":
        return _error(fault)
    if fault.mode == "html":
        title = f"{fault.status} Bad Gateway"
        return Reply(
            status=fault.status,
            body=_HTML.format(title).encode(),
            content_type="text/html",
            headers=_retry_after(fault),
        )
    if fault.mode == "malformed":
        return Reply(status=fault.status, body=b'{"instances": [{"id": "37d3", status: runn')
    if reply is None or reply.status != 200:
        return reply or Reply()
    return replace(reply, body=_spoiled_body(fault, reply.body, path))


def _spoiled_body(fault: Fault, body: bytes, path: str) -> bytes:
    if fault.mode == "truncate":
        return body[: len(body) // 2]
    if fault.mode == "stale":
        return fault.frozen.setdefault(path, body)
    value = json.loads(body or b"{}")
    if fault.mode == "wrong-types":
        return json.dumps(_twist(value)).encode()
    shortened = _without_items(value, keep_some=fault.mode == "short-list")
    return json.dumps(shortened).encode() if shortened is not None else b""


def _without_items(value: object, *, keep_some: bool) -> object | None:
    """A list answer without its items, or without its last third; None when it is not a list answer."""
    key = next((k for k in _LIST_KEYS if isinstance(value, dict) and isinstance(value.get(k), list)), None)
    if key is None or not isinstance(value, dict):
        return value if keep_some else None
    items = value[key]
    if keep_some:
        return value | {key: items[: len(items) - max(1, len(items) // 3)]}
    return value | {key: []} | ({"total": 0} if "total" in value else {})


def _twist(value: object) -> object:
    if isinstance(value, dict):
        return {key: _twist(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_twist(item) for item in value]
    if isinstance(value, bool) or value is None:
        return "maybe"
    return 7 if isinstance(value, str) else "seven"


def _error(fault: Fault) -> Reply:
    reason = fault.reason or _REASONS.get(fault.status, "UNKNOWN")
    refusal = Refusal(fault.status, reason, f"{reason}: scripted fault")
    return refusal_reply(refusal, headers=_retry_after(fault))


def _retry_after(fault: Fault) -> dict[str, str]:
    return {"Retry-After": fault.retry_after} if fault.retry_after else {}


def _takes_effect(request: web.Request, fault: Fault) -> bool:
    """A GET changes nothing, so its true answer may be made in any mode."""
    return fault.after_effect or fault.mode in NEEDS_ANSWER or request.method == "GET"


async def _slow(fault: Fault, effect: Effect, closing: asyncio.Event) -> web.Response:
    """Late, but whole; the effect comes at the end of the wait unless it is to come before the fault."""
    reply = effect() if fault.after_effect else None
    await _pause(fault.seconds or 0, closing)
    return (reply or effect()).response()


def _reset(request: web.Request) -> web.Response:
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


async def _hang(request: web.Request, fault: Fault, closing: asyncio.Event) -> web.Response:
    """Say nothing; then the connection goes without an answer."""
    await _pause(fault.seconds, closing)
    return _reset(request)


async def _drip(request: web.Request, fault: Fault, reply: Reply, closing: asyncio.Event) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_type = reply.content_type
    response.content_length = len(reply.body)
    await response.prepare(request)
    with suppress(ConnectionError):  # the caller may give up at any byte
        for index in range(len(reply.body)):
            if closing.is_set():
                return _reset(request)
            await response.write(reply.body[index : index + 1])
            await _pause(fault.seconds or 0, closing)
        await response.write_eof()
    return response


async def _flood(request: web.Request, fault: Fault, closing: asyncio.Event) -> web.StreamResponse:
    """White space, which may stand before any JSON, without end or for `seconds`."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    loop = asyncio.get_running_loop()
    end = loop.time() + fault.seconds if fault.seconds else float("inf")
    with suppress(ConnectionError):  # the caller has had enough
        while not closing.is_set() and loop.time() < end:
            await response.write(_FLOOD_BLOCK)
        await response.write_eof()
    return response


async def _pause(seconds: float | None, closing: asyncio.Event) -> None:
    """Wait so long (None: for ever), or until the simulator closes."""
    try:
        await asyncio.wait_for(closing.wait(), seconds)
    except TimeoutError:
        return
