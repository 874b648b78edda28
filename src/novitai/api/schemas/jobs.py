"""Our durable jobs, and those of Novita."""

from typing import Literal

from pydantic import Field

from novitai.api.schemas.common import Answer, Page, PageQuery, Query, Time

JobStatusName = Literal["pending", "processing", "completed", "failed", "cancelled"]
JobTypeName = Literal[
    "create_instance",
    "start_instance",
    "stop_instance",
    "delete_instance",
    "monitor_instance",
    "migrate_instance",
    "send_webhook",
    "sync_instances",
    "auto_stop_check",
    "check_failed_migrations",
]
PriorityName = Literal["low", "normal", "high", "critical"]


class JobAnswer(Answer):
    """A piece of work that must happen. `maxAttempts` null: it is tried until it is done."""

    id: str
    type: str
    key: str
    status: JobStatusName
    priority: PriorityName
    attempts: int
    max_attempts: int | None
    created_at: Time
    processed_at: Time | None
    completed_at: Time | None
    next_retry_at: Time | None
    error: str | None
    instance_id: str | None
    correlation_id: str | None


class JobListAnswer(Page):
    """Jobs, live ones first, then finished ones, each newest first."""

    jobs: list[JobAnswer]


class JobQuery(PageQuery):
    """Which jobs."""

    type: JobTypeName | None = None
    status: JobStatusName | None = None
    priority: PriorityName | None = None
    instance_id: str | None = Field(default=None, min_length=1, max_length=100)


class JobStatsAnswer(Answer):
    """`counts` by type and status: live jobs now, finished ones of the last `finishedWindowSeconds`."""

    counts: dict[str, dict[str, int]]
    by_status: dict[str, int]
    total: int
    oldest_pending_age_seconds: float | None
    done_per_minute: float
    finished_window_seconds: float


class ProviderJobAnswer(Answer):
    """A job of Novita's, such as a migration."""

    id: str
    type: str
    state: str
    error: str | None
    instance_id: str
    created_at: Time | None
    updated_at: Time | None


class ProviderJobsAnswer(Page):
    """Novita's jobs, and which of its two APIs answered."""

    jobs: list[ProviderJobAnswer]
    source: Literal["internal", "public"]


class ProviderJobQuery(Query):
    """Which of Novita's jobs. Times are ISO 8601 or Unix seconds."""

    type: Literal["saveImage", "instanceMigrate", "autoInstanceMigrate"] | None = None
    state: Literal["pulling", "running", "success", "fail", "break"] | None = None
    instance_id: str | None = Field(default=None, min_length=1, max_length=100)
    start_time: str | None = Field(default=None, max_length=40)
    end_time: str | None = Field(default=None, max_length=40)
    page: int = Field(default=1, ge=1, le=100_000)
    page_size: int = Field(default=100, ge=1, le=100)
