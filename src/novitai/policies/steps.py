"""What to do next for one instance: look at what is asked and what is seen, and name one step.

Pure: the reconciler carries the step out, commits what came of it and asks again. The order of the rules is the order of what matters: what
needs no call is written first, machines that nobody wants are deleted before anything is bought or asked, an unclear create is resolved before
another one is made, and a delete wins over all. A `Wait` never lies in the past, and an `Apply` always changes something.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from novitai.domain.change import Change, move, with_fields, with_operation
from novitai.domain.errors import Code
from novitai.domain.ids import MachineId
from novitai.domain.instance import AttemptOutcome, DesiredState, Instance, OperationStatus, SeenMachine, Verb
from novitai.domain.lifecycle import Observation, Request, State, allows
from novitai.domain.machine import MachineStatus
from novitai.policies import observed, outcomes, startup


@dataclass(frozen=True)
class Limits:
    """Times that bound a start (seconds)."""

    startup_timeout: float = 600.0
    pull_timeout: float = 1800.0
    settle_time: float = 60.0


@dataclass(frozen=True)
class Wait:
    """Nothing to do before `until` (None: before something changes)."""

    until: float | None = None


@dataclass(frozen=True)
class Apply:
    """A decision that needs no call. `attempt` closes an attempt record in the same commit."""

    change: Change
    attempt: tuple[int, AttemptOutcome] | None = None


@dataclass(frozen=True)
class Buy:
    """Choose an offer and create a machine."""


class Action(StrEnum):
    """What can be asked of an existing machine; `LOOK` reads it."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    DELETE = "delete"
    LOOK = "look"


@dataclass(frozen=True)
class Act:
    """Call Novita about one machine."""

    action: Action
    machine_id: MachineId
    patient: bool = False  # nobody waits for it: make the call only when there is room


Step = Wait | Apply | Buy | Act

LOOK_AGAIN_SECONDS = 15.0
ENDPOINTS_AGAIN_SECONDS = 3.0
STOP_VISIBLE_SECONDS = 90.0
"""How long an accepted stop may show no effect before it is sent again."""
DETAILS_AGAIN_SECONDS = 60.0
DETAILS_WANTED_SECONDS = 600.0
"""How long after ready the SSH details are still asked for; a machine without SSH never has any."""
DELETE_AGAIN_SECONDS = 120.0
LONGEST_DELETE_AGAIN_SECONDS = 1800.0
LONGEST_CONFIRM_SECONDS = 60.0
_COMING_UP = {MachineStatus.PENDING, MachineStatus.PULLING, MachineStatus.STARTING, MachineStatus.RESTARTING}


@dataclass(frozen=True)
class _Moment:
    """What the steps of one instance are decided with, beside the instance."""

    now: float
    limits: Limits
    looks: float | Mapping[MachineId, float] | None

    def looked_at(self, machine_id: MachineId) -> float | None:
        if isinstance(self.looks, Mapping):
            return self.looks.get(machine_id)
        return self.looks


def next_step(
    instance: Instance, *, now: float, limits: Limits, looked_at: float | Mapping[MachineId, float] | None = None
) -> Step:
    """The next step. `looked_at`: when each machine was last read singly, as far as is remembered (one time stands for all)."""
    moment = _Moment(now=now, limits=limits, looks=looked_at)
    removal = _soonest(_remove(instance, machine_id, moment) for machine_id in _unwanted(instance))
    step = _resolve(instance, moment) or _toward_desired(instance, moment, removing=removal is not None)
    if isinstance(step, Apply):
        return step
    if isinstance(removal, Act):
        return removal
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
    return (*mine, *instance.discarded, *instance.strays)


