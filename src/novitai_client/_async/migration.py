"""Calls about moves: those that failed, the loop that makes them, and Novita's own jobs."""

from datetime import datetime

from novitai_client._async.connection import Connection
from novitai_client._calls import given, moment, path
from novitai_client.models import MigrationCheck, MigrationStatus, MigrationTrigger, ProviderJobPage


class MigrationCalls(Connection):
    """Calls about moves."""

    async def check_failed_migrations(
        self, *, immediate: bool | None = None, dry_run: bool | None = None
    ) -> MigrationCheck:
        """Look for machines that hang in a failed migration, and replace them. `immediate` waits for what was found; `dry_run` tells
        what would be done, and does nothing.
        """
        body = given({"immediate": immediate, "dryRun": dry_run})
        return await self._change(MigrationCheck, "POST", path("instances", "migration", "check-failed"), body)

    async def migration_status(self) -> MigrationStatus:
        """How moves are looked after: what was done, whom they leave alone and why, how long recovery took."""
        return await self._get(MigrationStatus, path("instances", "migration", "scheduler", "status"))

    async def trigger_migration(self) -> MigrationTrigger:
        """Look after moves now, as a job."""
        return await self._change(MigrationTrigger, "POST", path("instances", "migration", "scheduler", "trigger"))

    async def novita_jobs(
        self,
        *,
        job_type: str | None = None,
        state: str | None = None,
        instance: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page: int | None = None,
        page_size: int | None = None,
    ) -> ProviderJobPage:
        """Novita's own jobs, such as migrations; at most half a minute old."""
        query = {
            "type": job_type,
            "state": state,
            "instanceId": instance,
            "startTime": moment(since),
            "endTime": moment(until),
            "page": page,
            "pageSize": page_size,
        }
        return await self._get(ProviderJobPage, path("novita", "jobs"), query)
