"""The store: the single truth, and the only port that correctness rests on.

It keeps five promises and no more: *records* (documents by kind and id, compare-and-set by version, declared lists with
a keyset cursor, a change feed by revision), *logs* (append-only, read by key and time), *jobs* (durable work: one live
row per key, leased with a fencing token and a generation), *leases* (who leads), and one atomic *commit* across all of
them.

It is not a query language, and no engine is asked to hold a transaction open: everything a commit needs is inside the
commit. That is what lets a file, PostgreSQL and one stateless script on Redis keep the same promises. The contract
suite in tests/contract/stores is the definition of this port; an engine is right when it passes.

Times are Unix seconds. The engine judges leases and due times by its own clock (the one it was built with, or the
server's).
"""

from collections.abc import Sequence
from enum import IntEnum, StrEnum
from typing import Protocol

import msgspec

NEVER_EXPIRES = None


class StoreError(Exception):
    """Root of what a store raises."""


class Conflict(StoreError):
    """The commit's expectations were not met; nothing of it was written. Load again and decide again."""


class LeaseLost(Conflict):
    """The job or lease is no longer held by this token: someone else goes on with it, and this worker must not
    write.
    """


class StoreUnavailable(StoreError):
    """The engine cannot serve now (disk full, locked, server away). Nothing was acknowledged; trying again later is
    safe.
    """


class StoreInUse(StoreError):
    """Another process holds the store exclusively (SQLite: one process per file)."""


# ── records ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class ListEntry(msgspec.Struct, frozen=True):
    """One place of a record in a declared list: ordered by `sort` (compared as bytes of its UTF-8), ties by record
    id.
    """

    listing: str
    partition: str
    sort: str


class Put(msgspec.Struct, frozen=True, kw_only=True):
    """Write one document whole.

    `expect`: the version it must have now; 0 = must not exist (or be expired); None = whatever is there. The stored
    version becomes the old one plus 1. `entries` replace all entries the record had. A `fed` record appears in the
    change feed. After `expires_at` the record is absent for every reader, whether or not it was swept already.
    """

    kind: str
    id: str
    body: bytes
    expect: int | None = None
    entries: tuple[ListEntry, ...] = ()
    fed: bool = False
    expires_at: float | None = NEVER_EXPIRES


class Delete(msgspec.Struct, frozen=True, kw_only=True):
    """Remove one document and its list entries; a fed one leaves a tombstone in the change feed."""

    kind: str
    id: str
    expect: int | None = None


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A document that must still be at this version (0 = absent) although the commit does not write it."""

    kind: str
    id: str
    version: int


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A stored document. `version` counts its own writes; `revision` is its place in the order of all writes of the
    store.
    """

    kind: str
    id: str
    version: int
    revision: int
    body: bytes
    expires_at: float | None = None
    deleted: bool = False  # only in the change feed


class RecordPage(msgspec.Struct, frozen=True, kw_only=True):
    """Records in list order; `next_cursor` is None at the end. A cursor stays valid while records come and go."""

    records: tuple[Record, ...]
    next_cursor: str | None


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """Fed records written after a revision, each once with its newest content, in order of revision.

    `revision`: where to continue. `truncated`: the feed no longer reaches back to the asked revision (tombstones were
    trimmed); read the lists again.
    """

    records: tuple[Record, ...]
    revision: int
    truncated: bool = False


# ── logs ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """One log entry, readable under each of `keys`. `at` is the time by which it is trimmed."""

    log: str
    id: str
    keys: tuple[str, ...]
    at: float
    body: bytes


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A stored log entry. `position` grows with every entry of the store and never repeats."""

    log: str
    id: str
    position: int
    at: float
    body: bytes


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """Entries in the asked direction; `next_position` is what to pass as `after` to go on in that direction, None at
    the end.
    """

    entries: tuple[LogEntry, ...]
    next_position: int | None


# ── jobs ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Priority(IntEnum):
    """In what order due work of a lane is claimed; within a priority the earliest due goes first."""

    LOW = 1
    NORMAL = 2
    HIGH = 3
    CRITICAL = 4


class JobStatus(StrEnum):
    """`pending` and `processing` are live rows; the others are entries of the log `jobs`."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Wake(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for work on a subject.

    There is one live row per `key`. Without one, a row is made under `id`. With one, the row takes this `type` and
    `payload`, the higher priority and the earlier due time; if it is being worked on, its generation is raised, so that
    it runs again after the present run.
    """

    key: str
    id: str
    type: str
    lane: str
    priority: Priority
    due: float
    payload: bytes = b""


class Requeue(msgspec.Struct, frozen=True, kw_only=True):
    """Run again at `due`. With another `type` the present job ends as completed and a new one goes on in the same row
    under `id`.

    `keep_attempts` is for a run that failed or got nowhere: the count of consecutive attempts goes on; otherwise it
    starts at 0 again. `error` is shown with the waiting job.
    """

    due: float
    type: str
    id: str
    priority: Priority
    keep_attempts: bool = False
    error: str | None = None


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A job held for a while. `token` fences every write made on its behalf; `generation` is the wish it answers."""

    key: str
    id: str
    type: str
    lane: str
    priority: Priority
    token: int
    generation: int
    attempts: int  # claims since the last run that got somewhere, this one included: 1 on a first try
    payload: bytes
    lease_until: float


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """End of a run, in the commit of what it did.

    Refused with LeaseLost when the token is not the row's any more. If the generation moved meanwhile the row stays and
    is due at the wake's time (or at `requeue.due` if that is sooner). Otherwise it is requeued, or removed and appended
    to the log `jobs` (keys `all`, `id:<id>`, `key:<key>`, `type:<type>`) with `status` and `error`.
    """

    claim: Claim
    requeue: Requeue | None = None
    status: JobStatus = JobStatus.COMPLETED
    error: str | None = None


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """Remove the live job of a key, if there is one, and log it as cancelled; a run under way loses its lease."""

    key: str


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as people see it: a live row, or (as the JSON body of an entry of the log `jobs`) a finished one."""

    id: str
    key: str
    type: str
    lane: str
    priority: Priority
    status: JobStatus
    attempts: int
    created_at: float
    due: float | None
    processed_at: float | None = None
    completed_at: float | None = None
    error: str | None = None
    payload: bytes = b""


class JobPage(msgspec.Struct, frozen=True, kw_only=True):
    """Live jobs ordered by id (time of creation); `next_cursor` is None at the end."""

    jobs: tuple[Job, ...]
    next_cursor: str | None


class JobCount(msgspec.Struct, frozen=True, kw_only=True):
    """Live jobs of one type and status, with the earliest due time among those pending."""

    type: str
    status: JobStatus
    count: int
    oldest_due: float | None


# ── leases and the commit ─────────────────────────────────────────────────────────────────────────────────────────────


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who leads a loop. `token` grows with every change of holder."""

    name: str
    owner: str
    token: int
    until: float


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one decision changes: written whole or not at all.

    Order of judgement: `lease` and `finish` (LeaseLost), then `checks`, `puts`, `deletes` (Conflict). A commit names
    each record at most once, and each key at most once among `wakes`. A wake of the very key that `finish` ends counts
    as a move of its generation.
    """

    checks: tuple[Check, ...] = ()
    puts: tuple[Put, ...] = ()
    deletes: tuple[Delete, ...] = ()
    appends: tuple[Append, ...] = ()
    wakes: tuple[Wake, ...] = ()
    cancels: tuple[Cancel, ...] = ()
    finish: Finish | None = None
    lease: Lease | None = None


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit wrote: the records as stored (deleted ones as tombstones), in the order of puts, then deletes,
    and log positions.
    """

    revision: int
    records: tuple[Record, ...] = ()
    entries: tuple[LogEntry, ...] = ()


