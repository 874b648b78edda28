"""The idle stop as callers see it: the rule of an instance with where each value comes from, what it will do, and every signal."""

from typing import Any

from novitai.api.next_action import NextAction
from novitai.api.schemas.auto_stop import AutoStopRuleAnswer, CandidateAnswer, ExemptAnswer, SignalAnswer
from novitai.domain.idle import AutoStop, IdleRule, Signal
from novitai.domain.times import iso, iso_or_none
from novitai.operations.idle import Judged
from novitai.policies.idle import Step

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
    plain = _plain(rule)
    return {
        shown: {
            "value": plain[shown],
            "source": "request" if asked is not None and getattr(asked, name) is not None else "default",
        }
        for shown, name in _FIELDS.items()
    }


def _plain(rule: IdleRule) -> dict[str, Any]:
    after = rule.delete_after_stopped_seconds
    return {
        "enabled": rule.enabled,
        "dryRun": rule.dry_run,
        "idleMinutes": rule.idle_seconds / 60.0,
        "warnMinutes": rule.warn_seconds / 60.0,
        "signals": [str(signal) for signal in rule.signals],
        "deleteAfterStoppedHours": None if after is None else after / 3600.0,
    }


def action_of(judged: Judged) -> NextAction | None:
    """What the idle stop will do, if nobody uses the instance until then; None when it does nothing."""
    verdict = judged.verdict
    if verdict.step is Step.EXEMPT or verdict.acts_at is None or judged.rule.dry_run:
        return None
    read = any(signal.name.measured for signal in verdict.signals)
    unless = ", unless use is measured" if read else ""
    return NextAction(what=str(verdict.deed), at=iso(verdict.acts_at), because=verdict.because + unless)


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
        auto_stop=AutoStopRuleAnswer.model_validate(_plain(judged.rule)),
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
