"""Durable jobs as people see them: live rows and the log of finished ones in one list; trying again, and giving up.

The work of an instance is never given up (stop or delete the instance instead). Trying again is harmless at any time, since a job only says
which subject to look at. A delivery goes with its job, in the same commit: to the dead letters and back.
"""

from collections import Counter
from collections.abc import AsyncIterator

import msgspec

from novitai.domain.delivery import DeliveryStatus
from novitai.domain.errors import Code, Refusal
from novitai.operations import audit, records
from novitai.operations.optimism import until_committed
from novitai.operations.requests import Context
from novitai.ports.store import Append, Cancel, Commit, Job, JobStatus, Priority, Put, Store, Wake
from novitai.ports.world import Clock, Ids

LIVE_STATUSES = frozenset({JobStatus.PENDING, JobStatus.PROCESSING})
RECENT_SECONDS = 3600.0
COUNTED_ENTRIES = 20_000
"""How many finished jobs are looked through at most to count those that a filter admits."""

_PAGE = 200
_INSTANCE, _DELIVERY = records.instance_key(""), records.delivery_key("")
_JOB = msgspec.json.Decoder(Job)


class JobFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs; None: any."""

    type: str | None = None
    status: JobStatus | None = None
    priority: Priority | None = None
    instance_id: str | None = None

    def admits(self, job: Job) -> bool:
        """Whether a job is in the list."""
        return (
            (self.type is None or job.type == self.type)
            and (self.status is None or job.status is self.status)
            and (self.priority is None or job.priority is self.priority)
            and (self.instance_id is None or instance_of(job) == self.instance_id)
        )

    @property
    def log_key(self) -> str:
        """The narrowest key of the log that holds all of them."""
        return f"type:{self.type}" if self.type is not None else "all"

    @property
    def exact(self) -> bool:
        """Whether that key holds nothing else."""
        return self.status is None and self.priority is None and self.instance_id is None


class JobPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a page begins: after a live job, or (once these are through) before a position of the log."""

    live_after: str | None = None
    log_before: int | None = None


