"""What came back: a prefix of the answer, or why there is none."""

import asyncio
from collections.abc import Iterator, Mapping

import aiohttp
import msgspec

from novitai.egress.dialling import RefusedDial
from novitai.egress.errors import BadAnswer, ConnectFailed, EgressError, InvalidUrl, TimedOut


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP answer of any status.

    Header names are in lower case, repeated ones joined by a comma; `body_prefix` is the first bytes of the body as
    they came over the wire (we ask for no compression and undo none); `elapsed_ms` counts from resolving the name to
    the last byte read.
    """

    status: int
    headers: Mapping[str, str]
    body_prefix: bytes
    elapsed_ms: float

    @classmethod
    def of(cls, response: aiohttp.ClientResponse, *, body_prefix: bytes, elapsed_ms: float) -> "Answer":
        """The answer in a response whose body has been read."""
        names = dict.fromkeys(name.lower() for name in response.headers)
        joined = {name: ", ".join(response.headers.getall(name)) for name in names}
        return cls(status=response.status, headers=joined, body_prefix=body_prefix, elapsed_ms=elapsed_ms)


async def read_prefix(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """At most `limit` bytes of the body. A longer one is left unread and its connection closed."""
    chunks = bytearray()
    while len(chunks) <= limit:
        chunk = await response.content.read(limit + 1 - len(chunks))
        if not chunk:
            return bytes(chunks)
        chunks += chunk
    response.close()
    return bytes(chunks[:limit])


def explained(error: Exception, *, host: str, deadline_seconds: float) -> EgressError:
    """Our error for one of aiohttp's (or of the sockets below it)."""
    for cause in _causes(error):
        if isinstance(cause, RefusedDial):
            return cause.refusal
    match error:
        case aiohttp.ConnectionTimeoutError():
            return TimedOut(f"no connection to {host} in time")
        case asyncio.TimeoutError():
            return TimedOut(f"no complete answer from {host} within {deadline_seconds:g} s")
        case aiohttp.ClientConnectorError():
            return ConnectFailed(f"no connection to {host}: {_in_short(error)}")
        case aiohttp.InvalidURL() | UnicodeError():
            return InvalidUrl(f"not a URL that can be called: {_in_short(error)}")
        case _:
            return BadAnswer(f"no complete HTTP answer from {host}: {_in_short(error)}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _in_short(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:200]
