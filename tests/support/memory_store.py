"""A store of dictionaries: a small double that keeps the port's promises (it passes the contract) and costs next to nothing.

Simulations make millions of calls; a real engine would spend their time on SQL. A `MemoryDisk` is what outlives the process, a `MemoryStore`
what one process holds of it. Like the engine of one file it serves one process at a time, so whatever is found held at opening belonged to a
dead one and is free. What becomes of a job's row is the pure code that the SQL engines share.
"""

import asyncio
import bisect
import os
from collections import defaultdict
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from novitai.ports.store import (
    Append,
    Changes,
    Check,
    Claim,
    Commit,
    Committed,
    Conflict,
    Delete,
    Job,
    JobCount,
    JobPage,
    JobStatus,
    Lease,
    LeaseLost,
    ListEntry,
    LogEntry,
    LogPage,
    Put,
    Record,
    RecordPage,
    StoreInUse,
    StoreUnavailable,
)
from novitai.ports.world import Clock
from novitai.stores import cursors, job_rows
from novitai.stores.job_rows import JobRow

_JOBS = ("jobs",)

RecordKey = tuple[str, str]
Place = tuple[str, str, str]


class Kept(NamedTuple):
    """A document as it lies there."""

    record: Record
    entries: frozenset[ListEntry]
    fed: bool

    def present(self, now: float) -> bool:
        return self.record.expires_at is None or self.record.expires_at > now


