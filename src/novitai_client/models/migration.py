"""Migrations: those that failed and what became of them, how moves are looked after, and Novita's own jobs."""

from novitai_client.models.base import Shape, Time


class ProviderJob(Shape, frozen=True, kw_only=True):
    """A job of Novita's own. `type` is saveImage, instanceMigrate or autoInstanceMigrate; `instance_id` is Novita's."""

    id: str
    type: str
    state: str
    instance_id: str
    error: str | None = None
    created_at: Time | None = None
    updated_at: Time | None = None


class ProviderJobPage(Shape, frozen=True, kw_only=True):
    """Novita's jobs; `source` says which of its APIs told them."""

    jobs: tuple[ProviderJob, ...]
    total: int
    source: str


class Replacement(Shape, frozen=True, kw_only=True):
    """Where another machine is bought, or would be now; USD per hour for the whole machine."""

    product_id: str
    product_name: str
    region: str
    billing_mode: str
    price_per_hour: float


class FailedMigration(Shape, frozen=True, kw_only=True):
    """An instance whose machine is migrating. `finding` is failed, moving or unknown, `because` of what; `remedy` is replace, tell or
    nothing, `why`; `outcome` is done, would, put_off or waits (`error` says why), told_before or nothing.
    """

    instance_id: str
    novita_instance_id: str
    name: str
    finding: str
    because: str
    remedy: str
    outcome: str
    migrating_since: Time | None = None
    why: str | None = None
    error: str | None = None
    job: ProviderJob | None = None
    offer: Replacement | None = None


class FailedMigrations(Shape, frozen=True, kw_only=True):
    """What a check found: of `total_checked` migrating machines, `failed_jobs_found` hang; `errors` could not be seen to now."""

    total_checked: int
    failed_jobs_found: int
    instances_recreated: int
    instances_told: int
    errors: int
    dry_run: bool
    candidates: tuple[FailedMigration, ...]
    source: str | None = None


class MigrationCheck(Shape, frozen=True, kw_only=True):
    """A check for failed migrations; `result` is None when it goes on as the job `job_id`."""

    success: bool
    message: str
    duration: int
    job_id: str | None = None
    result: FailedMigrations | None = None
    executed_at: Time | None = None
    scheduled_at: Time | None = None


class MigrationTrigger(Shape, frozen=True, kw_only=True):
    """The job that looks after moves now."""

    success: bool
    message: str
    job_id: str
    triggered_at: Time | None = None


class LeftAlone(Shape, frozen=True, kw_only=True):
    """An instance that Novita takes back and that is not moved now, and why."""

    instance_id: str
    name: str
    step: str
    reason: str
    next_at: Time | None = None


class Recovery(Shape, frozen=True, kw_only=True):
    """Seconds from the notice or the reclaim to ready, over the moves of the last week."""

    last: float | None = None
    median: float | None = None
    p95: float | None = None
    worst: float | None = None
    last_at: Time | None = None


class MigrationChecks(Shape, frozen=True, kw_only=True):
    """The loop that looks for failed migrations, and what it did since the server's process started."""

    is_running: bool
    is_enabled: bool
    total_executions: int
    failed_executions: int
    interval_minutes: float
    checked: int
    failed_jobs_found: int
    instances_recreated: int
    instances_told: int
    errors: int
    last_execution: Time | None = None
    next_execution: Time | None = None
    current_job_id: str | None = None
    last_error: str | None = None


class MigrationScheduler(Shape, frozen=True, kw_only=True):
    """The loop that moves what Novita takes back. `begun`, `moved`, `failed`: moves of the last week; `skipped`: left alone now."""

    is_running: bool
    is_enabled: bool
    dry_run: bool
    paused: bool
    total_executions: int
    failed_executions: int
    interval_minutes: float
    max_concurrent: int
    checked: int
    under_way: int
    begun: int
    moved: int
    failed: int
    skipped: tuple[LeftAlone, ...]
    recovery_seconds: Recovery
    failed_migrations: MigrationChecks
    last_execution: Time | None = None
    next_execution: Time | None = None
    current_job_id: str | None = None
    last_error: str | None = None


class SchedulerHealth(Shape, frozen=True, kw_only=True):
    """`status` is healthy, degraded, paused or disabled; `issues` say what is not well."""

    healthy: bool
    status: str
    issues: tuple[str, ...]


class MigrationStatus(Shape, frozen=True, kw_only=True):
    """How moves are looked after."""

    success: bool
    message: str
    status: MigrationScheduler
    health_details: SchedulerHealth
    retrieved_at: Time | None = None
