"""What the idle stop says of an instance: since when nobody uses it, what follows when, and what keeps that away.

The rule is `policies/idle.py`; here it only gets its words.
"""

from typing import Any

from novitai.domain.explanation import PolicyView, Step
from novitai.domain.idle import AutoStop, Deed, IdleRule
from novitai.domain.times import span, spoken
from novitai.policies import idle
from novitai.policies.verdicts import source


def auto_stop(asked: AutoStop | None, rule: IdleRule, found: idle.Verdict, *, now: float) -> PolicyView:
    """Whether it counts as idle and what follows; `found` is what the rule says now."""
    said = [] if asked is None else [_IDLE_FIELDS[name] for name in _IDLE_FIELDS if getattr(asked, name) is not None]
    step = idle_step(rule, found)
    verdict = _idle_verdict(rule, found, now=now)
    if said and len(said) < len(_IDLE_FIELDS):
        verdict = f"{verdict} ({', '.join(said)} {'is' if len(said) == 1 else 'are'} from the request, the rest from the settings.)"
    return PolicyView(
        name="autoStop",
        value=idle_value(rule),
        source=source(said=bool(said)),
        verdict=verdict,
        next=step,
        holds_until=None,
    )


def idle_step(rule: IdleRule, found: idle.Verdict) -> Step | None:
    """What the idle stop will do, if nobody uses the instance until then; None when it does nothing."""
    if found.step is idle.Step.EXEMPT or found.acts_at is None or rule.dry_run:
        return None
    unless = "somebody uses it before, or it is started" if found.deed is Deed.DELETE else "somebody uses it before"
    if any(signal.name.measured for signal in found.signals):
        unless += " (told by the API, or measured)"
    if found.warned is not None:
        unless += " or follows the link in the warning"
    return Step(what=str(found.deed), at=found.acts_at, because=found.because, unless=unless)


_IDLE_FIELDS = {
    "enabled": "enabled",
    "dry_run": "dryRun",
    "idle_seconds": "idleMinutes",
    "warn_seconds": "warnMinutes",
    "signals": "signals",
    "delete_after_stopped_seconds": "deleteAfterStoppedHours",
}


def idle_value(rule: IdleRule) -> dict[str, Any]:
    """The rule of the idle stop under the names of the API."""
    after = rule.delete_after_stopped_seconds
    return {
        "enabled": rule.enabled,
        "dryRun": rule.dry_run,
        "idleMinutes": rule.idle_seconds / 60.0,
        "warnMinutes": rule.warn_seconds / 60.0,
        "signals": [str(signal) for signal in rule.signals],
        "deleteAfterStoppedHours": None if after is None else after / 3600.0,
    }


def _idle_verdict(rule: IdleRule, found: idle.Verdict, *, now: float) -> str:
    if found.step is idle.Step.EXEMPT or found.acts_at is None or found.idle_since is None:
        return f"Does nothing: {found.because}."
    deed = "stopped" if found.deed is Deed.STOP else "deleted"
    since = f"{'Unused' if found.deed is Deed.STOP else 'Stopped'} since {spoken(found.idle_since, now=now)}"
    when = spoken(found.acts_at, now=now)
    if rule.dry_run:
        return f"{since}. It would be {deed} at {when}, but this is a dry run: nothing is done."
    if found.warned is not None:
        return f"{since}; a warning is out since {spoken(found.warned.at, now=now)}: it is {deed} at {when} unless somebody uses it."
    if found.step is idle.Step.READ:
        return f"{since}, as far as is told; what GPU and CPU did is being read before anything is decided."
    return f"{since}; if that stays so it is {deed} at {when}, and announced {span(rule.warn_seconds)} before."
