"""What to do next for one instance: look at what is asked and what is seen, and name one step.

Pure: the reconciler carries the step out, commits what came of it and asks again. The order of the rules is the order
of what matters: what needs no call is written first, machines that nobody wants are deleted before anything is bought
or asked, an unclear create is resolved before another one is made, and a delete wins over all. A `Wait` never lies in
the past, and an `Apply` always changes something.
"""

from collections.abc import Iterable, Mapping

from novitai.domain.change import Change
from novitai.domain.errors import Code
from novitai.domain.ids import MachineId
from novitai.domain.instance import DesiredState, Instance, SeenMachine, Verb
from novitai.domain.lifecycle import Observation, Request, State
from novitai.domain.machine import MachineStatus
from novitai.policies import moves, observed, outcomes, startup, successors, unclear
from novitai.policies.actions import Act, Action, Apply, Buy, Limits, Moment, Step, Wait, ask_once, watch
from novitai.policies.endings import (
    STOP_VISIBLE_SECONDS,
    give_up_start,
    queued_start,
    remove,
    stopping,
    stopping_before_start,
)

__all__ = ["Act", "Action", "Apply", "Buy", "Limits", "Step", "Wait", "next_step", "removes"]

ENDPOINTS_AGAIN_SECONDS = 3.0
DETAILS_AGAIN_SECONDS = 60.0
DETAILS_WANTED_SECONDS = 600.0
"""How long after ready the SSH details are still asked for; a machine without SSH never has any."""


def next_step(
    instance: Instance,
    *,
    now: float,
    limits: Limits,
    looked_at: float | Mapping[MachineId, float] | None = None,
    crowded: bool = False,
    postponed: frozenset[MachineId] = frozenset(),
) -> Step:
    """The next step. `looked_at`: when each machine was last read singly, as far as is remembered (one time for all).

    `crowded`: creates are waiting for room in the limiter. Then nobody reads or waits for SSH details; they come later.
    `postponed`: machines whose removal was tried in vain just now; it holds up neither other removals nor calls, but
    nothing is bought beside such a machine.
    """
    moment = Moment(now=now, limits=limits, looks=looked_at, crowded=crowded)
    unwanted = _unwanted(instance)
    removal = _soonest(remove(instance, machine_id, moment) for machine_id in unwanted if machine_id not in postponed)
    step = unclear.resolve(instance, moment) or _toward_desired(instance, moment, removing=bool(unwanted))
    if isinstance(step, Apply):
        return step
    if isinstance(removal, Act):
        return removal
    if isinstance(step, Buy) and postponed:
        return removal or Wait()
    if isinstance(step, Wait) and removal is not None:
        return _soonest((removal, step)) or step
    return step


def _soonest(steps: Iterable[Wait | Act]) -> Wait | Act | None:
    """The first call among the steps, or else the shortest wait."""
    waits: list[Wait] = []
    for step in steps:
        if isinstance(step, Act):
            return step
        waits.append(step)
    return min(waits, key=lambda wait: float("inf") if wait.until is None else wait.until, default=None)


def _unwanted(instance: Instance) -> tuple[MachineId, ...]:
    """Machines of ours that are to be gone: they bill until they are."""
    if instance.wants is not DesiredState.DELETED:
        return instance.discarded
    machine = instance.machine
    present = machine is not None and machine.status is not MachineStatus.REMOVED
    mine = (machine.id,) if machine is not None and present else ()
    kept = instance.former
    former = (kept.machine.id,) if kept is not None and kept.machine.status is not MachineStatus.REMOVED else ()
    return (*mine, *former, *instance.discarded, *instance.strays)


def removes(instance: Instance, act: Act) -> bool:
    """Whether a call belongs to the removal of a machine that nobody wants."""
    return act.machine_id in _unwanted(instance)


def _toward_desired(instance: Instance, moment: Moment, *, removing: bool) -> Step:
    match instance.wants:
        case DesiredState.DELETED if removing or instance.state is State.DELETED:
            return Wait()
        case DesiredState.DELETED:
            reason = instance.desired.reason or "deleted as asked"
            return Apply(outcomes.deleted(instance, at=moment.now, actor=instance.desired.by, reason=reason))
        case DesiredState.STOPPED:
            machine = instance.machine
            if instance.state is State.MIGRATING and instance.former is None and machine is not None:
                return _stuck(instance, machine, moment)
            return stopping(instance, moment)
        case DesiredState.RUNNING:
            return _running(instance, moment)


