"""A store that tells listeners in this process of every acknowledged commit before the committing caller goes on.

So a read model kept by a listener holds a process's own commits before their answers are sent. Works over any engine that acknowledges in
the order of revisions; other replicas' commits come through the change feed, not through here.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from novitai.ports.store import (
    Changes,
    Claim,
    Commit,
    Committed,
    Job,
    JobCount,
    JobPage,
    Lease,
    LogPage,
    Record,
    RecordPage,
    Store,
)

Listener = Callable[[Commit, Committed], None]

log = structlog.get_logger("novitai.store")


class NotifyingStore:
    """Keeps ports.store.Store by passing everything on to another store."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Callable[[Commit, Committed], None]) -> Callable[[], None]:
        """Call `listener` after each acknowledged commit, in order of revision; returns how to stop that.

        It is called inside the event loop and must be quick. What it raises is logged: the commit stays acknowledged.
        """
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe

    async def commit(self, commit: Commit) -> Committed:
        # The listeners must hear of it even when the caller is cancelled while the engine is writing.
        writing = asyncio.ensure_future(self._commit(commit))
        writing.add_done_callback(_heard)
        return await asyncio.shield(writing)

    async def _commit(self, commit: Commit) -> Committed:
        committed = await self._inner.commit(commit)
        for listener in tuple(self._listeners):
            try:
                listener(commit, committed)
            except Exception:
                log.exception("commit_listener_failed", revision=committed.revision)
        return committed

    async def get(self, kind: str, record_id: str) -> Record | None:
        return await self._inner.get(kind, record_id)

    async def get_many(self, kind: str, record_ids: Sequence[str]) -> dict[str, Record]:
        return await self._inner.get_many(kind, record_ids)

    async def list(
        self, listing: str, partition: str, *, cursor: str | None = None, limit: int = 100, descending: bool = False
    ) -> RecordPage:
        return await self._inner.list(listing, partition, cursor=cursor, limit=limit, descending=descending)

    async def count(self, listing: str, partition: str) -> int:
        return await self._inner.count(listing, partition)

    async def changes(self, since: int, *, limit: int = 500) -> Changes:
        return await self._inner.changes(since, limit=limit)

    async def revision(self) -> int:
        return await self._inner.revision()

    async def read_log(
        self, log: str, key: str, *, after: int | None = None, limit: int = 100, descending: bool = False
    ) -> LogPage:
        return await self._inner.read_log(log, key, after=after, limit=limit, descending=descending)

    async def count_log(self, log: str, key: str) -> int:
        return await self._inner.count_log(log, key)

    async def claim(self, lane: str, *, owner: str, limit: int, lease_seconds: float) -> tuple[Claim, ...]:
        return await self._inner.claim(lane, owner=owner, limit=limit, lease_seconds=lease_seconds)

    async def renew(self, claims: Sequence[Claim], *, lease_seconds: float) -> frozenset[str]:
        return await self._inner.renew(claims, lease_seconds=lease_seconds)

    async def next_due(self, lane: str) -> float | None:
        return await self._inner.next_due(lane)

    async def job(self, job_id: str) -> Job | None:
        return await self._inner.job(job_id)

    async def live_job(self, key: str) -> Job | None:
        return await self._inner.live_job(key)

    async def jobs(self, *, cursor: str | None = None, limit: int = 100) -> JobPage:
        return await self._inner.jobs(cursor=cursor, limit=limit)

    async def job_counts(self) -> tuple[JobCount, ...]:
        return await self._inner.job_counts()

    async def acquire(self, name: str, *, owner: str, seconds: float) -> Lease | None:
        return await self._inner.acquire(name, owner=owner, seconds=seconds)

    async def release(self, lease: Lease) -> None:
        await self._inner.release(lease)

    async def expire(self, *, limit: int = 500) -> int:
        return await self._inner.expire(limit=limit)

    async def trim_log(self, log: str, *, before: float, limit: int = 500) -> int:
        return await self._inner.trim_log(log, before=before, limit=limit)

    async def trim_changes(self, *, before_revision: int) -> None:
        await self._inner.trim_changes(before_revision=before_revision)

    async def ping(self) -> None:
        await self._inner.ping()

    async def close(self) -> None:
        await self._inner.close()


def _heard(writing: asyncio.Task[Committed]) -> None:
    """A caller that was cancelled does not hear how its commit ended; that is no reason to complain."""
    if not writing.cancelled():
        writing.exception()
