# Generated from src/novitai_client/_async/migration.py
# by scripts/generate_sync_client.py: change that file, then run the script.

"""Calls about moves: those that failed, the loop that makes them, and Novita's own jobs."""

from datetime import datetime

from novitai_client._calls import given, moment, path
from novitai_client._sync.connection import Connection
from novitai_client.models import MigrationCheck, MigrationStatus, MigrationTrigger, ProviderJobPage


class MigrationCalls(Connection):
    """Calls about moves."""

    def check_failed_migrations(self, *, immediate: bool | None = None, dry_run: bool | None = None) -> MigrationCheck:
        """Look for machines that hang in a failed migration, and replace them. `immediate` waits for what was found; `dry_run` tells
        what would be done, and does nothing.
        """
        body = given({"immediate": immediate, "dryRun": dry_run})
        return self._change(MigrationCheck, "POST", path("instances", "migration", "check-failed"), body)

    def migration_status(self) -> MigrationStatus:
        """How moves are looked after: what was done, whom they leave alone and why, how long recovery took."""
        return self._get(MigrationStatus, path("instances", "migration", "scheduler", "status"))

    def trigger_migration(self) -> MigrationTrigger:
        """Look after moves now, as a job."""
        return self._change(MigrationTrigger, "POST", path("instances", "migration", "scheduler", "trigger"))

    def novita_jobs(
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
        return self._get(ProviderJobPage, path("novita", "jobs"), query)