def _running(instance: Instance, moment: Moment) -> Step:
    machine = instance.machine
    if machine is None:
        return _without_machine(instance, moment)
    if moves.outlived(instance):
        return Apply(moves.given_up(instance))
    match instance.state:
        case State.MIGRATING:
            return _migrating(instance, machine, moment)
        case State.CREATING:
            return _creating(instance, machine, moment)
        case State.STARTING:
            return _starting(instance, machine, moment)
        case State.RUNNING:
            return _passed(instance, machine, moment) or _just_running(instance, machine, moment)
        case State.HEALTH_CHECKING:
            return _passed(instance, machine, moment) or _checking(instance, machine, moment)
        case State.FAILED:
            return _passed(instance, machine, moment) or Wait()
        case State.READY:
            return _details(instance, machine, moment) or Wait()
        case State.STOPPED:
            return queued_start(instance, Observation.QUEUED_START, moment)
        case State.STOPPING:
            return stopping_before_start(instance, machine, moment)
        case _:
            return Wait()


def _without_machine(instance: Instance, moment: Moment) -> Step:
    match instance.state:
        case State.CREATING if instance.operation.under_way:
            return Buy()
        case State.MIGRATING:
            return _replacing(instance, moment)
        case State.STOPPED:
            return queued_start(instance, Request.CREATE_AGAIN, moment)
        case State.STOPPING:
            return Apply(outcomes.unsent_stop(instance, at=moment.now))
        case _:
            return Wait()


def _replacing(instance: Instance, moment: Moment) -> Step:
    """Another machine is to be bought, unless that is not needed any more."""
    why = successors.pointless(instance)
    if why is None and instance.operation.under_way:
        return Buy()
    return Apply(moves.called_off(instance, at=moment.now, reason=why or "nobody waits for it any more"))


def _migrating(instance: Instance, machine: SeenMachine, moment: Moment) -> Step:
    """A move of Novita's own is asked for once, and waited for; a machine that was bought comes up as after a create."""
    if instance.former is not None:
        return _creating(instance, machine, moment)
    operation = instance.operation
    ours = operation.verb is Verb.MIGRATE and operation.under_way
    if ours and operation.accepted_at is None:
        visible = machine.status is MachineStatus.MIGRATING or machine.status.coming_up
        step = ask_once(instance, machine, Action.MIGRATE, moment, visible=visible)
        return give_up_start(instance, step, moment) or step
    if ours and operation.accepted_at is not None and machine.status is MachineStatus.STOPPED:
        soon = watch(machine, operation.accepted_at + STOP_VISIBLE_SECONDS, moment)
        return soon or Apply(Change(instance=outcomes.action_not_seen(instance, operation_id=operation.id)))
    return _stuck(instance, machine, moment)


def _stuck(instance: Instance, machine: SeenMachine, moment: Moment) -> Step:
    """A move of Novita's own that takes too long is told of, once; what can be done about it is found by its job."""
    if moves.told_stuck(instance):
        return Wait()
    until = moves.stuck_at(instance)
    if moment.now < until:
        return Wait(until=until)
    looked = moment.looked_at(machine.id)
    if looked is None or looked < until:
        return Act(Action.LOOK, machine.id)
    return Apply(moves.stuck(instance, at=moment.now))


def _creating(instance: Instance, machine: SeenMachine, moment: Moment) -> Step:
    late = _late(instance, machine, moment)
    if not isinstance(late, tuple):
        return late
    code, message = late
    if instance.spec.protect or machine.puzzling:  # nothing is concluded from a word that we do not know
        return Apply(outcomes.startup_failed(instance, code=code, message=message, at=moment.now))
    discarded = outcomes.discard_machine(instance, code=code, message=message, at=moment.now)
    if instance.startup_retries == 0:
        return Apply(Change(instance=discarded))
    return Apply(outcomes.startup_failed(discarded, code=code, message=message, at=moment.now))


def _late(instance: Instance, machine: SeenMachine, moment: Moment) -> Wait | Act | tuple[Code, str]:
    """Wait until the start-up will have taken too long; then that it has, once a single read has not shown
    otherwise.
    """
    until, code, message = _limit(instance, machine, moment)
    if moment.now < until:
        return Wait(until=until)
    looked = moment.looked_at(machine.id)
    return Act(Action.LOOK, machine.id) if looked is None or looked < until else (code, message)


