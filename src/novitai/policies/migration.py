"""When an instance moves because Novita takes its spot machine back, and which way.

A notice is acted on at once by `replace`; Novita's own move (`migrate`) is possible only once the machine stands still.
Reclaimed is what stands still, or is gone, although it is to be running, and had a spot notice or status; a stop by a person
or by a policy changes what is wanted, and so is never undone here. What Novita moves by itself is left to it.

An instance that moves again and again costs more than it is worth: at most `MOST_MOVES` moves are begun in 24 hours, and
after each that failed in a row the next waits longer.
"""

from enum import StrEnum
from typing import Any

import msgspec

from novitai.domain.explanation import PolicyView
from novitai.domain.explanation import Step as Coming
from novitai.domain.instance import DesiredState, Instance, SeenMachine
from novitai.domain.lifecycle import State
from novitai.domain.machine import SpotStatus
from novitai.domain.migration import Cause, MoveOutcome, MoveRule, Strategy, Way
from novitai.domain.times import iso, iso_or_none
from novitai.policies.moves import taken_back
from novitai.policies.precedence import mask

MOST_MOVES = 6
"""Moves of one instance begun in 24 hours. Novita leaves a spot machine alone for its first hour and gives notice an hour
ahead (novita-wire.md 7.2), so that one that is moved this often runs a few hours a day at most between interruptions.
"""
WINDOW_SECONDS = 24 * 3600.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 60.0, 3600.0
"""After one failed move, and at most after many in a row; each doubles it."""
_SERVING = {State.RUNNING, State.HEALTH_CHECKING, State.READY, State.FAILED}
_FALLEN = {State.STOPPED, State.LOST}


