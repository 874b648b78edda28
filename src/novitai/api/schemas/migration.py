"""Migrations: those that failed and what became of them, and the two loops that look after moves.

`success`, `message`, `jobId`, `result`, `executedAt`, `scheduledAt`, `triggeredAt`, `duration`, `status`, `healthDetails` and
`retrievedAt` are the names of the earlier service (reference/predecessor.md), whose clients read them.
"""

from typing import Literal

from pydantic import Field

from novitai.api.schemas.common import Answer, Body, Time
from novitai.api.schemas.jobs import ProviderJobAnswer
from novitai.operations.failed_migrations import Outcome
from novitai.policies.failed_migrations import Finding, Remedy
from novitai.policies.migration import Step


class CheckBody(Body):
    """`immediate`: wait for what the check finds, in place of the id of its job. `dryRun`: only tell what would be done."""

    immediate: bool = False
    dry_run: bool = False


class ReplacementAnswer(Answer):
    """Where another machine is bought, or would be now."""

    product_id: str
    product_name: str
    region: str
    billing_mode: str
    price_per_hour: float


class FailedMigrationAnswer(Answer):
    """An instance whose machine is migrating. `finding`: what Novita's jobs and a single read say, `because` of what; `remedy`: what is
    done about it, `why`; `outcome`: what came of that, and `error` why it was put off.
    """

    instance_id: str
    novita_instance_id: str
    name: str
    migrating_since: Time
    finding: Finding
    because: str
    remedy: Remedy
    why: str | None
    outcome: Outcome
    error: str | None
    job: ProviderJobAnswer | None
    offer: ReplacementAnswer | None


class CheckResult(Answer):
    """`totalChecked` machines were migrating, the migration of `failedJobsFound` had failed; `errors` of them could not be seen to now.

    In a dry run `instancesRecreated` and `instancesTold` are 0, and `candidates` say what would be done.
    """

    total_checked: int
    failed_jobs_found: int
    instances_recreated: int
    instances_told: int
    errors: int
    dry_run: bool
    source: Literal["internal", "public"] | None = Field(description="Which of Novita's APIs told the jobs.")
    candidates: list[FailedMigrationAnswer]


class CheckAnswer(Answer):
    """The result of a check, or the job that makes it. `duration` in milliseconds."""

    success: bool
    message: str
    job_id: str | None = None
    result: CheckResult | None = None
    executed_at: Time | None = None
    scheduled_at: Time | None = None
    duration: int


class TriggeredAnswer(Answer):
    """The job that looks after moves now. `duration` in milliseconds."""

    success: bool
    message: str
    job_id: str
    triggered_at: Time
    duration: int


class SkippedAnswer(Answer):
    """An instance that Novita takes back and that is not moved now, and why; `nextAt`: when that may be different by itself."""

    instance_id: str
    name: str
    step: Step
    reason: str
    next_at: Time | None


class LoopAnswer(Answer):
    """A loop: `lastExecution` and `nextExecution` of the process that answers; `currentJobId` when somebody asked for it and it waits or
    runs. Counts are since the start of that process; `uptime` in seconds.
    """

    is_running: bool
    is_enabled: bool
    last_execution: Time | None
    next_execution: Time | None
    total_executions: int
    failed_executions: int
    current_job_id: str | None
    uptime: float
    interval_minutes: float
    last_error: str | None


class RecoveryAnswer(Answer):
    """Seconds from the notice or the reclaim to ready, over the moves of the last week; `lastAt`: when the latest of them arrived."""

    last: float | None
    median: float | None
    p95: float | None
    worst: float | None
    last_at: Time | None


class ChecksAnswer(LoopAnswer):
    """The check for failed migrations: machines looked at, failures found, what was done about them."""

    checked: int
    failed_jobs_found: int
    instances_recreated: int
    instances_told: int
    errors: int


class SchedulerAnswer(LoopAnswer):
    """The loop that moves instances whose spot machine Novita takes back; `failedMigrations` is the one that repairs.

    `checked`: instances that Novita takes back now; `begun`, `moved` and `failed` are the moves of the last week.
    """

    dry_run: bool
    paused: bool
    max_concurrent: int
    checked: int
    under_way: int
    begun: int
    moved: int
    failed: int
    skipped: list[SkippedAnswer]
    recovery_seconds: RecoveryAnswer
    failed_migrations: ChecksAnswer


class SchedulerHealth(Answer):
    """Whether moves are looked after; `issues` say what is not well."""

    healthy: bool
    status: Literal["healthy", "degraded", "paused", "disabled"]
    issues: list[str]


class SchedulerStatusAnswer(Answer):
    """How moves are looked after."""

    success: bool
    message: str
    status: SchedulerAnswer
    health_details: SchedulerHealth
    retrieved_at: Time
