"""What the calendar says of an instance: its schedule's last boundary, and the end of its time to live.

Level-triggered: nothing is remembered from look to look. What should be now follows from the last boundary alone, so
boundaries that were missed are made up for by the last of them, and one that was obeyed is older than the word it left
behind and asks for nothing more. Whether it may be obeyed at all is the table's matter (`precedence.py`).
"""

import msgspec

from novitai.domain.explanation import Explanation
from novitai.domain.instance import DesiredState, Instance, Verb
from novitai.domain.lifecycle import State
from novitai.domain.schedule import Boundary, Schedule, last_boundary, next_boundary
from novitai.domain.times import iso
from novitai.policies.precedence import PEOPLE, Voice, lapsed, mask, may, voice_of


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be asked now, in whose name, and the moment whose word it is."""

    verb: Verb
    voice: Voice
    since: float
    why: Explanation


class Coming(msgspec.Struct, frozen=True, kw_only=True):
    """What will be asked next, as things stand now."""

    verb: Verb
    at: float
    because: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`order`: what to do now; `coming`: what comes next; `look_at`: when to judge again (None: not before the instance changes)."""

    order: Order | None = None
    coming: Coming | None = None
    look_at: float | None = None


_NO_OPINION = Verdict()


def timed(instance: Instance) -> bool:
    """Whether the calendar has anything to say of it."""
    if instance.spec.schedule is None and instance.spec.ttl is None:
        return False
    return instance.state not in {State.DELETING, State.DELETED} and instance.wants is not DesiredState.DELETED


def judge(instance: Instance, *, now: float) -> Verdict:
    """What the calendar wants of the instance now, and when that may change."""
    if not timed(instance):
        return _NO_OPINION
    if mask(instance, now=now) is Voice.TTL:
        return Verdict(order=_ttl_is_over(instance))
    moments = [at for at in (instance.ttl_ends_at, *_boundaries(instance, now)) if at is not None]
    if instance.desired.until is not None and instance.desired.until > now:
        moments.append(instance.desired.until)
    return Verdict(
        order=_scheduled(instance, now), coming=_coming(instance, now), look_at=min(moments) if moments else None
    )


def _ttl_is_over(instance: Instance) -> Order | None:
    ttl, ends = instance.spec.ttl, instance.ttl_ends_at
    if ttl is None or ends is None or instance.wants is not DesiredState.RUNNING:
        return None
    facts = {"ttlSeconds": ttl.seconds, "ttlEndedAt": iso(ends)}
    why = Explanation(because=f"its ttl of {ttl.seconds:g} s ended at {iso(ends)}", facts=facts)
    return Order(verb=Verb.STOP, voice=Voice.TTL, since=ends, why=why)


def _scheduled(instance: Instance, now: float) -> Order | None:
    schedule = instance.spec.schedule
    last = _last(instance, schedule, now) if schedule is not None else None
    if schedule is None or last is None:
        return None
    state = DesiredState.RUNNING if last.runs else DesiredState.STOPPED
    if instance.wants is state or not may(Voice.SCHEDULE, state, instance, spoken_at=last.at, now=now):
        return None
    facts = {"boundary": iso(last.at), "cron": _line(schedule, runs=last.runs), "timezone": schedule.timezone}
    why = Explanation(because=_because(schedule, runs=last.runs), facts=facts)
    return Order(verb=_verb(runs=last.runs), voice=Voice.SCHEDULE, since=last.at, why=why)


def _last(instance: Instance, schedule: Schedule, now: float) -> Boundary | None:
    """The boundary that holds, unless it is from before the schedule was set. After a stop `until` then it says what should be by now."""
    last = last_boundary(schedule, now=now)
    if lapsed(instance.desired, now=now):
        return last
    since = instance.created_at if schedule.since is None else schedule.since
    return last if last is not None and last.at > since else None


def _boundaries(instance: Instance, now: float) -> tuple[float | None, ...]:
    schedule = instance.spec.schedule
    if schedule is None:
        return ()
    return (next_boundary(schedule, runs=True, after=now), next_boundary(schedule, runs=False, after=now))


def _coming(instance: Instance, now: float) -> Coming | None:
    ends = instance.ttl_ends_at
    runs = instance.wants is DesiredState.RUNNING
    next_one = _next(instance, now, runs=not runs)
    if ends is not None and (next_one is None or ends <= next_one.at):
        return Coming(verb=Verb.STOP, at=ends, because="its ttl ends") if runs else None
    return next_one


def _next(instance: Instance, now: float, *, runs: bool) -> Coming | None:
    """The schedule's next change of what is wanted. After a person's stop it starts nothing before its `until`."""
    schedule, held = instance.spec.schedule, instance.desired
    if schedule is None:
        return None
    if runs and voice_of(held.by) in PEOPLE and not lapsed(held, now=now):
        if held.until is None:
            return None
        at_lapse = _last(instance, schedule, held.until)
        if at_lapse is not None and at_lapse.runs:
            return Coming(
                verb=Verb.START, at=held.until, because=f"the stop holds until then; {_because(schedule, runs=True)}"
            )
        now = held.until
    at = next_boundary(schedule, runs=runs, after=now)
    return None if at is None else Coming(verb=_verb(runs=runs), at=at, because=_because(schedule, runs=runs))


def _verb(*, runs: bool) -> Verb:
    return Verb.START if runs else Verb.STOP


def _line(schedule: Schedule, *, runs: bool) -> str:
    return (schedule.start if runs else schedule.stop) or ""


def _because(schedule: Schedule, *, runs: bool) -> str:
    return f"its schedule says {'start' if runs else 'stop'} at '{_line(schedule, runs=runs)}' ({schedule.timezone})"