class Step(StrEnum):
    """What is to be done about an instance now. `EXEMPT`: nothing, whatever Novita does; `REST`: nothing as long as Novita
    does nothing; `WAIT`: something at `due`, or once something else is over; `LEAVE`: nothing, and that is said once.
    """

    EXEMPT = "exempt"
    REST = "rest"
    WAIT = "wait"
    MIGRATE = "migrate"
    REPLACE = "replace"
    LEAVE = "leave"

    @property
    def acts(self) -> bool:
        return self in {Step.MIGRATE, Step.REPLACE}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the rule says, in one sentence with its facts. `cause` and `since`: what is to be done something about, and when
    it was first seen. `due`: when the rule may say something else although nothing happened.
    """

    step: Step
    because: str
    cause: Cause | None = None
    since: float = 0.0
    due: float | None = None
    facts: dict[str, Any] = {}

    @property
    def way(self) -> Way:
        return Way.MIGRATE if self.step is Step.MIGRATE else Way.REPLACE


def judge(instance: Instance, rule: MoveRule, *, now: float, room: bool = True, held: bool = False) -> Verdict:
    """What is to be done about an instance now. `room`: one more move may begin beside those of other instances; `held`: a
    used-up budget holds it down.
    """
    exempt = _exempt(instance, rule, now=now, held=held)
    if exempt is not None:
        return Verdict(step=Step.EXEMPT, because=exempt)
    machine, cause = instance.machine, _cause(instance)
    if instance.move is not None:
        return Verdict(step=Step.REST, because="a move is under way")
    if instance.state is State.MIGRATING:
        return Verdict(step=Step.REST, because="Novita is moving the machine itself")
    if machine is None or cause is None:
        return Verdict(step=Step.REST, because="Novita does not take its machine back")
    since = _since(instance, machine, cause)
    facts = _facts(instance, machine, rule, cause=cause, since=since, now=now)
    said = _sign(instance, machine, cause)
    if instance.state is State.STOPPED and instance.operation.under_way:
        because = f"{said}; a {instance.operation.verb} that was asked for is under way"
        return Verdict(step=Step.WAIT, because=because, cause=cause, since=since, facts=facts)
    if rule.strategy is Strategy.NOTIFY_ONLY:
        because = f"{said}; its strategy is notify-only, so that is told and nothing else is done"
        return Verdict(step=Step.REST, because=because, cause=cause, since=since, facts=facts)
    step, how = _way(instance, machine, rule, cause)
    if not step.acts:
        return Verdict(step=step, because=f"{said}; {how}", cause=cause, since=since, facts=facts)
    wait = _limited(instance, said, now=now) or (None if room else (Step.WAIT, _CROWDED.format(said=said), None))
    if wait is not None:
        step, because, due = wait
        return Verdict(step=step, because=because, cause=cause, since=since, due=due, facts=facts)
    return Verdict(step=step, because=f"{said}; {how}", cause=cause, since=since, facts=facts)


_CROWDED = "{said}; as many other instances as may move at once are moving"


def explained(instance: Instance, rule: MoveRule, verdict: Verdict) -> PolicyView:
    """What the rule says of an instance, and what it will do."""
    asked = instance.spec.migration
    said = asked is not None and (asked.enabled is not None or asked.strategy is not None)
    step = None
    if verdict.step.acts and not rule.dry_run:
        step = Coming(what=str(verdict.way), at=None, because=verdict.because, unless="it is stopped or deleted")
    elif verdict.step is Step.WAIT and not rule.dry_run:
        announced = instance.machine.reclaim_at if instance.machine is not None else 0.0
        step = Coming(
            what="move", at=verdict.due or announced or None, because=verdict.because, unless="it is stopped or deleted"
        )
    value = {"enabled": rule.enabled, "strategy": str(rule.strategy), "dryRun": rule.dry_run}
    dry = " It would act, and only writes that down (dry run)." if verdict.step.acts and rule.dry_run else ""
    sentence = f"{verdict.because[:1].upper()}{verdict.because[1:]}.{dry}"
    return PolicyView(
        name="migration",
        value=value,
        source="request" if said else "default",
        verdict=sentence,
        next=step,
        holds_until=verdict.due,
    )


def _exempt(instance: Instance, rule: MoveRule, *, now: float, held: bool) -> str | None:
    if instance.wants is not DesiredState.RUNNING:
        return f"it is to be {instance.wants}, and a move never changes that"
    if mask(instance, now=now, held=held) is not None:
        return "it is held down, and is not brought back before that is over"
    if instance.spec.protect:
        return "it is protected: no policy replaces or migrates it"
    if not rule.enabled:
        return "migration is switched off for it"
    return None


def _cause(instance: Instance) -> Cause | None:
    """What Novita does to the machine, as far as something can be done about it now."""
    machine = instance.machine
    if machine is None or not taken_back(instance):
        return None
    if instance.state in _FALLEN:
        return Cause.RECLAIM
    announced = machine.spot_status in {SpotStatus.NOTIFIED, SpotStatus.RECLAIMING}
    return Cause.NOTICE if announced and instance.state in _SERVING else None


def _since(instance: Instance, machine: SeenMachine, cause: Cause) -> float:
    """When it was first seen: the notice, or that the machine is down."""
    if cause is Cause.NOTICE:
        return machine.taken_since or instance.state_since
    return machine.missing[-1] if machine.missing else machine.since


def _sign(instance: Instance, machine: SeenMachine, cause: Cause) -> str:
    by = f" for {iso(machine.reclaim_at)}" if machine.reclaim_at else ""
    if cause is Cause.NOTICE:
        return f"Novita announced{by} that it takes the spot machine {machine.id} back"
    gone = "is gone" if instance.state is State.LOST else "stands still"
    return f"Novita took the spot machine {machine.id} back (spot status '{machine.spot_status}'), and it {gone}"


def _way(instance: Instance, machine: SeenMachine, rule: MoveRule, cause: Cause) -> tuple[Step, str]:
    """Which way, with what is lost by it."""
    gone, in_vain, adopted = instance.state is State.LOST, _moved_in_vain(instance, machine), instance.spec.adopted
    if adopted and gone:
        return Step.LEAVE, f"{_UNLIKE}, and Novita cannot move it"
    if rule.strategy is Strategy.REPLACE and not adopted:
        early = " while this one still serves" if cause is Cause.NOTICE else ""
        return (
            Step.REPLACE,
            f"its strategy is replace, so another machine is bought{early}; nothing on its disks is kept",
        )
    if cause is Cause.NOTICE:
        return Step.WAIT, "Novita's own move is possible only once the machine stands still"
    if gone:
        return Step.REPLACE, "there is nothing left to migrate, so another machine is bought"
    if in_vain and not adopted:
        return Step.REPLACE, "Novita's own move of it failed before, so another machine is bought"
    why = _UNLIKE if adopted else "its strategy is migrate"
    return Step.MIGRATE, f"{why}, so Novita is asked to move it; what is on its system disk is lost"


_UNLIKE = "it was adopted, so that nobody knows with which environment another machine would have to be made"


def _moved_in_vain(instance: Instance, machine: SeenMachine) -> bool:
    return any(
        one.source == machine.id and one.way is Way.MIGRATE and one.outcome is MoveOutcome.FAILED
        for one in instance.moves
    )


def _limited(instance: Instance, said: str, *, now: float) -> tuple[Step, str, float] | None:
    """Why no move may begin yet, and when one may."""
    begun = _recent(instance, now=now)
    if len(begun) >= MOST_MOVES:
        because = f"{said}; it has moved {len(begun)} times in 24 hours, and is left alone until that is less"
        return Step.LEAVE, because, begun[-MOST_MOVES] + WINDOW_SECONDS
    failures = failed_in_a_row(instance)
    ended = instance.moves[-1].ended_at if instance.moves else None
    if not failures or ended is None:
        return None
    again = ended + min(FIRST_PAUSE_SECONDS * 2.0 ** (failures - 1), LONGEST_PAUSE_SECONDS)
    if now >= again:
        return None
    return Step.WAIT, f"{said}; {failures} moves in a row failed, so the next waits until {iso(again)}", again


def _recent(instance: Instance, *, now: float) -> list[float]:
    """When moves began in the last 24 hours, oldest first; those that were called off cost nothing and do not count."""
    return [
        one.began_at
        for one in instance.moves
        if one.began_at > now - WINDOW_SECONDS and one.outcome is not MoveOutcome.CALLED_OFF
    ]


def failed_in_a_row(instance: Instance) -> int:
    """How many moves failed since the last that did not."""
    count = 0
    for one in reversed(instance.moves):
        if one.outcome is MoveOutcome.MOVED:
            break
        count += one.outcome is MoveOutcome.FAILED
    return count


def _facts(
    instance: Instance, machine: SeenMachine, rule: MoveRule, *, cause: Cause, since: float, now: float
) -> dict[str, Any]:
    return {
        "cause": str(cause),
        "since": iso(since),
        "machineId": machine.id,
        "spotStatus": str(machine.spot_status),
        "reclaimAt": iso_or_none(machine.reclaim_at),
        "strategy": str(rule.strategy),
        "movesInADay": len(_recent(instance, now=now)),
        "failedInARow": failed_in_a_row(instance),
    }
