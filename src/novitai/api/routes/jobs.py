"""Our durable jobs, and Novita's jobs."""

from typing import Annotated, Literal

from fastapi import Query
from starlette.responses import Response

from novitai.api.access import Here, Parts
from novitai.api.paging import number, pack, unpack
from novitai.api.parts import ApiParts
from novitai.api.provider_jobs_view import provider_job
from novitai.api.routing import Routes, json_answer
from novitai.api.schemas import jobs as schemas
from novitai.api.schemas.jobs import JobAnswer, JobListAnswer, JobQuery, JobStatsAnswer
from novitai.api.schemas.verbs import unix
from novitai.domain.errors import invalid
from novitai.domain.keys import Scope
from novitai.domain.times import iso, iso_or_none
from novitai.operations.jobs import (
    RECENT_SECONDS,
    JobFilter,
    JobPlace,
    Jobs,
    correlation_of,
    instance_of,
)
from novitai.operations.reads import machines_of
from novitai.ports.provider import ProviderJobQuery
from novitai.ports.store import Job, JobStatus, Priority

ROUTES = Routes("jobs")
_NOT_FOUND = {404: "There is no such job"}
_REFUSED = _NOT_FOUND | {409: "It has ended, or is the work of an instance"}


@ROUTES.add("GET", "/api/jobs", needs=Scope.READ, answer=JobListAnswer)
async def list_jobs(parts: Parts, query: Annotated[JobQuery, Query()]) -> Response:
    """Jobs: those that are live, then those that ended, newest first."""
    wanted = JobFilter(
        type=query.type,
        status=JobStatus(query.status) if query.status else None,
        priority=Priority[query.priority.upper()] if query.priority else None,
        instance_id=query.instance_id,
    )
    page = await _jobs(parts).page(wanted, place=_place(query.cursor), limit=query.limit)
    return json_answer(
        JobListAnswer(jobs=[_job(job) for job in page.jobs], total=page.total, next_cursor=_cursor(page.next_place))
    )


@ROUTES.add("GET", "/api/jobs/stats", needs=Scope.READ, answer=JobStatsAnswer)
async def job_stats(parts: Parts) -> Response:
    """How much there is to do, how long the oldest has waited beyond its time, and how much was done lately."""
    stats = await _jobs(parts).stats()
    by_status: dict[str, int] = {}
    for statuses in stats.counts.values():
        for status, count in statuses.items():
            by_status[status] = by_status.get(status, 0) + count
    return json_answer(
        JobStatsAnswer(
            counts=stats.counts,
            by_status=by_status,
            total=sum(by_status.values()),
            oldest_pending_age_seconds=stats.oldest_pending_seconds,
            done_per_minute=stats.done_per_minute,
            finished_window_seconds=RECENT_SECONDS,
        )
    )


@ROUTES.add("GET", "/api/jobs/{job_id}", needs=Scope.READ, answer=JobAnswer, others=_NOT_FOUND)
async def get_job(job_id: str, parts: Parts) -> Response:
    """One job, live or finished."""
    return json_answer(_job(await _jobs(parts).one(job_id)))


@ROUTES.add("POST", "/api/jobs/{job_id}/retry", needs=Scope.WRITE, answer=JobAnswer, status=202, others=_REFUSED)
async def retry_job(job_id: str, parts: Parts, visit: Here) -> Response:
    """Run a job now: a waiting one at once, a failed or cancelled one again."""
    return json_answer(_job(await _jobs(parts).retry(job_id, visit.context())), status=202)


@ROUTES.add("POST", "/api/jobs/{job_id}/cancel", needs=Scope.WRITE, answer=JobAnswer, others=_REFUSED)
async def cancel_job(job_id: str, parts: Parts, visit: Here) -> Response:
    """Give a job up. The work of an instance is never given up: stop or delete the instance."""
    return json_answer(_job(await _jobs(parts).cancel(job_id, visit.context())))


@ROUTES.add(
    "GET",
    "/api/novita/jobs",
    needs=Scope.READ,
    answer=schemas.ProviderJobsAnswer,
    others={502: "Novita failed", 503: "Novita is not asked now", 504: "Novita did not answer in time"},
)
async def list_provider_jobs(
    parts: Parts, visit: Here, query: Annotated[schemas.ProviderJobQuery, Query()]
) -> Response:
    """Novita's own jobs, such as migrations; at most 30 s old. `source` says which of its APIs answered.

    `instanceId` is Novita's or ours; with it the newest thousand jobs are searched, so say from when on.
    """
    asked = _provider_query(query)
    if query.instance_id is None:
        found = await parts.provider_jobs.page(asked, correlation_id=visit.correlation_id)
    else:
        machines = _machines(parts, query.instance_id)
        found = await parts.provider_jobs.of_machines(machines, asked, correlation_id=visit.correlation_id)
    source: Literal["internal", "public"] = "internal" if found.source == "internal" else "public"
    return json_answer(
        schemas.ProviderJobsAnswer(jobs=[provider_job(job) for job in found.jobs], total=found.total, source=source)
    )


def _machines(parts: ApiParts, reference: str) -> tuple[str, ...]:
    """Novita's ids of what was named: all machines of an instance of ours, else the name itself."""
    snapshot = parts.reads.get(reference)
    return machines_of(snapshot.instance) if snapshot is not None else (reference,)


def _provider_query(query: schemas.ProviderJobQuery) -> ProviderJobQuery:
    return ProviderJobQuery(
        type=query.type or "",
        state=query.state or "",
        start_time=_seconds("startTime", query.start_time),
        end_time=_seconds("endTime", query.end_time),
        page=query.page,
        page_size=query.page_size,
    )


def _seconds(field: str, moment: str | None) -> int:
    if moment is None:
        return 0
    if moment.isascii() and moment.isdigit() and len(moment) <= 12:
        return int(moment)
    try:
        return max(0, int(unix(moment)))
    except ValueError:
        raise invalid(field, "must be a time with its zone, such as 2027-01-15T08:00:00Z, or Unix seconds") from None


def _jobs(parts: ApiParts) -> Jobs:
    return Jobs(store=parts.store, clock=parts.clock, ids=parts.ids)


def _job(job: Job) -> JobAnswer:
    return JobAnswer.model_validate(
        {
            "id": job.id,
            "type": job.type,
            "key": job.key,
            "status": str(job.status),
            "priority": job.priority.name.lower(),
            "attempts": job.attempts,
            "maxAttempts": None,
            "createdAt": iso(job.created_at),
            "processedAt": iso_or_none(job.processed_at),
            "completedAt": iso_or_none(job.completed_at),
            "nextRetryAt": iso_or_none(job.due) if job.status is JobStatus.PENDING else None,
            "error": job.error,
            "instanceId": instance_of(job),
            "correlationId": correlation_of(job),
        }
    )


def _cursor(place: JobPlace | None) -> str | None:
    if place is None:
        return None
    if place.log_before is not None:
        return pack("jobs", "ended", place.log_before)
    return pack("jobs", "live", place.live_after or "")


def _place(cursor: str | None) -> JobPlace | None:
    if cursor is None:
        return None
    part, where = unpack("jobs", cursor, length=2)
    if part == "ended":
        return JobPlace(log_before=number(where))
    return JobPlace(live_after=str(where))
