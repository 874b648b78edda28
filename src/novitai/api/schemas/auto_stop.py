"""The idle stop: what may be asked of it for one instance, its statistics, its candidates, and what was measured of a machine."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from novitai.api.schemas.common import Answer, Body, Query, Time
from novitai.domain.idle import AutoStop, Deed, SignalName
from novitai.policies.idle import Step

Minutes = Annotated[float, Field(allow_inf_nan=False)]
LONGEST_MINUTES = 7 * 24 * 60.0
LONGEST_HOURS = 365 * 24.0


class AutoStopBody(Body):
    """When the instance is stopped because nobody uses it; what is left out is the server's setting."""

    enabled: bool | None = None
    dry_run: bool | None = Field(default=None, description="Only write down what would be done.")
    idle_minutes: Minutes | None = Field(default=None, gt=0, le=LONGEST_MINUTES)
    warn_minutes: Minutes | None = Field(default=None, ge=0, le=LONGEST_MINUTES)
    signals: list[Literal["last-used", "gpu", "cpu"]] | None = Field(
        default=None, min_length=1, max_length=3, description="Which of them have to say idle; default: all."
    )
    delete_after_stopped_hours: Minutes | None = Field(
        default=None, gt=0, le=LONGEST_HOURS, description="Delete it when it stood stopped this long; default: never."
    )

    @model_validator(mode="after")
    def _warns_before_it_stops(self) -> Self:
        if self.idle_minutes is not None and self.warn_minutes is not None and self.warn_minutes >= self.idle_minutes:
            raise ValueError("warnMinutes must be less than idleMinutes")
        return self

    def asked(self) -> AutoStop:
        """In the words of the domain."""
        hours = self.delete_after_stopped_hours
        return AutoStop(
            enabled=self.enabled,
            dry_run=self.dry_run,
            idle_seconds=None if self.idle_minutes is None else self.idle_minutes * 60.0,
            warn_seconds=None if self.warn_minutes is None else self.warn_minutes * 60.0,
            signals=None if self.signals is None else tuple(map(SignalName, dict.fromkeys(self.signals))),
            delete_after_stopped_seconds=None if hours is None else hours * 3600.0,
        )


class TriggerBody(Body):
    """`dryRun` true: only list what stands how; false: also do now what is due."""

    dry_run: bool = True


class SignalAnswer(Answer):
    """A signal's newest value (percent; null for last-used), when it was measured or told, and its age. `idle` null: not read yet."""

    name: SignalName
    value: float | None
    at: Time | None
    age_seconds: float | None
    idle: bool | None


class AutoStopRuleAnswer(Answer):
    """The rule that holds for an instance."""

    enabled: bool
    dry_run: bool
    idle_minutes: float
    warn_minutes: float
    signals: list[str]
    delete_after_stopped_hours: float | None


class CandidateAnswer(Answer):
    """An instance that the rule holds for. `actsAt`: when it is stopped (or deleted) if nobody uses it until then."""

    instance_id: str
    name: str
    status: str
    action: Deed
    step: Step
    because: str
    idle_since: Time | None
    idle_seconds: float | None
    warned_at: Time | None
    acts_at: Time | None
    auto_stop: AutoStopRuleAnswer
    signals: list[SignalAnswer]


class ExemptAnswer(Answer):
    """An instance that the rule does not hold for, and why."""

    instance_id: str
    name: str
    status: str
    because: str


class TriggerAnswer(Answer):
    """Every instance: candidates, the longest idle first, and those exempt."""

    message: str
    dry_run: bool
    timestamp: Time
    checked: int
    candidates: list[CandidateAnswer]
    exempt: list[ExemptAnswer]


class StatsAnswer(Answer):
    """What the idle stop did. `usdSaved` is the price of each stopped instance for the time in which its stop held.

    `checks` and `checked` count since the start of this process, the others since the store was made. The grace periods are those
    of the earlier service; they are 0, because idleness counts from when an instance is ready.
    """

    enabled: bool
    dry_run: bool
    paused: bool
    scheduler_running: bool
    check_interval_minutes: float
    default_inactivity_threshold_minutes: float
    default_warn_minutes: float
    startup_grace_period_minutes: float = 0.0
    creation_grace_period_minutes: float = 0.0
    checks: int
    checked: int
    last_check_at: Time | None
    warned: int
    postponed: int
    stopped: int
    deleted: int
    usd_saved: float


class SampleAnswer(Answer):
    """A percentage at a moment."""

    at: Time
    value: float


class MetricsAnswer(Answer):
    """What Novita measured, about a minute late: percentages. `gpu` and `gpuMemory` are of the busiest GPU at each moment."""

    instance_id: str
    novita_instance_id: str
    gpu: list[SampleAnswer]
    gpu_memory: list[SampleAnswer]
    cpu: list[SampleAnswer]
    memory: list[SampleAnswer]
    disk: list[SampleAnswer]


class MetricsQuery(Query):
    """How far back, and how far apart."""

    minutes: int = Field(default=30, ge=1, le=1440)
    interval: int = Field(default=15, ge=15, le=3600, description="Seconds between two values.")


class SnoozeQuery(Query):
    """The token of the link."""

    token: str = Field(default="", max_length=300)
