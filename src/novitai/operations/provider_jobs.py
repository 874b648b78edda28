"""Novita's own jobs as they were told within the last half minute: migrations, saved images.

Whoever asks, a person or the look for failed migrations, reads through the same cache, so that a dashboard that refreshes
does not use up the limit of calls. Novita cannot be asked for the jobs of one machine (novita-wire.md 3.10), so those are
picked from all pages.
"""

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

import msgspec

from novitai.domain.errors import ProviderFailure
from novitai.operations.catalogue import upstream_refusal, upstream_timeout
from novitai.ports.coordination import Coordination, Share
from novitai.ports.provider import Call, Provider, ProviderJob, ProviderJobQuery, ProviderJobs

CACHE, CACHE_SECONDS = "provider-jobs", 30.0
PAGE_SIZE = 100
MOST_PAGES = 10
"""Beyond this many jobs the rest is not looked at; who wants less names times."""
WAIT_SECONDS = 10.0
_WHAT = "Novita's jobs"

T = TypeVar("T")


class AllJobs(msgspec.Struct, frozen=True, kw_only=True):
    """Every job that a query fits. `complete` False: there are more, or Novita's pages did not hold what its total says."""

    jobs: tuple[ProviderJob, ...]
    source: str
    complete: bool


class ProviderJobBook:
    """See the module's text."""

    def __init__(self, *, provider: Provider, coordination: Coordination) -> None:
        self._provider = provider
        self._coordination = coordination

    async def page(self, query: ProviderJobQuery, *, correlation_id: str = "") -> ProviderJobs:
        """One page as Novita has it. Raises Refusal UPSTREAM_…, CIRCUIT_BREAKER_OPEN."""
        return await _in_time(self._page(query, _asked_by_somebody(correlation_id)))

    async def of_machines(
        self, machine_ids: Collection[str], query: ProviderJobQuery, *, correlation_id: str = ""
    ) -> ProviderJobs:
        """One page of the jobs of these machines, whatever page of Novita's they are on. Raises as `page` does."""
        found = await _in_time(self._all(query, _asked_by_somebody(correlation_id)))
        theirs = [job for job in found.jobs if job.instance_id in machine_ids]
        first = (query.page - 1) * query.page_size
        jobs = tuple(theirs[first : first + query.page_size])
        return ProviderJobs(jobs=jobs, total=len(theirs), source=found.source)

    async def since(self, moment: float, call: Call) -> AllJobs:
        """Every job that began at or after a moment (Unix seconds). Raises ProviderFailure."""
        return await self._all(ProviderJobQuery(start_time=max(1, int(moment))), call)

    async def _all(self, query: ProviderJobQuery, call: Call) -> AllJobs:
        known: dict[str, ProviderJob] = {}
        total, source = 0, "public"
        for number in range(1, MOST_PAGES + 1):
            page = await self._page(msgspec.structs.replace(query, page=number, page_size=PAGE_SIZE), call)
            before, total, source = len(known), max(total, page.total), page.source
            known |= {job.id: job for job in page.jobs}
            if len(known) == before or len(known) >= total:
                break
        return AllJobs(jobs=tuple(known.values()), source=source, complete=len(known) >= total)

    async def _page(self, query: ProviderJobQuery, call: Call) -> ProviderJobs:
        key = msgspec.json.encode(query).decode()
        cached = await self._coordination.cache_get(CACHE, key)
        if cached is not None:
            return msgspec.json.decode(cached.body, type=ProviderJobs)
        found = await self._provider.jobs(query, call)
        await self._coordination.cache_put(CACHE, key, msgspec.json.encode(found), ttl_seconds=CACHE_SECONDS)
        return found


async def _in_time(reading: Coroutine[Any, Any, T]) -> T:
    """The answer, or a refusal that says why there is none."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            return await reading
    except TimeoutError:
        raise upstream_timeout(_WHAT) from None
    except ProviderFailure as failure:
        raise upstream_refusal(failure, what=_WHAT) from failure


def _asked_by_somebody(correlation_id: str) -> Call:
    return Call(share=Share.ACT, longest_wait=WAIT_SECONDS, correlation_id=correlation_id)
