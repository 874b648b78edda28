"""The service itself: health, Novita's clients as we see them, caches."""

from typing import Any, Literal

from pydantic import Field

from novitai.api.schemas.common import Answer, Body, Time

ServiceName = Literal["up", "down", "degraded", "disabled"]


class SyncAnswer(Answer):
    """How our records are held against Novita's list: the last audit of the whole account, and how the polls go."""

    status: ServiceName
    last_sync: Time | None
    running: bool
    counts: dict[str, int]
    error: str | None


class HealthDetails(Answer):
    """What only callers with a key are told."""

    version: str
    mode: Literal["control", "observe"]
    warnings: list[str]
    paused: list[str]
    timer_late_seconds: float
    event_loop_lag_seconds: float
    instances: dict[str, int]


class HealthAnswer(Answer):
    """`uptime` is in seconds. With a key `services.sync` is an object and `details` are there."""

    status: Literal["healthy", "degraded", "unhealthy"]
    timestamp: Time
    uptime: float
    services: dict[str, ServiceName | SyncAnswer]
    details: HealthDetails | None = None


class ProbeAnswer(Answer):
    """Whether the process lives, or may get traffic."""

    status: Literal["ok", "not ready"]


class BreakerAnswer(Answer):
    """A circuit breaker."""

    state: Literal["CLOSED", "OPEN", "HALF_OPEN"]
    failure_count: int
    opened_at: Time | None
    retry_at: Time | None


class LimiterAnswer(Answer):
    """How full the window of calls is."""

    limit: int
    window_seconds: float
    used: int
    queue_length: int
    oldest_wait_ms: float


class LatencyAnswer(Answer):
    """Milliseconds; null before the first call."""

    p50: float | None
    p99: float | None


class PollingAnswer(Answer):
    """How the list of machines is read now."""

    interval_seconds: float
    last_poll_at: Time | None
    pages: int
    machines: int


class UpstreamClientAnswer(Answer):
    """One client of Novita. `circuitBreaker` is the worst of `circuitBreakers`."""

    enabled: bool
    reachable: bool | None
    last_success_at: Time | None
    last_failure_at: Time | None
    last_error: str | None
    auth_failed: bool
    circuit_breaker: BreakerAnswer
    circuit_breakers: dict[str, BreakerAnswer]
    rate_limiter: LimiterAnswer
    latency_ms: LatencyAnswer
    polling: PollingAnswer | None = None


class UpstreamAnswer(Answer):
    """Both clients of Novita, from what was last observed."""

    public: UpstreamClientAnswer
    internal: UpstreamClientAnswer


class CacheAnswer(Answer):
    """Counters of one cache since the start."""

    name: str
    entries: int
    hits: int
    misses: int
    hit_ratio: float


class CacheSummary(Answer):
    """All caches together."""

    total_caches: int
    total_entries: int
    total_hits: int
    total_misses: int
    overall_hit_ratio: float


class CacheStatsAnswer(Answer):
    """`cacheManager` and `summary` have the shape that clients of the earlier service read."""

    timestamp: Time
    caches: list[CacheAnswer]
    cache_manager: dict[str, Any]
    summary: CacheSummary


class ClearCacheBody(Body):
    """Which cache to forget; all when left out."""

    cache_name: str | None = Field(default=None, min_length=1, max_length=100)


class ClearedAnswer(Answer):
    """How much was forgotten."""

    message: str
    entries_removed: int
    timestamp: Time
