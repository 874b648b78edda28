"""Forgets what may be forgotten: expired records, old log entries, tombstones of the change feed."""

from novitai.operations import records
from novitai.operations.audit import KEEP_SECONDS as AUDIT_KEPT_SECONDS
from novitai.operations.costs import SEGMENTS_KEPT_SECONDS
from novitai.operations.prices import KEEP_SECONDS as PRICES_KEPT_SECONDS
from novitai.ports.store import Lease, Store
from novitai.ports.world import Clock

EVENTS_DAYS = 90
JOBS_DAYS = 7
BATCH = 500
RETENTION_SECONDS = 600.0
FED_REVISIONS_KEPT = 100_000


class Retention:
    """Work of the loop `retention`."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self, _lease: Lease) -> float | None:
        """Forget a batch of each; comes back soon while there is more."""
        now = self._clock.now()
        removed = [
            await self._store.expire(limit=BATCH),
            await self._store.trim_log(records.EVENTS, before=now - EVENTS_DAYS * 86_400, limit=BATCH),
            await self._store.trim_log(records.JOBS, before=now - JOBS_DAYS * 86_400, limit=BATCH),
            await self._store.trim_log(records.AUDIT, before=now - AUDIT_KEPT_SECONDS, limit=BATCH),
            await self._store.trim_log(records.COSTS, before=now - SEGMENTS_KEPT_SECONDS, limit=BATCH),
            await self._store.trim_log(records.PRICES, before=now - PRICES_KEPT_SECONDS, limit=BATCH),
        ]
        revision = await self._store.revision()
        await self._store.trim_changes(before_revision=max(0, revision - FED_REVISIONS_KEPT))
        return 1.0 if max(removed) >= BATCH else None
