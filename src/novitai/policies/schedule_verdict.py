"""What the calendar says of an instance: its time to live and its schedule, each with its value, its source, and what it does next.

The rule is `policies/schedule.py`; here it only gets its words, and what stands above it is named.
"""

from typing import Any

import msgspec

from novitai.domain.explanation import PolicyView, Step
from novitai.domain.instance import DesiredState, Instance
from novitai.domain.schedule import Schedule
from novitai.domain.times import iso, iso_or_none, span, spoken
from novitai.policies import schedule as calendar
from novitai.policies.precedence import Voice, mask
from novitai.policies.verdicts import source


def ttl(instance: Instance, *, now: float) -> PolicyView:
    """When its time is over."""
    asked, ends = instance.spec.ttl, instance.ttl_ends_at
    value = ttl_value(instance)
    view = PolicyView(
        name="ttl", value=value, source=source(said=asked is not None), verdict="Not set: its time has no end."
    )
    if asked is None or ends is None:
        return view
    if not calendar.timed(instance):
        return msgspec.structs.replace(view, verdict=f"Means nothing any more: it is {instance.state}.")
    runs = instance.wants is DesiredState.RUNNING
    if now >= ends:
        then = "it is stopped now" if runs else "it is held stopped"
        held = f"{then}, and can be started after a PATCH gives it another ttl"
        because = f"its ttl of {span(asked.seconds)} ended at {iso(ends)}"
        step = Step(what="stop", at=None, because=because, unless="a PATCH gives it another ttl") if runs else None
        return msgspec.structs.replace(view, verdict=f"Over since {spoken(ends, now=now)}: {held}.", next=step)
    step = Step(what="stop", at=ends, because="its ttl ends", unless="a PATCH gives it another ttl") if runs else None
    then = "then it is stopped" if runs else "until then it may be started"
    verdict = f"Ends at {spoken(ends, now=now)}: {then}."
    return msgspec.structs.replace(view, verdict=verdict, next=step, holds_until=ends)


def ttl_value(instance: Instance) -> dict[str, Any] | None:
    """A ttl under the names of the API."""
    asked = instance.spec.ttl
    return None if asked is None else {"seconds": asked.seconds, "endsAt": iso_or_none(instance.ttl_ends_at)}


def schedule(instance: Instance, *, now: float, held: bool = False) -> PolicyView:
    """What its schedule does next. `held`: a used-up budget holds the instance down."""
    asked = instance.spec.schedule
    value = schedule_value(asked)
    view = PolicyView(
        name="schedule",
        value=value,
        source=source(said=asked is not None),
        verdict="Not set: nothing is started or stopped by the clock.",
    )
    if asked is None:
        return view
    if not calendar.timed(instance):
        return msgspec.structs.replace(view, verdict=f"Means nothing any more: it is {instance.state}.")
    over = mask(instance, now=now, held=held)
    if over is not None:
        why = "its ttl is over" if over is Voice.TTL else "a used-up budget"
        return msgspec.structs.replace(view, verdict=f"Not heard: {why} holds it stopped.")
    step, look_at = _scheduled(instance, now=now)
    verdict = _calendar_verdict(instance, step, now=now)
    return msgspec.structs.replace(view, verdict=verdict, next=step, holds_until=look_at)


def _scheduled(instance: Instance, *, now: float) -> tuple[Step | None, float | None]:
    """What the schedule alone would do; a ttl that ends before is heard first."""
    alone = msgspec.structs.replace(instance, spec=msgspec.structs.replace(instance.spec, ttl=None))
    found, ends = calendar.judge(alone, now=now), instance.ttl_ends_at
    if found.order is not None:
        return Step(what=str(found.order.verb), at=None, because=found.order.why.because), found.look_at
    coming = found.coming
    if coming is None or (ends is not None and ends <= coming.at):
        return None, found.look_at
    unless = (
        "a person stops it before, or its schedule is changed" if coming.verb == "start" else "its schedule is changed"
    )
    return Step(what=str(coming.verb), at=coming.at, because=coming.because, unless=unless), found.look_at


def _calendar_verdict(instance: Instance, step: Step | None, *, now: float) -> str:
    if step is None and instance.wants is DesiredState.STOPPED:
        return (
            "Starts nothing: a person's stop holds until a person starts it, or its time is over before the next start."
        )
    if step is None:
        return "Has nothing to do before something else happens."
    if step.at is None:
        return f"Due now: {step.what}, because {step.because}."
    return f"Next {step.what} at {spoken(step.at, now=now)}: {step.because}."


def schedule_value(asked: Schedule | None) -> dict[str, Any] | None:
    """A schedule under the names of the API."""
    return None if asked is None else {"start": asked.start, "stop": asked.stop, "timezone": asked.timezone}
