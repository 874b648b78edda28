"""The idle stop as callers see it: the rule of an instance with where each value comes from, and every signal."""

from typing import Any

from novitai.api.schemas.auto_stop import AutoStopRuleAnswer, CandidateAnswer, ExemptAnswer, SignalAnswer
from novitai.domain.idle import AutoStop, IdleRule, Signal
from novitai.domain.times import iso, iso_or_none
from novitai.operations.idle import Judged
from novitai.policies.idle_verdict import idle_value

_FIELDS = {
    "enabled": "enabled",
    "dryRun": "dry_run",
    "idleMinutes": "idle_seconds",
    "warnMinutes": "warn_seconds",
    "signals": "signals",
    "deleteAfterStoppedHours": "delete_after_stopped_seconds",
}


def policy_of(asked: AutoStop | None, rule: IdleRule) -> dict[str, dict[str, Any]]:
    """Every value of the rule, and whether the request or the settings said it."""
    plain = idle_value(rule)
    return {
        shown: {
            "value": plain[shown],
            "source": "request" if asked is not None and getattr(asked, name) is not None else "default",
        }
        for shown, name in _FIELDS.items()
    }


def candidate_of(judged: Judged, *, now: float) -> CandidateAnswer:
    """An instance that the rule holds for, with every signal."""
    instance, verdict = judged.snapshot.instance, judged.verdict
    return CandidateAnswer(
        instance_id=instance.id,
        name=instance.name,
        status=str(instance.state),
        action=verdict.deed,
        step=verdict.step,
        because=verdict.because,
        idle_since=iso_or_none(verdict.idle_since),
        idle_seconds=None if verdict.idle_since is None else round(max(0.0, now - verdict.idle_since), 3),
        warned_at=None if verdict.warned is None else iso(verdict.warned.at),
        acts_at=iso_or_none(verdict.acts_at),
        auto_stop=AutoStopRuleAnswer.model_validate(idle_value(judged.rule)),
        signals=[_signal(signal, now=now) for signal in verdict.signals],
    )


def exempt_of(judged: Judged) -> ExemptAnswer:
    """An instance that the rule does not hold for, and why."""
    instance = judged.snapshot.instance
    return ExemptAnswer(
        instance_id=instance.id, name=instance.name, status=str(instance.state), because=judged.verdict.because
    )


def _signal(signal: Signal, *, now: float) -> SignalAnswer:
    return SignalAnswer(
        name=signal.name,
        value=signal.value,
        at=iso_or_none(signal.at),
        age_seconds=None if signal.at is None else round(now - signal.at, 3),
        idle=signal.idle,
    )
