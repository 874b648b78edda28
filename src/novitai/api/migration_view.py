"""Migrations as callers see them: what a check found, and how the loops that look after moves are."""

from typing import Any, Literal

from novitai.api.loops import LoopView
from novitai.api.parts import ApiParts
from novitai.api.provider_jobs_view import provider_job
from novitai.api.schemas.migration import (
    CheckResult,
    ChecksAnswer,
    FailedMigrationAnswer,
    LoopAnswer,
    RecoveryAnswer,
    ReplacementAnswer,
    SchedulerAnswer,
    SchedulerHealth,
    SkippedAnswer,
)
from novitai.domain.automation import Part
from novitai.domain.money import dollars
from novitai.domain.offers import Offer
from novitai.domain.times import iso, iso_or_none
from novitai.operations.failed_migrations import Case, CheckReport
from novitai.operations.migration import Judged
from novitai.policies.failed_migrations import Remedy

MOVES, REPAIRS = "migration", "failed-migrations"
"""Names of the two loops."""


def check_result(report: CheckReport) -> CheckResult:
    """What a check found and did."""
    source: Literal["internal", "public"] = "internal" if report.source == "internal" else "public"
    return CheckResult(
        total_checked=len(report.cases),
        failed_jobs_found=report.failed,
        instances_recreated=report.did(Remedy.REPLACE),
        instances_told=report.did(Remedy.TELL),
        errors=report.errors,
        dry_run=report.dry_run,
        source=source if report.source else None,
        candidates=[_case(case) for case in report.cases],
    )


def _case(case: Case) -> FailedMigrationAnswer:
    return FailedMigrationAnswer(
        instance_id=case.instance_id,
        novita_instance_id=case.machine_id,
        name=case.name,
        migrating_since=iso(case.since),
        finding=case.finding,
        because=case.because,
        remedy=case.remedy,
        why=case.why or None,
        outcome=case.outcome,
        error=case.error or None,
        job=provider_job(case.job) if case.job is not None else None,
        offer=_replacement(case.offer) if case.offer is not None else None,
    )


def _replacement(offer: Offer) -> ReplacementAnswer:
    return ReplacementAnswer(
        product_id=offer.product_id,
        product_name=offer.product_name,
        region=offer.region,
        billing_mode=str(offer.billing_mode),
        price_per_hour=dollars(offer.price_per_hour),
    )


async def scheduler_answer(parts: ApiParts) -> SchedulerAnswer:
    """How the loop that moves is, with the one that repairs."""
    migrations, stats = parts.migrations, parts.migrations.stats()
    judged = migrations.all()
    return SchedulerAnswer(
        **_loop(parts, parts.loop(MOVES), job_id=await parts.move_trigger.running()),
        dry_run=migrations.usual.dry_run,
        paused=parts.automation.paused(Part.MIGRATION),
        max_concurrent=migrations.most,
        checked=len(judged),
        under_way=stats.under_way,
        begun=stats.begun,
        moved=stats.moved,
        failed=stats.failed,
        skipped=[_skipped(one) for one in judged if not one.verdict.step.acts],
        recovery_seconds=RecoveryAnswer(
            last=stats.last_seconds,
            median=stats.median_seconds,
            p95=stats.p95_seconds,
            worst=stats.worst_seconds,
            last_at=iso_or_none(stats.last_at),
        ),
        failed_migrations=await _checks(parts),
    )


async def _checks(parts: ApiParts) -> ChecksAnswer:
    failures = parts.failed_migrations
    return ChecksAnswer(
        **_loop(parts, parts.loop(REPAIRS), job_id=await failures.trigger.running())
        | {
            "total_executions": failures.checks,
            "failed_executions": failures.checks_failed,
            "last_error": failures.error,
        },
        checked=failures.checked,
        failed_jobs_found=failures.failed,
        instances_recreated=failures.replaced,
        instances_told=failures.told,
        errors=failures.put_off,
    )


def _loop(parts: ApiParts, loop: LoopView, *, job_id: str | None) -> dict[str, Any]:
    answer = LoopAnswer(
        is_running=loop.running,
        is_enabled=parts.migrations.usual.enabled,
        last_execution=iso_or_none(loop.last_run_at),
        next_execution=iso_or_none(loop.next_run_at),
        total_executions=loop.runs,
        failed_executions=loop.failures,
        current_job_id=job_id,
        uptime=round(max(0.0, parts.clock.now() - parts.freshness.started_at), 3),
        interval_minutes=loop.interval / 60.0,
        last_error=loop.last_error,
    )
    return answer.model_dump(by_alias=False)


def _skipped(judged: Judged) -> SkippedAnswer:
    instance, verdict = judged.snapshot.instance, judged.verdict
    return SkippedAnswer(
        instance_id=instance.id,
        name=instance.name,
        step=verdict.step,
        reason=verdict.because,
        next_at=iso_or_none(verdict.due),
    )


def scheduler_health(answer: SchedulerAnswer) -> SchedulerHealth:
    """Whether moves are looked after."""
    if not answer.is_enabled:
        return SchedulerHealth(healthy=True, status="disabled", issues=["MIGRATION_ENABLED is false"])
    if answer.paused:
        return SchedulerHealth(healthy=False, status="paused", issues=["what acts by itself on migrations is paused"])
    issues = [error for error in (answer.last_error, answer.failed_migrations.last_error) if error is not None]
    return SchedulerHealth(healthy=not issues, status="degraded" if issues else "healthy", issues=issues)