class MemoryDisk:
    """What is kept; `holder` is the process that has it open."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.holder: MemoryStore | None = None
        self.revision = 0
        self.feed_start = 0
        self.tokens = 0
        self.records: dict[RecordKey, Kept] = {}
        self.tombstones: dict[RecordKey, Record] = {}
        self.lists: defaultdict[tuple[str, str], list[Place]] = defaultdict(list)
        self.logs: defaultdict[tuple[str, str], list[LogEntry]] = defaultdict(list)
        self.jobs: dict[str, JobRow] = {}
        self.leases: dict[str, Lease] = {}

    def lose_power(self) -> None:
        """The process that had it open is dead."""
        self.holder = None

    def free_what_was_held(self) -> None:
        self.leases.clear()
        for key, row in self.jobs.items():
            if row.token:
                self.jobs[key] = row._replace(token=0, owner=None, woken_due=None, ready_at=row.due)

    # ── the commit ────────────────────────────────────────────────────────────────────────────────────────────────────

    def commit(self, wanted: Commit, now: float) -> Committed:
        self._judge(wanted, now)
        written = [self._put(put, now) for put in wanted.puts]
        written += [self._delete(delete) for delete in wanted.deletes]
        entries = tuple(self._append(entry) for entry in wanted.appends)
        for cancel in wanted.cancels:
            if cancel.key in self.jobs:
                self._bury(self.jobs[cancel.key], JobStatus.CANCELLED, None, now)
        for wake in wanted.wakes:
            row = self.jobs.get(wake.key)
            self.jobs[wake.key] = job_rows.made(wake, now) if row is None else job_rows.woken(row, wake)
        self._finish(wanted, now)
        return Committed(revision=self.revision, records=tuple(written), entries=entries)

    def _judge(self, wanted: Commit, now: float) -> None:
        changes: tuple[Check | Put | Delete, ...] = (*wanted.checks, *wanted.puts, *wanted.deletes)
        if len({(change.kind, change.id) for change in changes}) != len(changes):
            raise ValueError("a commit names each record at most once")
        if len({wake.key for wake in wanted.wakes}) != len(wanted.wakes):
            raise ValueError("a commit wakes each key at most once")
        if wanted.lease is not None:
            held = self.leases.get(wanted.lease.name)
            if held is None or held.token != wanted.lease.token:
                raise LeaseLost(f"the lease {wanted.lease.name} is held by another token")
        if wanted.finish is not None and not self._holds(wanted.finish.claim):
            raise LeaseLost(f"the job of {wanted.finish.claim.key} is held by another token")
        for change in changes:
            expect = change.version if isinstance(change, Check) else change.expect
            present = self._version(change.kind, change.id, now)
            if expect is not None and expect != present:
                raise Conflict(f"{change.kind} {change.id} is at version {present}, not {expect}")

    def _holds(self, claim: Claim) -> bool:
        row = self.jobs.get(claim.key)
        return row is not None and row.token == claim.token

    def _version(self, kind: str, record_id: str, now: float) -> int:
        kept = self.records.get((kind, record_id))
        return kept.record.version if kept is not None and kept.present(now) else 0

    def _number(self) -> int:
        self.revision += 1
        return self.revision

    def _put(self, put: Put, now: float) -> Record:
        key = (put.kind, put.id)
        version = self._version(put.kind, put.id, now) + 1
        old = self.records.get(key)
        record = Record(
            kind=put.kind,
            id=put.id,
            version=version,
            revision=self._number(),
            body=put.body,
            expires_at=put.expires_at,
        )
        entries = frozenset(put.entries)
        self.records[key] = Kept(record, entries, put.fed)
        if put.fed:
            self.tombstones.pop(key, None)
        self._move(key, old.entries if old is not None else frozenset(), entries)
        return record

    def _delete(self, delete: Delete) -> Record:
        key = (delete.kind, delete.id)
        old = self.records.pop(key, None)
        version = (old.record.version if old is not None else 0) + 1
        tombstone = Record(
            kind=delete.kind, id=delete.id, version=version, revision=self._number(), body=b"", deleted=True
        )
        if old is not None:
            self._move(key, old.entries, frozenset())
            if old.fed:
                self.tombstones[key] = tombstone
        return tombstone

    def _move(self, key: RecordKey, before: frozenset[ListEntry], after: frozenset[ListEntry]) -> None:
        if before == after:
            return
        kind, record_id = key
        for entry in before - after:
            self.lists[entry.listing, entry.partition].remove((entry.sort, record_id, kind))
        for entry in after - before:
            bisect.insort(self.lists[entry.listing, entry.partition], (entry.sort, record_id, kind))

    def _append(self, entry: Append) -> LogEntry:
        kept = LogEntry(log=entry.log, id=entry.id, position=self._number(), at=entry.at, body=entry.body)
        for key in dict.fromkeys(entry.keys):
            self.logs[entry.log, key].append(kept)
        return kept

    def _finish(self, wanted: Commit, now: float) -> None:
        end = wanted.finish
        if end is None or not self._holds(end.claim):
            return
        row = self.jobs[end.claim.key]
        left = job_rows.after_run(row, end, now)
        if left is None:
            self._bury(row, end.status, end.error, now)
            return
        if left.type != row.type:
            self._append(job_rows.epitaph(row, JobStatus.COMPLETED, error=None, now=now))
        self.jobs[row.job_key] = left

    def _bury(self, row: JobRow, status: JobStatus, error: str | None, now: float) -> None:
        del self.jobs[row.job_key]
        self._append(job_rows.epitaph(row, status, error=error, now=now))


class MemoryStore:
    """Keeps ports.store.Store over a `MemoryDisk`; see there for every promise."""

    def __init__(self, disk: MemoryDisk, *, clock: Clock) -> None:
        """Open it; raises StoreInUse while another process has it open."""
        if disk.holder is not None:
            raise StoreInUse(f"{disk.name} is served by process {os.getpid()}")
        disk.holder = self
        disk.free_what_was_held()
        self.disk = disk
        self._clock = clock
        self._closed = False

    async def _turn(self) -> float:
        """As with a file, others run before the work is done. Gives the time."""
        now = self._now()
        await asyncio.sleep(0)
        return now

    def _now(self) -> float:
        """The time, while the store is open; a look needs nobody else's turn."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return self._clock.now()

    async def commit(self, commit: Commit) -> Committed:
        return self.disk.commit(commit, await self._turn())

    async def get(self, kind: str, record_id: str) -> Record | None:
        now = self._now()
        kept = self.disk.records.get((kind, record_id))
        return kept.record if kept is not None and kept.present(now) else None

    async def get_many(self, kind: str, record_ids: Sequence[str]) -> dict[str, Record]:
        now = self._now()
        found = {one: self.disk.records.get((kind, one)) for one in record_ids}
        return {one: kept.record for one, kept in found.items() if kept is not None and kept.present(now)}

    async def list(
        self, listing: str, partition: str, *, cursor: str | None = None, limit: int = 100, descending: bool = False
    ) -> RecordPage:
        now = self._now()
        scope = (listing, partition, "down" if descending else "up")
        places = self.disk.lists[listing, partition]
        if cursor is not None:
            sort, record_id, kind = cursors.unpack(scope, cursor)
            last = (sort, record_id, kind)
            places = [place for place in places if (place < last if descending else place > last)]
        ordered = reversed(places) if descending else places
        kept = [(place, self.disk.records[place[2], place[1]]) for place in ordered]
        present = [(place, one.record) for place, one in kept if one.present(now)]
        shown = present[:limit]
        more = cursors.pack(scope, shown[-1][0]) if len(present) > limit else None
        return RecordPage(records=tuple(record for _, record in shown), next_cursor=more)

    async def count(self, listing: str, partition: str) -> int:
        self._now()
        return len(self.disk.lists[listing, partition])

    async def changes(self, since: int, *, limit: int = 500) -> Changes:
        now = self._now()
        disk = self.disk
        fed = [kept.record for kept in disk.records.values() if kept.fed and kept.present(now)]
        newer = [record for record in (*fed, *disk.tombstones.values()) if record.revision > since]
        told = tuple(sorted(newer, key=attrgetter("revision"))[:limit])
        return Changes(
            records=told,
            revision=told[-1].revision if len(told) == limit else disk.revision,
            truncated=not disk.feed_start <= since <= disk.revision,
        )

    async def revision(self) -> int:
        self._now()
        return self.disk.revision

    async def read_log(
        self, log: str, key: str, *, after: int | None = None, limit: int = 100, descending: bool = False
    ) -> LogPage:
        self._now()
        entries = self.disk.logs[log, key]
        if after is not None:
            entries = [entry for entry in entries if (entry.position < after if descending else entry.position > after)]
        ordered = entries[::-1] if descending else entries
        shown = tuple(ordered[:limit])
        return LogPage(entries=shown, next_position=shown[-1].position if len(ordered) > limit else None)

    async def count_log(self, log: str, key: str) -> int:
        self._now()
        return len(self.disk.logs[log, key])

    async def claim(self, lane: str, *, owner: str, limit: int, lease_seconds: float) -> tuple[Claim, ...]:
        now = await self._turn()
        disk = self.disk
        ready = [row for row in disk.jobs.values() if row.lane == lane and row.ready_at <= now]
        ready.sort(key=lambda row: (-row.priority, row.ready_at, row.id))
        taken = []
        for row in ready[:limit]:
            disk.tokens += 1
            held = job_rows.claimed(row, token=disk.tokens, owner=owner, now=now, lease_until=now + lease_seconds)
            disk.jobs[row.job_key] = held
            taken.append(job_rows.claim_of(held))
        return tuple(taken)

    async def renew(self, claims: Sequence[Claim], *, lease_seconds: float) -> frozenset[str]:
        now = await self._turn()
        held = [claim.key for claim in claims if self.disk._holds(claim)]
        for key in held:
            self.disk.jobs[key] = self.disk.jobs[key]._replace(ready_at=now + lease_seconds)
        return frozenset(held)

    async def next_due(self, lane: str) -> float | None:
        self._now()
        return min((row.ready_at for row in self.disk.jobs.values() if row.lane == lane), default=None)

    async def job(self, job_id: str) -> Job | None:
        self._now()
        return next((job_rows.seen(row) for row in self.disk.jobs.values() if row.id == job_id), None)

    async def live_job(self, key: str) -> Job | None:
        self._now()
        row = self.disk.jobs.get(key)
        return job_rows.seen(row) if row is not None else None

    async def jobs(self, *, cursor: str | None = None, limit: int = 100) -> JobPage:
        self._now()
        last = cursors.unpack(_JOBS, cursor)[0] if cursor is not None else None
        rows = sorted(self.disk.jobs.values(), key=attrgetter("id"), reverse=True)
        found = [job_rows.seen(row) for row in rows if last is None or row.id < last]
        shown = tuple(found[:limit])
        return JobPage(jobs=shown, next_cursor=cursors.pack(_JOBS, (shown[-1].id,)) if len(found) > limit else None)

    async def job_counts(self) -> tuple[JobCount, ...]:
        self._now()
        groups: defaultdict[tuple[str, bool], list[float]] = defaultdict(list)
        for row in self.disk.jobs.values():
            groups[row.type, row.token != 0].append(row.due)
        return tuple(
            JobCount(
                type=kind,
                status=JobStatus.PROCESSING if held else JobStatus.PENDING,
                count=len(dues),
                oldest_due=None if held else min(dues),
            )
            for (kind, held), dues in groups.items()
        )

    async def acquire(self, name: str, *, owner: str, seconds: float) -> Lease | None:
        now = await self._turn()
        held = self.disk.leases.get(name)
        if held is not None and held.owner != owner and held.until > now:
            return None
        if held is None or held.owner != owner:
            self.disk.tokens += 1
        token = held.token if held is not None and held.owner == owner else self.disk.tokens
        lease = Lease(name=name, owner=owner, token=token, until=now + seconds)
        self.disk.leases[name] = lease
        return lease

    async def release(self, lease: Lease) -> None:
        await self._turn()
        held = self.disk.leases.get(lease.name)
        if held is not None and held.token == lease.token:
            del self.disk.leases[lease.name]

    async def expire(self, *, limit: int = 500) -> int:
        now = await self._turn()
        past = [key for key, kept in self.disk.records.items() if not kept.present(now)][:limit]
        for kind, record_id in past:
            self.disk._delete(Delete(kind=kind, id=record_id))
        return len(past)

    async def trim_log(self, log: str, *, before: float, limit: int = 500) -> int:
        await self._turn()
        lists = [entries for (name, _), entries in self.disk.logs.items() if name == log]
        every = {entry.position: entry for entries in lists for entry in entries if entry.at < before}
        old = {entry.position for entry in sorted(every.values(), key=attrgetter("at"))[:limit]}
        for entries in lists if old else ():
            entries[:] = [entry for entry in entries if entry.position not in old]
        return len(old)

    async def trim_changes(self, *, before_revision: int) -> None:
        await self._turn()
        through = min(before_revision - 1, self.disk.revision)
        if through > self.disk.feed_start:
            self.disk.feed_start = through
            gone = [key for key, stone in self.disk.tombstones.items() if stone.revision <= through]
            for key in gone:
                del self.disk.tombstones[key]

    async def ping(self) -> None:
        await self._turn()

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            if self.disk.holder is self:
                self.disk.holder = None
