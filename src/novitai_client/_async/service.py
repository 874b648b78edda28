"""Calls about the server itself: its jobs, keys, health, figures, and its view of Novita."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from novitai_client._answers import Paged
from novitai_client._async.connection import Connection
from novitai_client._calls import given, moment, path
from novitai_client.models import CreatedKey, Health, Job, JobPage, Key, KeyLimits


class _Keys(Paged, frozen=True, kw_only=True):
    keys: tuple[Key, ...]


class ServiceCalls(Connection):
    """Calls about the server itself."""

    async def jobs_page(
        self,
        *,
        job_type: str | None = None,
        status: str | None = None,
        priority: str | None = None,
        instance: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> JobPage:
        """One page of the server's jobs, live ones and finished ones."""
        query = {
            "type": job_type,
            "status": status,
            "priority": priority,
            "instanceId": instance,
            "limit": limit,
            "cursor": cursor,
        }
        return await self._get(JobPage, path("jobs"), query)

    async def jobs(
        self,
        *,
        job_type: str | None = None,
        status: str | None = None,
        priority: str | None = None,
        instance: str | None = None,
    ) -> AsyncIterator[Job]:
        """Every job that fits, page after page as you go on."""
        cursor = None
        while True:
            page = await self.jobs_page(
                job_type=job_type, status=status, priority=priority, instance=instance, cursor=cursor
            )
            for job in page.jobs:
                yield job
            cursor = page.next_cursor
            if not cursor:
                return

    async def job(self, job_id: str) -> Job:
        """One job. Raises NotFound."""
        return await self._get(Job, path("jobs", job_id))

    async def job_stats(self) -> dict[str, Any]:
        """Counts by type and status, the age of the oldest pending one, jobs done per minute; as the API gives them."""
        return await self._get(dict[str, Any], path("jobs", "stats"))

    async def retry_job(self, job_id: str) -> dict[str, Any]:
        """Try a job again now."""
        return await self._change(dict[str, Any], "POST", path("jobs", job_id, "retry"))

    async def cancel_job(self, job_id: str) -> dict[str, Any]:
        """Give a job up. Raises Conflict for the work of an instance, which is never given up."""
        return await self._change(dict[str, Any], "POST", path("jobs", job_id, "cancel"))

    async def upstream(self) -> dict[str, Any]:
        """The server's view of Novita, per client: reachable, breaker, limiter, latency; as the API gives it."""
        return await self._get(dict[str, Any], path("upstream"))

    async def health(self) -> Health:
        """How the server is. An unhealthy server is an answer here, no error."""
        return await self._get(Health, "/health", accepted=frozenset({503}))

    async def metrics(self) -> dict[str, Any]:
        """The server's figures, as the API gives them."""
        return await self._get(dict[str, Any], path("metrics"))

    async def keys(self) -> tuple[Key, ...]:
        """The server's API keys, without their texts. Needs an admin key, as the other calls about keys do."""
        pages = self._pages(_Keys, path("keys"))
        return tuple([one async for page in pages for one in page.keys])

    async def create_key(
        self,
        name: str,
        *,
        scope: str | None = None,
        expires_at: datetime | None = None,
        limits: KeyLimits | None = None,
    ) -> CreatedKey:
        """Make a key. Its text is in `key` of the answer and cannot be read again."""
        body = given({"name": name, "scope": scope, "expiresAt": moment(expires_at), "limits": limits})
        return await self._change(CreatedKey, "POST", path("keys"), body)

    async def revoke_key(self, key_id: str) -> None:
        """End a key; requests with it are refused from now on."""
        await self._order("DELETE", path("keys", key_id))
