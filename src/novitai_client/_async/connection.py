"""One connection to a server: sends calls, repeats those worth repeating, turns answers into values or exceptions.

Everything that is decided here is decided by pure modules beside this package; what remains is the order of things.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from random import SystemRandom
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import uuid4

import httpx2

from novitai_client._answers import Answer, Paged, failure, read
from novitai_client._calls import Call, params
from novitai_client._retries import Retries, repeatable
from novitai_client._settings import target
from novitai_client.errors import ServerAway

T = TypeVar("T")
P = TypeVar("P", bound=Paged)


class Connection:
    """What every group of calls is built on."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 30.0,
        *,
        correlation_id: str | Callable[[], str | None] | None = None,
        retries: Retries | None = None,
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        """See the client class."""
        where = target(base_url, api_key, os.environ)
        self.base_url = where.url
        self._key = where.api_key
        self._timeout = timeout
        self._correlation_id = correlation_id
        self._retries = retries or Retries()
        self._chance = SystemRandom().random
        self._owned = http is None
        self._http = http or httpx2.AsyncClient(trust_env=not where.loopback)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; an HTTP client that was handed in stays open. Closing twice is fine."""
        if self._owned:
            await self._http.aclose()

    async def _get(
        self,
        shape: type[T],
        path: str,
        query: Mapping[str, Any] | None = None,
        *,
        hold: float = 0.0,
        accepted: frozenset[int] = frozenset(),
    ) -> T:
        call = Call(method="GET", path=path, params=params(query or {}), hold=hold, accepted=accepted)
        return read(await self._send(call), shape)

    async def _pages(self, shape: type[P], path: str, query: Mapping[str, object] | None = None) -> AsyncIterator[P]:
        """Every page of a list."""
        cursor = None
        while True:
            page = await self._get(shape, path, {**(query or {}), "cursor": cursor})
            yield page
            cursor = page.next_cursor
            if not cursor:
                return

    async def _change(
        self,
        shape: type[T],
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        hold: float = 0.0,
    ) -> T:
        return read(await self._order(method, path, body, key=key, hold=hold), shape)

    async def _order(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        hold: float = 0.0,
    ) -> Answer:
        key = key or str(uuid4())
        return await self._send(Call(method=method, path=path, body=body, key=key, hold=hold, prefer_wait=hold > 0))

    async def _send(self, call: Call) -> Answer:
        started = monotonic()
        attempt = 1
        while True:
            error: Exception
            try:
                answer = await self._once(call)
            except httpx2.TransportError as lost:
                error, after, again = self._away(lost, call), None, not isinstance(lost, httpx2.ReadTimeout)
            else:
                if 200 <= answer.status < 300 or answer.status in call.accepted:
                    return answer
                failed = failure(answer, call)
                error, after = failed.error, failed.retry_after
                again = repeatable(call, status=answer.status, code=failed.code, attempt=attempt)
            pause = self._pause(attempt, since=started, after=after) if again else None
            if pause is None:
                raise error
            await asyncio.sleep(pause)
            attempt += 1

    async def _once(self, call: Call) -> Answer:
        response = await self._http.request(
            call.method,
            self.base_url + call.path,
            params=call.params,
            content=call.content(),
            headers={**self._headers(), **call.headers()},
            timeout=httpx2.Timeout(self._timeout, read=self._timeout + call.hold),
        )
        return Answer(status=response.status_code, headers=response.headers, body=response.content)

    def _headers(self) -> dict[str, str]:
        headers = {"User-Agent": "novitai-client-python"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        correlation = self._correlation_id() if callable(self._correlation_id) else self._correlation_id
        if correlation:
            headers["X-Correlation-ID"] = correlation
        return headers

    def _pause(self, attempt: int, *, since: float, after: float | None) -> float | None:
        return self._retries.pause(
            attempt=attempt, elapsed=monotonic() - since, chance=self._chance(), retry_after=after
        )

    def _away(self, lost: httpx2.TransportError, call: Call) -> ServerAway:
        if isinstance(lost, httpx2.ReadTimeout):
            what = f"did not answer within {self._timeout + call.hold:g} s"
        elif isinstance(lost, httpx2.ConnectError | httpx2.ConnectTimeout):
            what = "cannot be reached"
        else:
            what = "broke off"
        return ServerAway(
            f"the server at {self.base_url} {what}: {str(lost) or type(lost).__name__}", idempotency_key=call.key
        )