class Store(Protocol):
    """See the module's text. Every method may raise StoreUnavailable."""

    async def commit(self, commit: Commit) -> Committed:
        """Write all of it, durably, or raise Conflict or LeaseLost and write nothing. Revisions become visible in
        order.
        """
        ...

    async def get(self, kind: str, record_id: str) -> Record | None:
        """One document, or None when absent or expired. Sees every commit acknowledged before the call."""
        ...

    async def get_many(self, kind: str, record_ids: Sequence[str]) -> dict[str, Record]:
        """Those that exist, by id."""
        ...

    async def list(
        self, listing: str, partition: str, *, cursor: str | None = None, limit: int = 100, descending: bool = False
    ) -> RecordPage:
        """A page of a declared list. Raises ValueError for a cursor that this listing did not give."""
        ...

    async def count(self, listing: str, partition: str) -> int:
        """How many records stand in a declared list (expired ones may still count until swept)."""
        ...

    async def changes(self, since: int, *, limit: int = 500) -> Changes:
        """Fed records written after revision `since`, oldest first."""
        ...

    async def revision(self) -> int:
        """The newest visible revision: where a reader of the change feed begins who has read the lists after asking."""
        ...

    async def read_log(
        self,
        log: str,
        key: str,
        *,
        after: int | None = None,
        limit: int = 100,
        descending: bool = False,
    ) -> LogPage:
        """Entries of a log under a key, beyond position `after` in the asked direction."""
        ...

    async def count_log(self, log: str, key: str) -> int:
        """How many entries a log has under a key."""
        ...

    async def claim(self, lane: str, *, owner: str, limit: int, lease_seconds: float) -> tuple[Claim, ...]:
        """Take up to `limit` jobs of a lane that are due, or whose lease ran out; never one that is held."""
        ...

    async def renew(self, claims: Sequence[Claim], *, lease_seconds: float) -> frozenset[str]:
        """Prolong; returns the keys that are still held by these claims' tokens."""
        ...

    async def next_due(self, lane: str) -> float | None:
        """When the next job of a lane can be claimed (now or earlier included); None when there is none."""
        ...

    async def job(self, job_id: str) -> Job | None:
        """A live job by its id."""
        ...

    async def live_job(self, key: str) -> Job | None:
        """The live job of a key."""
        ...

    async def jobs(self, *, cursor: str | None = None, limit: int = 100) -> JobPage:
        """Live jobs, newest first."""
        ...

    async def job_counts(self) -> tuple[JobCount, ...]:
        """Live jobs by type and status."""
        ...

    async def acquire(self, name: str, *, owner: str, seconds: float) -> Lease | None:
        """Take or prolong a lease; None while another owner holds it."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give a lease back; nothing happens when it is not held any more."""
        ...

    async def expire(self, *, limit: int = 500) -> int:
        """Remove records past their time, up to `limit`; returns how many."""
        ...

    async def trim_log(self, log: str, *, before: float, limit: int = 500) -> int:
        """Remove entries of a log older than `before`, up to `limit`; returns how many."""
        ...

    async def trim_changes(self, *, before_revision: int) -> None:
        """Forget tombstones older than a revision; readers that far behind get `truncated`."""
        ...

    async def ping(self) -> None:
        """Raise StoreUnavailable when a commit could not be made now."""
        ...

    async def close(self) -> None:
        """Stop serving; acknowledged commits stay. Closing twice is fine."""
        ...