class JobPage(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs, live ones first, each part newest first. `total` counts all that match, as far as `COUNTED_ENTRIES` reach."""

    jobs: tuple[Job, ...]
    total: int
    next_place: JobPlace | None


class JobStats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts by type and status: live jobs now, and those that ended within `RECENT_SECONDS`."""

    counts: dict[str, dict[str, int]]
    oldest_pending_seconds: float | None
    done_per_minute: float


class Jobs:
    """What may be asked about jobs."""

    def __init__(self, *, store: Store, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    async def page(self, wanted: JobFilter, *, place: JobPlace | None, limit: int) -> JobPage:
        """A page of jobs."""
        found: list[Job] = []
        place = place or JobPlace()
        if place.log_before is None:
            async for job in self._live(place.live_after):
                if not wanted.admits(job):
                    continue
                if len(found) == limit:
                    return await self._page(found, wanted, JobPlace(live_after=found[-1].id))
                found.append(job)
        last: int | None = place.log_before
        async for position, job in self._finished(wanted, before=place.log_before):
            if len(found) == limit:
                begin = last if last is not None else position + 1
                return await self._page(found, wanted, JobPlace(log_before=begin))
            found.append(job)
            last = position
        return await self._page(found, wanted, None)

    async def one(self, job_id: str) -> Job:
        """A live or finished job. Raises Refusal JOB_NOT_FOUND."""
        live = await self._store.job(job_id)
        if live is not None:
            return live
        log = await self._store.read_log(records.JOBS, f"id:{job_id}", limit=1, descending=True)
        if not log.entries:
            raise Refusal(Code.JOB_NOT_FOUND, f"there is no job {job_id!r}")
        return _JOB.decode(log.entries[0].body)

    async def stats(self) -> JobStats:
        """How much there is to do, and how much was done lately."""
        now = self._clock.now()
        counts: dict[str, Counter[str]] = {}
        dues: list[float] = []
        for count in await self._store.job_counts():
            counts.setdefault(count.type, Counter())[str(count.status)] += count.count
            if count.status is JobStatus.PENDING and count.oldest_due is not None:
                dues.append(count.oldest_due)
        done = 0
        async for _, job in self._finished(JobFilter(), before=None):
            ended = job.completed_at or 0.0
            if ended < now - RECENT_SECONDS:
                break
            counts.setdefault(job.type, Counter())[str(job.status)] += 1
            done += ended >= now - 60.0
        return JobStats(
            counts={kind: dict(by_status) for kind, by_status in sorted(counts.items())},
            oldest_pending_seconds=max(0.0, now - min(dues)) if dues else None,
            done_per_minute=float(done),
        )

    async def retry(self, job_id: str, context: Context) -> Job:
        """Run a job now: a waiting one at once, a failed or cancelled one again. Raises Refusal JOB_NOT_FOUND, INVALID_STATE."""
        job = await self.one(job_id)
        if job.status is JobStatus.COMPLETED:
            raise Refusal(Code.INVALID_STATE, f"job {job_id} is completed; there is nothing to try again")
        fresh = job.id if job.status in LIVE_STATUSES else self._ids.new("job")
        wake = Wake(
            key=job.key,
            id=fresh,
            type=job.type,
            lane=job.lane,
            priority=job.priority,
            due=self._clock.now(),
            payload=job.payload,
        )

        async def decide() -> Job:
            noted = self._noted(context, "job.retry", job)
            await self._store.commit(Commit(puts=await self._revived(job), appends=(noted,), wakes=(wake,)))
            return await self._store.live_job(job.key) or await self.one(job_id)

        return await until_committed(decide, subject=f"job {job_id}")

    async def cancel(self, job_id: str, context: Context) -> Job:
        """Give a job up. Raises Refusal JOB_NOT_FOUND; INVALID_STATE for the work of an instance, and for what has ended."""
        job = await self.one(job_id)
        if job.status not in LIVE_STATUSES:
            raise Refusal(Code.INVALID_STATE, f"job {job_id} has ended already: {job.status}")
        if job.key.startswith(_INSTANCE):
            raise Refusal(
                Code.INVALID_STATE,
                "the work of an instance is never given up; stop or delete the instance",
                details={"instanceId": job.key.removeprefix(_INSTANCE)},
            )

        async def decide() -> Job:
            puts, noted = await self._given_up(job), self._noted(context, "job.cancel", job)
            await self._store.commit(Commit(puts=puts, appends=(noted,), cancels=(Cancel(key=job.key),)))
            return await self.one(job_id)

        return await until_committed(decide, subject=f"job {job_id}")

    def _noted(self, context: Context, action: str, job: Job) -> Append:
        at, detail = self._clock.now(), {"type": job.type, "key": job.key}
        return audit.entry(context, action, target=job.id, entry_id=self._ids.new("aud"), at=at, detail=detail)

    async def _given_up(self, job: Job) -> tuple[Put, ...]:
        """The delivery of a job among the dead letters: without its job it would wait for ever."""
        return await self._delivery(job, now=DeliveryStatus.PENDING, to=DeliveryStatus.DEAD)

    async def _revived(self, job: Job) -> tuple[Put, ...]:
        """The delivery of a job back from the dead letters, with its whole schedule before it."""
        return await self._delivery(job, now=DeliveryStatus.DEAD, to=DeliveryStatus.PENDING)

    async def _delivery(self, job: Job, *, now: DeliveryStatus, to: DeliveryStatus) -> tuple[Put, ...]:
        if not job.key.startswith(_DELIVERY):
            return ()
        record = await self._store.get(records.DELIVERY, job.key.removeprefix(_DELIVERY))
        delivery = records.read_delivery(record) if record is not None else None
        if record is None or delivery is None or delivery.status is not now:
            return ()
        at = self._clock.now()
        dead = to is DeliveryStatus.DEAD
        changed = msgspec.structs.replace(
            delivery,
            status=to,
            failures=delivery.failures if dead else 0,
            next_at=None if dead else at,
            ended_at=at if dead else None,
        )
        return (records.put_delivery(changed, expect=record.version),)

    async def _page(self, found: list[Job], wanted: JobFilter, following: JobPlace | None) -> JobPage:
        return JobPage(jobs=tuple(found), total=await self._count(wanted), next_place=following)

    async def _count(self, wanted: JobFilter) -> int:
        live = 0
        async for job in self._live(None):
            live += wanted.admits(job)
        if wanted.exact:
            return live + await self._store.count_log(records.JOBS, wanted.log_key)
        ended = 0
        async for _ in self._finished(wanted, before=None, most=COUNTED_ENTRIES):
            ended += 1
        return live + ended

    async def _live(self, after: str | None) -> AsyncIterator[Job]:
        """Live jobs, newest first, beyond the one of this id."""
        cursor: str | None = None
        while True:
            page = await self._store.jobs(cursor=cursor, limit=_PAGE)
            for job in page.jobs:
                if after is None or job.id < after:
                    yield job
            cursor = page.next_cursor
            if cursor is None:
                return

    async def _finished(
        self, wanted: JobFilter, *, before: int | None, most: int | None = None
    ) -> AsyncIterator[tuple[int, Job]]:
        """Finished jobs that a filter admits with their positions, newest first; looks through at most `most` entries."""
        if wanted.status in LIVE_STATUSES:
            return
        position, looked = before, 0
        while most is None or looked < most:
            page = await self._store.read_log(
                records.JOBS, wanted.log_key, after=position, limit=_PAGE, descending=True
            )
            for entry in page.entries:
                job = _JOB.decode(entry.body)
                if wanted.admits(job):
                    yield entry.position, job
            looked += len(page.entries)
            position = page.next_position
            if position is None:
                return


def instance_of(job: Job) -> str | None:
    """The instance that a job is about."""
    if job.key.startswith(_INSTANCE):
        return job.key.removeprefix(_INSTANCE)
    found = records.read_job_payload(job.payload).get("instanceId")
    return str(found) if found is not None else None


def correlation_of(job: Job) -> str | None:
    """The request that a job belongs to."""
    found = records.read_job_payload(job.payload).get("correlationId")
    return str(found) if found else None
