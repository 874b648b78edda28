"""A live job as a value, and what waking, claiming, finishing and cancelling make of it. No SQL here: rows in, rows out.

One row per key. Its `token` is 0 while nobody works on it. `ready_at` is when it may be claimed: its due time, or the end of the lease
while it is held. A wake during a run raises the generation and is remembered in `woken_due`, so that the run's end knows when to go on.
"""

from typing import NamedTuple

import msgspec

from novitai.ports.store import Append, Claim, Finish, Job, JobStatus, Priority, Requeue, Wake

JOB_LOG = "jobs"


class JobRow(NamedTuple):
    """The columns of the table `jobs`, in their order."""

    job_key: str
    id: str
    type: str
    lane: str
    priority: int
    due: float
    ready_at: float
    woken_due: float | None
    token: int
    generation: int
    attempts: int
    owner: str | None
    created_at: float
    processed_at: float | None
    error: str | None
    payload: bytes


def made(wake: Wake, now: float) -> JobRow:
    """The row of a key that had none."""
    return JobRow(
        job_key=wake.key,
        id=wake.id,
        type=wake.type,
        lane=wake.lane,
        priority=int(wake.priority),
        due=wake.due,
        ready_at=wake.due,
        woken_due=None,
        token=0,
        generation=1,
        attempts=0,
        owner=None,
        created_at=now,
        processed_at=None,
        error=None,
        payload=wake.payload,
    )


def woken(row: JobRow, wake: Wake) -> JobRow:
    """A wake merged into a live row. The lane follows the type, since it says who can do it."""
    merged = row._replace(
        type=wake.type, lane=wake.lane, payload=wake.payload, priority=max(row.priority, int(wake.priority))
    )
    if row.token:
        sooner = wake.due if row.woken_due is None else min(row.woken_due, wake.due)
        return merged._replace(generation=row.generation + 1, woken_due=sooner)
    due = min(row.due, wake.due)
    return merged._replace(due=due, ready_at=due)


def claimed(row: JobRow, *, token: int, owner: str, now: float, lease_until: float) -> JobRow:
    """The row in the hands of a worker."""
    return row._replace(
        token=token,
        owner=owner,
        attempts=row.attempts + 1,
        processed_at=now,
        ready_at=lease_until,
        woken_due=None,
    )


def claim_of(row: JobRow) -> Claim:
    """What the worker of a claimed row is given."""
    return Claim(
        key=row.job_key,
        id=row.id,
        type=row.type,
        lane=row.lane,
        priority=Priority(row.priority),
        token=row.token,
        generation=row.generation,
        attempts=row.attempts,
        payload=row.payload,
        lease_until=row.ready_at,
    )


def after_run(row: JobRow, finish: Finish, now: float) -> JobRow | None:
    """The row after a run: woken meanwhile, requeued, or None when the work is over."""
    if row.generation != finish.claim.generation:
        return _woken_again(row, finish.requeue)
    if finish.requeue is None:
        return None
    if finish.requeue.type != row.type:
        return _succeeded(row, finish.requeue, now)
    return _let_go(row, due=finish.requeue.due, requeue=finish.requeue)._replace(priority=int(finish.requeue.priority))


def _woken_again(row: JobRow, requeue: Requeue | None) -> JobRow:
    dues = [due for due in (row.woken_due, requeue.due if requeue else None) if due is not None]
    return _let_go(row, due=min(dues, default=row.due), requeue=requeue)


def _succeeded(row: JobRow, requeue: Requeue, now: float) -> JobRow:
    fresh = _let_go(row, due=requeue.due, requeue=None)
    return fresh._replace(
        id=requeue.id,
        type=requeue.type,
        priority=int(requeue.priority),
        created_at=now,
        processed_at=None,
        error=requeue.error,
    )


def _let_go(row: JobRow, *, due: float, requeue: Requeue | None) -> JobRow:
    return row._replace(
        due=due,
        ready_at=due,
        woken_due=None,
        token=0,
        owner=None,
        attempts=row.attempts if requeue and requeue.keep_attempts else 0,
        error=requeue.error if requeue else None,
    )


def seen(row: JobRow) -> Job:
    """A live row as people see it."""
    held = row.token != 0
    return Job(
        id=row.id,
        key=row.job_key,
        type=row.type,
        lane=row.lane,
        priority=Priority(row.priority),
        status=JobStatus.PROCESSING if held else JobStatus.PENDING,
        attempts=row.attempts,
        created_at=row.created_at,
        due=row.woken_due if held else row.due,
        processed_at=row.processed_at,
        error=row.error,
        payload=row.payload,
    )


def epitaph(row: JobRow, status: JobStatus, *, error: str | None, now: float) -> Append:
    """The entry of the log `jobs` for a job that is over."""
    job = msgspec.structs.replace(seen(row), status=status, due=None, completed_at=now, error=error)
    keys = ("all", f"id:{row.id}", f"key:{row.job_key}", f"type:{row.type}")
    return Append(log=JOB_LOG, id=row.id, keys=keys, at=now, body=msgspec.json.encode(job))
