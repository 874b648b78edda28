"""Planted: the host that was asked for is judged with care; redirects and proxies are left to the library, which follows both."""

import aiohttp

from novitai.egress.addresses import Guard
from novitai.egress.answers import Answer, explained
from novitai.egress.client import EgressClient
from novitai.egress.outgoing import checked_url
from support.peers import ToldResolver


class LeavesItToTheLibrary(EgressClient):
    """Judges the beginning of the way."""

    def __init__(self, guard: Guard, resolver: ToldResolver | None) -> None:
        super().__init__(guard, connect_timeout=1.0, resolver=resolver)

    async def _send(self, method, url, body, headers, *, deadline_seconds, max_body):
        target = checked_url(url)
        for address in await self._dialler._addresses(target.raw_host or "", target.port or 80):
            self._dialler._guard.check(address)
        timeout = aiohttp.ClientTimeout(total=deadline_seconds)
        try:
            async with (
                aiohttp.ClientSession(trust_env=True, timeout=timeout) as session,
                session.request(method, target, data=body, headers=headers) as response,
            ):
                return Answer.of(response, body_prefix=await response.read(), elapsed_ms=0.0)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise explained(error, host=target.host or "", deadline_seconds=deadline_seconds) from error