def _limit(instance: Instance, machine: SeenMachine, moment: Moment) -> tuple[float, Code, str]:
    """Until when the present part of the start-up may take, and what it means when it takes longer."""
    operation, limits = instance.operation, moment.limits
    error = f"; Novita says: {machine.error}" if machine.error else ""
    if machine.pulling_since is not None:
        until = machine.pulling_since + limits.pull_timeout
        return until, Code.PULL_TIMEOUT, f"the image was not pulled within {limits.pull_timeout:g} s{error}"
    accepted = operation.accepted_at or operation.requested_at
    until = accepted + limits.startup_timeout + machine.pulled_seconds
    return until, Code.STARTUP_TIMEOUT, f"the machine did not run within {limits.startup_timeout:g} s{error}"


def _starting(instance: Instance, machine: SeenMachine, moment: Moment) -> Step:
    operation = instance.operation
    if not operation.under_way:
        return Wait()
    restart = operation.verb is Verb.RESTART
    if operation.accepted_at is None:
        seen_since = operation.sent_at is not None and machine.since >= operation.sent_at
        if machine.status is MachineStatus.RUNNING and (seen_since or not restart):
            return Apply(observed.begun_running(instance, at=moment.now))
        action = Action.RESTART if restart and machine.status.going else Action.START
        step = ask_once(instance, machine, action, moment, visible=machine.status.coming_up)
        return give_up_start(instance, step, moment) or step
    late = _late(instance, machine, moment)
    if isinstance(late, tuple):
        code, message = late
        return Apply(outcomes.startup_failed(instance, code=code, message=message, at=moment.now))
    if isinstance(late, Act):
        return late
    if restart and machine.status is MachineStatus.RUNNING:
        visible = operation.accepted_at + observed.RESTART_VISIBLE_SECONDS
        if moment.now < visible:
            return Wait(until=visible)
        return Apply(observed.begun_running(instance, at=moment.now))
    return late


def _passed(instance: Instance, machine: SeenMachine, moment: Moment) -> Step | None:
    """The checks passed: ready, at the latest when SSH details were waited for long enough."""
    health = instance.health
    if health is None or health.passed_at is None:
        return None
    if moment.crowded or startup.may_be_ready(instance, now=moment.now):
        return Apply(startup.ready(instance, at=moment.now))
    details = _details(instance, machine, moment)
    if isinstance(details, Act):
        return details
    longest = health.passed_at + startup.DETAILS_WAIT_SECONDS
    return Wait(until=min(longest, details.until) if details is not None and details.until else longest)


def _just_running(instance: Instance, machine: SeenMachine, moment: Moment) -> Step:
    if startup.expects_endpoints(instance) and moment.now < startup.health_deadline(instance):
        looked = moment.looked_at(machine.id)
        if looked is None or moment.now - looked >= ENDPOINTS_AGAIN_SECONDS:
            return Act(Action.LOOK, machine.id)
        return Wait(until=looked + ENDPOINTS_AGAIN_SECONDS)
    return Apply(startup.begin_checks(instance, at=moment.now))


def _checking(instance: Instance, machine: SeenMachine, moment: Moment) -> Step:
    deadline = startup.health_deadline(instance)
    if moment.now >= deadline:
        seconds = instance.health_check.max_wait_time_ms / 1000
        message = f"the machine runs, but its application did not answer within {seconds:g} s{_unhealthy(instance)}"
        failed = outcomes.startup_failed(instance, code=Code.HEALTH_CHECK_TIMEOUT, message=message, at=moment.now)
        return Apply(failed)
    details = _details(instance, machine, moment)
    if isinstance(details, Act):
        return details
    return Wait(until=min(deadline, details.until)) if details is not None and details.until else Wait(until=deadline)


def _unhealthy(instance: Instance) -> str:
    errors = [f"port {e.port}: {e.error}" for e in (instance.health.endpoints if instance.health else ()) if e.error]
    return f" ({'; '.join(errors)})" if errors else ""


def _details(instance: Instance, machine: SeenMachine, moment: Moment) -> Wait | Act | None:
    """Read the SSH details that only a single read shows, when there is room for it."""
    if machine.connection is not None:
        return None
    if instance.ready_at is not None and moment.now - instance.ready_at > DETAILS_WANTED_SECONDS:
        return None
    if moment.crowded:
        return Wait(until=moment.now + DETAILS_AGAIN_SECONDS)
    looked = moment.looked_at(machine.id)
    if looked is not None and looked < (instance.running_at or 0.0):
        looked = None  # what was read before this run of the machine says nothing of it
    passed = instance.health is not None and instance.health.passed_at is not None
    hurried = passed and instance.state is not State.READY
    pause = startup.DETAILS_WAIT_SECONDS / 2 if hurried else DETAILS_AGAIN_SECONDS
    if looked is None or moment.now - looked >= pause:
        return Act(Action.LOOK, machine.id, patient=True)
    return Wait(until=looked + pause)
