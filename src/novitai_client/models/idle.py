"""The idle stop: what it did, how every instance stands with it, and what was measured of a machine."""

from typing import Any

from novitai_client.models.base import Shape, Time


class AutoStopStats(Shape, frozen=True, kw_only=True):
    """What the idle stop did. `usd_saved`: the price of each stopped instance for the time in which its stop held."""

    enabled: bool
    dry_run: bool
    paused: bool
    check_interval_minutes: float
    default_inactivity_threshold_minutes: float
    default_warn_minutes: float
    checks: int
    checked: int
    warned: int
    postponed: int
    stopped: int
    deleted: int
    usd_saved: float
    last_check_at: Time | None = None


class IdleSignal(Shape, frozen=True, kw_only=True):
    """A signal's newest value (percent; None for last-used) with its age. `idle` None: not read yet."""

    name: str
    value: float | None = None
    at: Time | None = None
    age_seconds: float | None = None
    idle: bool | None = None


class IdleCandidate(Shape, frozen=True, kw_only=True):
    """An instance that the rule holds for. `acts_at`: when it is stopped (or deleted) if nobody uses it until then."""

    instance_id: str
    name: str
    status: str
    action: str
    step: str
    because: str
    auto_stop: dict[str, Any]
    signals: tuple[IdleSignal, ...]
    idle_since: Time | None = None
    idle_seconds: float | None = None
    warned_at: Time | None = None
    acts_at: Time | None = None


class IdleExempt(Shape, frozen=True, kw_only=True):
    """An instance that the rule does not hold for, and why."""

    instance_id: str
    name: str
    status: str
    because: str


class AutoStopReport(Shape, frozen=True, kw_only=True):
    """Every instance: candidates, the longest idle first, and those exempt."""

    message: str
    dry_run: bool
    checked: int
    candidates: tuple[IdleCandidate, ...]
    exempt: tuple[IdleExempt, ...]
    timestamp: Time | None = None


class MetricSample(Shape, frozen=True, kw_only=True):
    """A percentage at a moment."""

    value: float
    at: Time | None = None


class InstanceMetrics(Shape, frozen=True, kw_only=True):
    """What Novita measured, about a minute late: percentages, `gpu` and `gpu_memory` of the busiest GPU."""

    instance_id: str
    novita_instance_id: str
    gpu: tuple[MetricSample, ...]
    gpu_memory: tuple[MetricSample, ...]
    cpu: tuple[MetricSample, ...]
    memory: tuple[MetricSample, ...]
    disk: tuple[MetricSample, ...]
