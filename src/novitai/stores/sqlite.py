"""The SQLite engine: one process, one file, or no file at all.

WAL with `synchronous=FULL`, one writing thread with group commit, two reading threads. The lock file beside the store keeps other processes
away; so whatever is found held at opening belonged to a dead process and is free at once. In memory (for trials and tests) the same code
runs on one connection inside the event loop, without threads: it waits for no disk.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

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
    StoreUnavailable,
)
from novitai.ports.world import Clock
from novitai.stores import commits, documents, jobs, leases, logs, queries, sqlite_connection
from novitai.stores.connection import Connection
from novitai.stores.lock_file import LockFile
from novitai.stores.sqlite_connection import Reader, Writer
from novitai.stores.threads import Outcome, Threads, Worker
from novitai.stores.upgrade import bring_up_to_date

T = TypeVar("T")

_READERS = 2
# How many waiting writes may share one fsync: enough for a burst, short enough that the first of them does not wait long.
_GROUP = 64


async def open_sqlite(path: Path | None, *, clock: Clock) -> "SqliteStore":
    """Open the store of a file, made with mode 0600 when absent, or a fresh one in memory.

    Raises StoreInUse when another process serves the file, StoreUnavailable when it cannot be used, SchemaUnknown when a newer
    version of this program wrote it.
    """
    if path is None:
        return SqliteStore(_InLoop(_open_writer(None)), clock=clock)
    return SqliteStore(await asyncio.to_thread(_InThreads, path), clock=clock)


class _Runner(Protocol):
    """How work reaches the connections."""

    async def write(self, work: Callable[[Connection], T]) -> T: ...

    async def read(self, work: Callable[[Connection], T]) -> T: ...

    def close(self) -> None: ...


class SqliteStore:
    """Keeps ports.store.Store on SQLite; see there for every promise. Made by `open_sqlite`."""

    def __init__(self, runner: _Runner, *, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock
        self._closed = False

    async def commit(self, commit: Commit) -> Committed:
        return await self._write(lambda conn: commits.commit(conn, commit, self._clock.now()))

    async def get(self, kind: str, record_id: str) -> Record | None:
        return await self._read(lambda conn: queries.get(conn, kind, record_id, self._clock.now()))

    async def get_many(self, kind: str, record_ids: Sequence[str]) -> dict[str, Record]:
        return await self._read(lambda conn: queries.get_many(conn, kind, record_ids, self._clock.now()))

    async def list(
        self, listing: str, partition: str, *, cursor: str | None = None, limit: int = 100, descending: bool = False
    ) -> RecordPage:
        page = partial(queries.list_page, cursor=cursor, limit=limit, descending=descending)
        return await self._read(lambda conn: page(conn, listing, partition, now=self._clock.now()))

    async def count(self, listing: str, partition: str) -> int:
        return await self._read(lambda conn: queries.count(conn, listing, partition))

    async def changes(self, since: int, *, limit: int = 500) -> Changes:
        return await self._read(lambda conn: queries.changes(conn, since, limit, self._clock.now()))

    async def revision(self) -> int:
        return await self._read(queries.revision)

    async def read_log(
        self, log: str, key: str, *, after: int | None = None, limit: int = 100, descending: bool = False
    ) -> LogPage:
        page = partial(queries.read_log, after=after, limit=limit, descending=descending)
        return await self._read(lambda conn: page(conn, log, key))

    async def count_log(self, log: str, key: str) -> int:
        return await self._read(lambda conn: queries.count_log(conn, log, key))

    async def claim(self, lane: str, *, owner: str, limit: int, lease_seconds: float) -> tuple[Claim, ...]:
        take = partial(jobs.claim, owner=owner, limit=limit, lease_seconds=lease_seconds)
        return await self._write(lambda conn: take(conn, lane, now=self._clock.now()))

    async def renew(self, claims: Sequence[Claim], *, lease_seconds: float) -> frozenset[str]:
        return await self._write(lambda conn: jobs.renew(conn, claims, lease_until=self._clock.now() + lease_seconds))

    async def next_due(self, lane: str) -> float | None:
        return await self._read(lambda conn: jobs.next_due(conn, lane))

    async def job(self, job_id: str) -> Job | None:
        return await self._read(lambda conn: jobs.by_id(conn, job_id))

    async def live_job(self, key: str) -> Job | None:
        return await self._read(lambda conn: jobs.by_key(conn, key))

    async def jobs(self, *, cursor: str | None = None, limit: int = 100) -> JobPage:
        return await self._read(lambda conn: jobs.page(conn, cursor, limit))

    async def job_counts(self) -> tuple[JobCount, ...]:
        return await self._read(jobs.counts)

    async def acquire(self, name: str, *, owner: str, seconds: float) -> Lease | None:
        def take(conn: Connection) -> Lease | None:
            now = self._clock.now()
            return leases.acquire(conn, name, owner=owner, now=now, until=now + seconds)

        return await self._write(take)

    async def release(self, lease: Lease) -> None:
        await self._write(lambda conn: leases.release(conn, lease))

    async def expire(self, *, limit: int = 500) -> int:
        return await self._write(lambda conn: documents.expire(conn, self._clock.now(), limit))

    async def trim_log(self, log: str, *, before: float, limit: int = 500) -> int:
        return await self._write(lambda conn: logs.trim(conn, log, before=before, limit=limit))

    async def trim_changes(self, *, before_revision: int) -> None:
        await self._write(lambda conn: documents.trim_tombstones(conn, before_revision))

    async def ping(self) -> None:
        await self._write(leases.touch)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._runner.close)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        self._refuse_when_closed()
        return await self._runner.write(work)

    async def _read(self, work: Callable[[Connection], T]) -> T:
        self._refuse_when_closed()
        return await self._runner.read(work)

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")


class _InThreads:
    """A file: the writing thread and the reading threads."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = LockFile(path)
        except OSError as error:
            raise sqlite_connection.unavailable(error) from error
        try:
            writer = _open_writer(path)
            readers: list[Worker] = [Reader(sqlite_connection.reading(path)) for _ in range(_READERS)]
        except BaseException:
            self._lock.release()
            raise
        self._writer = Threads("store-writer", [writer], group=_GROUP)
        self._readers = Threads("store-reader", readers, group=1)

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self._writer.call(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._readers.call(work)

    def close(self) -> None:
        self._readers.stop()
        self._writer.stop()
        self._lock.release()


class _InLoop:
    """No file: one connection, used inside the event loop."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def write(self, work: Callable[[Connection], T]) -> T:
        await asyncio.sleep(0)  # as with a file, others run before the work is done
        outcome: Outcome = self._writer.do([work])[0]
        if outcome.error is not None:
            raise outcome.error
        result: T = outcome.value
        return result

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self.write(work)

    def close(self) -> None:
        self._writer.close()


def _open_writer(path: Path | None) -> Writer:
    try:
        if path is not None:
            path.touch(mode=0o600)
        conn = sqlite_connection.writing(path)
        try:
            bring_up_to_date(conn)
            writer = Writer(conn, path)
        except BaseException:
            conn.close()
            raise
    except (sqlite_connection.EngineError, OSError) as error:
        raise sqlite_connection.unavailable(error, path) from error
    for outcome in writer.do([_free_what_was_held]):
        if outcome.error is not None:
            writer.close()
            raise outcome.error
    return writer


def _free_what_was_held(conn: Connection) -> Any:
    jobs.release_all(conn)
    leases.release_all(conn)