def _remove(instance: Instance, machine_id: MachineId, moment: _Moment) -> Wait | Act:
    """Delete, then look with growing pauses until it is gone, and delete again when it does not go."""
    sent = dict(instance.delete_sent).get(machine_id)
    if sent is None:
        return Act(Action.DELETE, machine_id)
    looked = moment.looked_at(machine_id)
    last = max(sent, looked or sent)
    asked = instance.desired.at if instance.wants is DesiredState.DELETED else sent
    again = sent + min(max(DELETE_AGAIN_SECONDS, sent - asked), LONGEST_DELETE_AGAIN_SECONDS)
    if moment.now >= again and last > sent:
        return Act(Action.DELETE, machine_id)
    look = last + min(max(2.0, last - sent), LONGEST_CONFIRM_SECONDS)
    return Wait(until=look) if moment.now < look else Act(Action.LOOK, machine_id)


def _resolve(instance: Instance, moment: _Moment) -> Step | None:
    """A create whose outcome is not known comes first: nothing is bought or ended before it is resolved."""
    attempt = instance.open_attempt
    if attempt is None:
        return None
    if attempt.disproved_at is None:
        return Wait(until=moment.now + LOOK_AGAIN_SECONDS)
    cleared = outcomes.create_not_made(instance, number=attempt.number, at=moment.now)
    return Apply(Change(instance=cleared), attempt=(attempt.number, AttemptOutcome.ABSENT))


def _toward_desired(instance: Instance, moment: _Moment, *, removing: bool) -> Step:
    match instance.wants:
        case DesiredState.DELETED if removing or instance.state is State.DELETED:
            return Wait()
        case DesiredState.DELETED:
            reason = instance.desired.reason or "deleted as asked"
            return Apply(outcomes.deleted(instance, at=moment.now, actor=instance.desired.by, reason=reason))
        case DesiredState.STOPPED:
            return _stopping(instance, moment)
        case DesiredState.RUNNING:
            return _running(instance, moment)


def _stopping(instance: Instance, moment: _Moment) -> Step:
    operation, machine = instance.operation, instance.machine
    wanted = operation.verb is Verb.STOP and operation.under_way
    if not wanted or instance.state is State.MIGRATING:
        return Wait()
    if instance.state is not State.STOPPING:
        if allows(instance.state, Request.STOP):
            return Apply(Change(instance=move(instance, Request.STOP, at=moment.now)))
        done = with_operation(instance, status=OperationStatus.COMPLETED, completed_at=moment.now)
        return Apply(Change(instance=done))
    if machine is None or machine.status is MachineStatus.REMOVED:
        return Apply(outcomes.unsent_stop(instance, at=moment.now))
    if machine.status is MachineStatus.STOPPED:
        return _standing(instance, machine, moment)
    if operation.accepted_at is None:
        return _ask_once(instance, machine, Action.STOP, moment, visible=machine.status is MachineStatus.STOPPING)
    step = _watch(machine, operation.accepted_at + STOP_VISIBLE_SECONDS, moment)
    if step is None and machine.status is not MachineStatus.STOPPING:
        return Apply(Change(instance=outcomes.action_unsent(instance, operation_id=operation.id)))
    return step or _look_later(machine, moment)


def _standing(instance: Instance, machine: SeenMachine, moment: _Moment) -> Step:
    """It stands still, and that is what was asked: done, unless a start that was sent before has yet to show."""
    operation = instance.operation
    if operation.overtakes is not None and machine.since <= operation.overtakes:
        shown = operation.overtakes + observed.START_VISIBLE_SECONDS
        if moment.now < shown:
            return Wait(until=shown)
        if (moment.looked_at(machine.id) or 0.0) < shown:
            return Act(Action.LOOK, machine.id)
    reason = operation.reason or "stopped as asked"
    return Apply(outcomes.stopped(instance, Observation.MACHINE_STOPPED, at=moment.now, reason=reason))


