"""Durable work in SQL: one live row per key, claimed under a token, finished in the commit of what the run did."""

from collections.abc import Sequence

from novitai.ports.store import Claim, Finish, Job, JobCount, JobPage, JobStatus, LeaseLost, Priority, Wake
from novitai.stores import cursors, job_rows
from novitai.stores import statements as sql
from novitai.stores.connection import Connection
from novitai.stores.documents import Numbers
from novitai.stores.job_rows import JobRow
from novitai.stores.logs import append

_SCOPE = ("jobs",)
_BY_PRIORITY = tuple(sorted((int(priority) for priority in Priority), reverse=True))


def judge_finish(conn: Connection, finish: Finish) -> None:
    """Raises LeaseLost when the row is gone or someone else's."""
    row = _row(conn, finish.claim.key)
    if row is None or row.token != finish.claim.token:
        raise LeaseLost(f"the job of {finish.claim.key} is no longer held by token {finish.claim.token}")


def wake(conn: Connection, wish: Wake, now: float) -> None:
    """Make the row of a key, or merge the wish into it."""
    row = _row(conn, wish.key)
    if row is None:
        conn.run(sql.INSERT_JOB, job_rows.made(wish, now)._asdict())
    else:
        _save(conn, job_rows.woken(row, wish))


def cancel(conn: Connection, numbers: Numbers, key: str, now: float) -> None:
    """Remove the row of a key, if there is one, and log it as cancelled."""
    row = _row(conn, key)
    if row is not None:
        _bury(conn, numbers, row, JobStatus.CANCELLED, error=None, now=now)


def finish(conn: Connection, numbers: Numbers, end: Finish, now: float) -> None:
    """End a judged run. Nothing is left to do when the same commit cancelled the job."""
    row = _row(conn, end.claim.key)
    if row is None or row.token != end.claim.token:
        return
    left = job_rows.after_run(row, end, now)
    if left is None:
        _bury(conn, numbers, row, end.status, error=end.error, now=now)
        return
    if left.type != row.type:
        append(conn, numbers, job_rows.epitaph(row, JobStatus.COMPLETED, error=None, now=now))
    _save(conn, left)


def claim(
    conn: Connection, lane: str, *, owner: str, limit: int, lease_seconds: float, now: float
) -> tuple[Claim, ...]:
    """Take due jobs of a lane, the highest priority first."""
    ready = _ready(conn, lane, limit=limit, now=now)
    if not ready:
        return ()
    [(last_token,)] = conn.rows(sql.TAKE_TOKENS, {"count": len(ready)})
    first_token = last_token - len(ready) + 1
    taken = [
        job_rows.claimed(row, token=token, owner=owner, now=now, lease_until=now + lease_seconds)
        for token, row in enumerate(ready, first_token)
    ]
    conn.run_many(sql.UPDATE_JOB, [_params(row) for row in taken])
    return tuple(job_rows.claim_of(row) for row in taken)


def renew(conn: Connection, claims: Sequence[Claim], *, lease_until: float) -> frozenset[str]:
    """Prolong what is still held; returns those keys."""
    return frozenset(
        held.key
        for held in claims
        if conn.run(sql.RENEW_JOB, {"key": held.key, "held": held.token, "lease_until": lease_until})
    )


def release_all(conn: Connection) -> None:
    """Give back every job: for an engine whose former process is known to be dead. They run again at once."""
    conn.run(sql.RELEASE_JOBS, {})


def next_due(conn: Connection, lane: str) -> float | None:
    """The earliest time at which a job of a lane may be claimed."""
    earliest = [conn.rows(sql.NEXT_READY, {"lane": lane, "priority": priority})[0][0] for priority in _BY_PRIORITY]
    return min((ready for ready in earliest if ready is not None), default=None)


def by_id(conn: Connection, job_id: str) -> Job | None:
    """A live job by its id."""
    found = conn.rows(sql.SEE_JOB_OF_ID, {"id": job_id})
    return job_rows.seen(JobRow(*found[0])) if found else None


def by_key(conn: Connection, key: str) -> Job | None:
    """The live job of a key."""
    found = conn.rows(sql.SEE_JOB_OF_KEY, {"key": key})
    return job_rows.seen(JobRow(*found[0])) if found else None


def page(conn: Connection, cursor: str | None, limit: int) -> JobPage:
    """Live jobs, newest id first."""
    if cursor is None:
        rows = conn.rows(sql.JOBS_FIRST_PAGE, {"limit": limit + 1})
    else:
        (last_id,) = cursors.unpack(_SCOPE, cursor)
        rows = conn.rows(sql.JOBS_PAGE, {"limit": limit + 1, "id": last_id})
    found = [job_rows.seen(JobRow(*row)) for row in rows]
    shown = tuple(found[:limit])
    return JobPage(jobs=shown, next_cursor=cursors.pack(_SCOPE, (shown[-1].id,)) if len(found) > limit else None)


def counts(conn: Connection) -> tuple[JobCount, ...]:
    """Live jobs by type and status."""
    return tuple(
        JobCount(
            type=job_type,
            status=JobStatus.PROCESSING if held else JobStatus.PENDING,
            count=count,
            oldest_due=None if held else oldest_due,
        )
        for job_type, held, count, oldest_due in conn.rows(sql.JOB_COUNTS, {})
    )


def _ready(conn: Connection, lane: str, *, limit: int, now: float) -> list[JobRow]:
    ready: list[JobRow] = []
    for priority in _BY_PRIORITY:
        if len(ready) >= limit:
            break
        params = {"lane": lane, "priority": priority, "now": now, "limit": limit - len(ready)}
        ready += [JobRow(*row) for row in conn.rows(sql.READY_JOBS, params)]
    return ready


def _row(conn: Connection, key: str) -> JobRow | None:
    found = conn.rows(sql.JOB_OF_KEY, {"key": key})
    return JobRow(*found[0]) if found else None


def _save(conn: Connection, row: JobRow) -> None:
    conn.run(sql.UPDATE_JOB, _params(row))


def _params(row: JobRow) -> dict[str, object]:
    return row._asdict() | {"key": row.job_key}


def _bury(conn: Connection, numbers: Numbers, row: JobRow, status: JobStatus, *, error: str | None, now: float) -> None:
    conn.run(sql.DELETE_JOB, {"key": row.job_key})
    append(conn, numbers, job_rows.epitaph(row, status, error=error, now=now))
