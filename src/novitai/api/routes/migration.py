"""Migrations: the check for those that failed, and the loop that moves instances, seen and triggered by hand."""

from starlette.responses import Response

from novitai.api.access import Here, Parts
from novitai.api.migration_view import check_result, scheduler_answer, scheduler_health
from novitai.api.parts import ApiParts
from novitai.api.routes.changing import require_control
from novitai.api.routing import Routes, json_answer
from novitai.api.schemas.migration import CheckAnswer, CheckBody, SchedulerStatusAnswer, TriggeredAnswer
from novitai.domain.automation import Part
from novitai.domain.keys import Scope
from novitai.domain.times import iso
from novitai.operations.failed_migrations import CheckReport

ROUTES = Routes("migration")

LOOK_SECONDS = 0.2
_UPSTREAM = {502: "Novita failed", 503: "Novita is not asked now", 504: "Novita did not answer in time"}


@ROUTES.add(
    "POST",
    "/api/instances/migration/check-failed",
    needs=Scope.WRITE,
    answer=CheckAnswer,
    others=_UPSTREAM | {202: "It goes on as a job", 409: "It was cancelled"},
)
async def check_failed_migrations(parts: Parts, visit: Here, body: CheckBody | None = None) -> Response:
    """Look for machines that hang in a migration that has failed, and repair them: by another machine under the same id.

    A failure is one that Novita's jobs tell and a single read confirms. What cannot be bought anew now is kept. `dryRun` reads and tells
    the same, and writes nothing. Without `immediate` the check is a job, whose id is answered.
    """
    body = body or CheckBody()
    asked_at = parts.clock.now()
    if body.dry_run:
        report = await parts.failed_migrations.rehearse(correlation_id=visit.correlation_id)
        return json_answer(_checked(parts, report, "nothing was changed", asked_at=asked_at))
    require_control(parts)
    job_id = await parts.failed_migrations.trigger.request(visit.context(), immediate=body.immediate)
    if not body.immediate or parts.automation.paused(Part.JOBS):
        return json_answer(_scheduled(parts, job_id, "the check is a job", asked_at=asked_at), status=202)
    visit.held = True
    waiting = asked_at + parts.settings.longest_sync
    while parts.clock.now() < waiting and not parts.shutting_down.is_set():
        found = await parts.failed_migrations.trigger.outcome(job_id, asked_at=asked_at)
        if found is not None:
            return json_answer(_checked(parts, found, _summary(found), job_id=job_id, asked_at=asked_at))
        await parts.clock.sleep(LOOK_SECONDS)
    return json_answer(_scheduled(parts, job_id, "the check goes on", asked_at=asked_at), status=202)


@ROUTES.add("GET", "/api/instances/migration/scheduler/status", needs=Scope.READ, answer=SchedulerStatusAnswer)
async def migration_scheduler_status(parts: Parts) -> Response:
    """How the loops that look after moves are, what they did, whom they leave alone and why, and how long recovery took."""
    answer = await scheduler_answer(parts)
    health = scheduler_health(answer)
    return json_answer(
        SchedulerStatusAnswer(
            success=True,
            message=f"the migration scheduler is {health.status}",
            status=answer,
            health_details=health,
            retrieved_at=iso(parts.clock.now()),
        )
    )


@ROUTES.add("POST", "/api/instances/migration/scheduler/trigger", needs=Scope.WRITE, answer=TriggeredAnswer, status=202)
async def trigger_migration_scheduler(parts: Parts, visit: Here) -> Response:
    """Look after moves now, without waiting for the loop's time: a job that moves what is due."""
    require_control(parts)
    asked_at = parts.clock.now()
    job_id = await parts.move_trigger.request(visit.context())
    paused = parts.automation.paused(Part.MIGRATION)
    message = "migration is paused, so the look will move nothing" if paused else f"see /api/jobs/{job_id}"
    return json_answer(
        TriggeredAnswer(
            success=True,
            message=message,
            job_id=job_id,
            triggered_at=iso(asked_at),
            duration=_milliseconds(parts, asked_at),
        ),
        status=202,
    )


def _checked(
    parts: ApiParts, report: CheckReport, message: str, *, asked_at: float, job_id: str | None = None
) -> CheckAnswer:
    return CheckAnswer(
        success=True,
        message=message,
        job_id=job_id,
        result=check_result(report),
        executed_at=iso(report.at),
        duration=_milliseconds(parts, asked_at),
    )


def _scheduled(parts: ApiParts, job_id: str, message: str, *, asked_at: float) -> CheckAnswer:
    return CheckAnswer(
        success=True,
        message=f"{message}; see /api/jobs/{job_id}",
        job_id=job_id,
        scheduled_at=iso(asked_at),
        duration=_milliseconds(parts, asked_at),
    )


def _summary(report: CheckReport) -> str:
    if not report.cases:
        return "no machine is migrating"
    return f"{report.failed} of {len(report.cases)} migrations have failed"


def _milliseconds(parts: ApiParts, since: float) -> int:
    return round(max(0.0, parts.clock.now() - since) * 1000)