def _ask_once(instance: Instance, machine: SeenMachine, action: Action, moment: _Moment, *, visible: bool) -> Step:
    """Send once; what shows its effect was accepted; after an unclear answer look before sending again."""
    operation = instance.operation
    if visible:
        return Apply(outcomes.action_accepted(instance, operation_id=operation.id, at=moment.now))
    if operation.sent_at is None:
        return Act(action, machine.id)
    looked = moment.looked_at(machine.id)
    if looked is None or looked <= operation.sent_at:
        return Act(Action.LOOK, machine.id)
    return Apply(Change(instance=outcomes.action_unsent(instance, operation_id=operation.id)))


def _watch(machine: SeenMachine, due: float, moment: _Moment) -> Step | None:
    """Wait until an effect is due, then look; None when it was looked at just now."""
    if moment.now < due:
        return Wait(until=due)
    looked = moment.looked_at(machine.id)
    if looked is None or moment.now - looked >= LOOK_AGAIN_SECONDS:
        return Act(Action.LOOK, machine.id)
    return None


def _look_later(machine: SeenMachine, moment: _Moment) -> Wait:
    looked = moment.looked_at(machine.id)
    return Wait(until=(moment.now if looked is None else looked) + LOOK_AGAIN_SECONDS)


def _running(instance: Instance, moment: _Moment) -> Step:
    machine = instance.machine
    if machine is None:
        return _without_machine(instance, moment)
    match instance.state:
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
            return _queued_start(instance, Observation.QUEUED_START, moment)
        case State.STOPPING:
            return _stopping_before_start(instance, machine, moment)
        case _:
            return Wait()


def _without_machine(instance: Instance, moment: _Moment) -> Step:
    match instance.state:
        case State.CREATING if instance.operation.under_way:
            return Buy()
        case State.STOPPED:
            return _queued_start(instance, Request.CREATE_AGAIN, moment)
        case State.STOPPING:
            return Apply(outcomes.unsent_stop(instance, at=moment.now))
        case _:
            return Wait()


def _creating(instance: Instance, machine: SeenMachine, moment: _Moment) -> Step:
    late = _late(instance, machine, moment)
    if isinstance(late, float):
        return Wait(until=late)
    code, message = late
    if instance.spec.protect:
        return Apply(outcomes.startup_failed(instance, code=code, message=message, at=moment.now))
    discarded = outcomes.discard_machine(instance, code=code, message=message, at=moment.now)
    if instance.startup_retries == 0:
        return Apply(Change(instance=discarded))
    return Apply(outcomes.startup_failed(discarded, code=code, message=message, at=moment.now))


def _late(instance: Instance, machine: SeenMachine, moment: _Moment) -> float | tuple[Code, str]:
    """When the start-up will have taken too long, or that it has."""
    operation, limits = instance.operation, moment.limits
    error = f"; Novita says: {machine.error}" if machine.error else ""
    if machine.pulling_since is not None:
        until = machine.pulling_since + limits.pull_timeout
        message = f"the image was not pulled within {limits.pull_timeout:g} s{error}"
        return until if moment.now < until else (Code.PULL_TIMEOUT, message)
    accepted = operation.accepted_at or operation.requested_at
    until = accepted + limits.startup_timeout + machine.pulled_seconds
    message = f"the machine did not run within {limits.startup_timeout:g} s{error}"
    return until if moment.now < until else (Code.STARTUP_TIMEOUT, message)


def _starting(instance: Instance, machine: SeenMachine, moment: _Moment) -> Step:
    operation = instance.operation
    if not operation.under_way:
        return Wait()
    restart = operation.verb is Verb.RESTART
    if operation.accepted_at is None:
        seen_since = operation.sent_at is not None and machine.since >= operation.sent_at
        if machine.status is MachineStatus.RUNNING and (seen_since or not restart):
            return Apply(observed.begun_running(instance, at=moment.now))
        action = Action.RESTART if restart and machine.status.going else Action.START
        return _ask_once(instance, machine, action, moment, visible=machine.status in _COMING_UP)
    late = _late(instance, machine, moment)
    if isinstance(late, tuple):
        code, message = late
        return Apply(outcomes.startup_failed(instance, code=code, message=message, at=moment.now))
    if restart and machine.status is MachineStatus.RUNNING:
        visible = operation.accepted_at + observed.RESTART_VISIBLE_SECONDS
        if moment.now < visible:
            return Wait(until=visible)
        return Apply(observed.begun_running(instance, at=moment.now))
    return Wait(until=late)


