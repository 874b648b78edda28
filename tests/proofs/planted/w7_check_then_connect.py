"""Planted: the name is resolved and its addresses checked, and then the library is given the name, which it resolves again."""

import aiohttp
from yarl import URL

from novitai.egress.addresses import Guard
from novitai.egress.client import EgressClient
from novitai.egress.outgoing import checked_url
from support.peers import ToldResolver


class CheckThenConnect(EgressClient):
    """Careful, and then not."""

    def __init__(self, guard: Guard, resolver: ToldResolver | None) -> None:
        super().__init__(guard, connect_timeout=1.0, resolver=resolver)
        self._names = resolver

    async def _send(self, method, url, body, headers, *, deadline_seconds, max_body):
        target: URL = checked_url(url)
        for address in await self._dialler._addresses(target.raw_host or "", target.port or 80):
            self._dialler._guard.check(address)
        return await super()._send(method, url, body, headers, deadline_seconds=deadline_seconds, max_body=max_body)

    def _ready_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(resolver=self._names, force_close=True, use_dns_cache=False)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        return self._session
