"""How a stop, and a start that waits for one, come to their end; and how machines that nobody wants are removed.

A stop may overtake a start whose effect has yet to show, and a start a stop: nothing is called done before the effect
of the earlier call has shown or can no longer come. A delete is sent, confirmed by reading, and sent again for as long
as the machine is there.
"""

from novitai.domain.change import Change, fact, move, with_fields, with_operation
from novitai.domain.errors import Code
from novitai.domain.events import FactType
from novitai.domain.ids import MachineId
from novitai.domain.instance import DesiredState, Instance, OperationStatus, SeenMachine, Verb
from novitai.domain.lifecycle import Observation, Request, State, allows
from novitai.domain.machine import MachineStatus
from novitai.policies import moves, observed, outcomes
from novitai.policies.actions import Act, Action, Apply, Moment, Step, Wait, ask_once, look_later, watch

STOP_VISIBLE_SECONDS = 90.0
"""How long an accepted stop may show no effect before it is sent again."""
DELETE_AGAIN_SECONDS = 120.0
LONGEST_DELETE_AGAIN_SECONDS = 1800.0
LONGEST_CONFIRM_SECONDS = 60.0


def stopping(instance: Instance, moment: Moment) -> Step:
    operation, machine = instance.operation, instance.machine
    if instance.former is not None:
        return Apply(_called_off(instance, moment))
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
        return ask_once(instance, machine, Action.STOP, moment, visible=machine.status is MachineStatus.STOPPING)
    step = watch(machine, operation.accepted_at + STOP_VISIBLE_SECONDS, moment)
    if step is None and machine.status is not MachineStatus.STOPPING:
        return Apply(Change(instance=outcomes.action_not_seen(instance, operation_id=operation.id)))
    return step or look_later(machine, moment)


def _called_off(instance: Instance, moment: Moment) -> Change:
    """A stop during a replacement: the former machine takes its place again, so that it is that one, with its disk, that
    is stopped; what was bought for it goes.
    """
    now, operation = moment.now, instance.operation
    change = moves.called_off(instance, at=now, reason="it is to be stopped")
    back = change.instance
    if allows(back.state, Request.STOP):
        return change.then(Change(instance=move(back, Request.STOP, at=now)))
    if back.state is not State.STOPPED:
        return change
    still = with_operation(back, status=OperationStatus.COMPLETED, completed_at=now) if operation.under_way else back
    reason = operation.reason or "stopped as asked"
    told = fact(FactType.STOPPED, still, before=instance, at=now, actor=instance.desired.by, reason=reason)
    return change.then(Change(instance=still, facts=(told,)))


def _standing(instance: Instance, machine: SeenMachine, moment: Moment) -> Step:
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


def stopping_before_start(instance: Instance, machine: SeenMachine, moment: Moment) -> Step:
    """A start waits for the end of a stop, unless that was never sent or shows no effect: then the machine is as
    good as started.
    """
    operation = instance.operation
    queued = operation.makes_ready and operation.under_way
    if machine.status is MachineStatus.STOPPED:
        reason = "stopped, before the start that was asked meanwhile"
        return Apply(outcomes.stopped(instance, Observation.MACHINE_STOPPED, at=moment.now, reason=reason))
    if not queued:
        return Wait()  # taken back by Novita: the end of it will be seen
    if operation.overtakes is not None or machine.status is MachineStatus.STOPPING:
        sent = operation.requested_at if operation.overtakes is None else operation.overtakes
        step = watch(machine, sent + STOP_VISIBLE_SECONDS, moment)
        if step is not None:
            return step
    if machine.status is MachineStatus.RUNNING:
        looked = moment.looked_at(machine.id)
        if looked is None or looked < operation.requested_at:
            return Act(Action.LOOK, machine.id)  # what is known may be older than a stop that took effect after all
        return Apply(observed.begun_running(instance, at=moment.now))
    if machine.status.coming_up:
        begun = move(instance, Observation.START_SEEN, at=moment.now)
        return Apply(outcomes.action_accepted(begun, operation_id=operation.id, at=moment.now))
    return watch(machine, moment.now, moment) or look_later(machine, moment)


def queued_start(instance: Instance, event: Observation | Request, moment: Moment) -> Step:
    if not (instance.operation.makes_ready and instance.operation.under_way):
        return Wait()
    begun = with_fields(move(instance, event, at=moment.now), health=None, running_at=None)
    return Apply(Change(instance=with_operation(begun, sent_at=None, accepted_at=None)))


def give_up_start(instance: Instance, step: Step, moment: Moment) -> Apply | None:
    """The end of a start or restart that would be sent once more, when Novita still refused it, for the machine's
    state, after as long as a start may take.
    """
    error, operation = instance.last_error, instance.operation
    if error is None or error.code is not Code.INVALID_STATE or not isinstance(step, Act) or step.action is Action.LOOK:
        return None
    if error.at < operation.requested_at + moment.limits.startup_timeout:
        return None
    seconds = error.at - operation.requested_at
    message = f"Novita refused the {operation.verb} for {seconds:.0f} s, for the machine's state: {error.message}"
    if operation.verb is Verb.MIGRATE:
        return Apply(moves.in_vain(instance, code=error.code, message=message, at=moment.now))
    return Apply(outcomes.start_given_up(instance, code=error.code, message=message, at=moment.now))


def remove(instance: Instance, machine_id: MachineId, moment: Moment) -> Wait | Act:
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