def _passed(instance: Instance, machine: SeenMachine, moment: _Moment) -> Step | None:
    """The checks passed: ready, at the latest when SSH details were waited for long enough."""
    health = instance.health
    if health is None or health.passed_at is None:
        return None
    if startup.may_be_ready(instance, now=moment.now):
        return Apply(startup.ready(instance, at=moment.now))
    details = _details(instance, machine, moment)
    return details if isinstance(details, Act) else Wait(until=health.passed_at + startup.DETAILS_WAIT_SECONDS)


def _just_running(instance: Instance, machine: SeenMachine, moment: _Moment) -> Step:
    if startup.expects_endpoints(instance) and moment.now < startup.health_deadline(instance):
        looked = moment.looked_at(machine.id)
        if looked is None or moment.now - looked >= ENDPOINTS_AGAIN_SECONDS:
            return Act(Action.LOOK, machine.id)
        return Wait(until=looked + ENDPOINTS_AGAIN_SECONDS)
    return Apply(startup.begin_checks(instance, at=moment.now))


def _checking(instance: Instance, machine: SeenMachine, moment: _Moment) -> Step:
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


def _details(instance: Instance, machine: SeenMachine, moment: _Moment) -> Wait | Act | None:
    """Read the SSH details that only a single read shows, when there is room for it."""
    if machine.connection is not None:
        return None
    if instance.ready_at is not None and moment.now - instance.ready_at > DETAILS_WANTED_SECONDS:
        return None
    looked = moment.looked_at(machine.id)
    passed = instance.health is not None and instance.health.passed_at is not None
    hurried = passed and instance.state is not State.READY
    pause = startup.DETAILS_WAIT_SECONDS / 2 if hurried else DETAILS_AGAIN_SECONDS
    if looked is None or moment.now - looked >= pause:
        return Act(Action.LOOK, machine.id, patient=True)
    return Wait(until=looked + pause)


def _queued_start(instance: Instance, event: Observation | Request, moment: _Moment) -> Step:
    if not (instance.operation.makes_ready and instance.operation.under_way):
        return Wait()
    begun = with_fields(move(instance, event, at=moment.now), health=None, running_at=None)
    return Apply(Change(instance=with_operation(begun, sent_at=None, accepted_at=None)))


def _stopping_before_start(instance: Instance, machine: SeenMachine, moment: _Moment) -> Step:
    """A start waits for the end of a stop, unless that was never sent or shows no effect: then the machine is as good as started."""
    operation = instance.operation
    queued = operation.makes_ready and operation.under_way
    if machine.status is MachineStatus.STOPPED:
        reason = "stopped, before the start that was asked meanwhile"
        return Apply(outcomes.stopped(instance, Observation.MACHINE_STOPPED, at=moment.now, reason=reason))
    if not queued:
        return Wait()  # taken back by Novita: the end of it will be seen
    if operation.overtakes is not None or machine.status is MachineStatus.STOPPING:
        sent = operation.requested_at if operation.overtakes is None else operation.overtakes
        step = _watch(machine, sent + STOP_VISIBLE_SECONDS, moment)
        if step is not None:
            return step
    if machine.status is MachineStatus.RUNNING:
        return Apply(observed.begun_running(instance, at=moment.now))
    if machine.status in _COMING_UP:
        begun = move(instance, Observation.START_SEEN, at=moment.now)
        return Apply(outcomes.action_accepted(begun, operation_id=operation.id, at=moment.now))
    return _watch(machine, moment.now, moment) or _look_later(machine, moment)
