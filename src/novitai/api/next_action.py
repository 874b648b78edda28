"""What happens next without anybody asking: one sentence per state, with the moment when it is known."""

import msgspec

from novitai.domain.instance import DesiredState, Instance
from novitai.domain.lifecycle import State
from novitai.domain.times import iso, iso_or_none
from novitai.policies.schedule import judge
from novitai.policies.startup import health_deadline
from novitai.policies.steps import Limits


class NextAction(msgspec.Struct, frozen=True, kw_only=True):
    """`what` will be done, `at` which time at the latest (null: as soon as it can be), `because` of what."""

    what: str
    at: str | None
    because: str


def next_action(instance: Instance, limits: Limits, *, idle: NextAction | None, now: float) -> NextAction | None:
    """The next thing we do by ourselves; None when only people's or Novita's doing is awaited. `idle`: what the idle stop would do."""
    return _sooner(_sooner(_under_way(instance, limits), _by_the_calendar(instance, now)), idle)


def _sooner(own: NextAction | None, timed: NextAction | None) -> NextAction | None:
    if own is None or timed is None:
        return own or timed
    return timed if own.at is not None and timed.at is not None and timed.at < own.at else own


def _by_the_calendar(instance: Instance, now: float) -> NextAction | None:
    """What the schedule or the ttl does next; what is due already is done within a moment."""
    verdict = judge(instance, now=now)
    if verdict.order is not None:
        return NextAction(what=str(verdict.order.verb), at=None, because=verdict.order.why.because)
    coming = verdict.coming
    return None if coming is None else NextAction(what=str(coming.verb), at=iso(coming.at), because=coming.because)


def _under_way(instance: Instance, limits: Limits) -> NextAction | None:
    """The next step of what goes on now."""
    match instance.state:
        case State.CREATING if instance.machine is None:
            return _create(instance)
        case State.CREATING | State.STARTING:
            return _give_up(instance, limits)
        case State.HEALTH_CHECKING:
            at = iso(health_deadline(instance))
            return NextAction(what="fail", at=at, because="the application has to answer its health checks by then")
        case State.STOPPING if instance.wants is DesiredState.RUNNING:
            return NextAction(what="start", at=None, because="a start was asked for while the machine was stopping")
        case State.STOPPING:
            return NextAction(what="stop", at=None, because=_why(instance, "a stop was asked for"))
        case State.DELETING:
            return NextAction(what="delete", at=None, because=_why(instance, "a delete was asked for"))
        case _:
            return None


def _create(instance: Instance) -> NextAction:
    if instance.open_attempt is not None and instance.operation.sent_at is not None:
        return NextAction(what="look", at=None, because="Novita was asked for a machine and its answer is awaited")
    wait = instance.spec.wait_for_capacity_seconds
    if wait is not None and instance.refusals:
        until = iso_or_none(instance.operation.requested_at + wait)
        return NextAction(what="create", at=until, because="no offer had capacity yet; trying again until then")
    return NextAction(what="create", at=None, because="the create is accepted and waits for its turn at Novita")


def _give_up(instance: Instance, limits: Limits) -> NextAction:
    """The same deadlines as policies/steps.py keeps."""
    operation, machine = instance.operation, instance.machine
    if machine is not None and machine.pulling_since is not None:
        at = machine.pulling_since + limits.pull_timeout
        return NextAction(what="fail", at=iso(at), because="the image has to be pulled by then")
    pulled = machine.pulled_seconds if machine is not None else 0.0
    at = (operation.accepted_at or operation.requested_at) + limits.startup_timeout + pulled
    return NextAction(what="fail", at=iso(at), because="the machine has to run by then")


def _why(instance: Instance, usual: str) -> str:
    return instance.desired.reason or usual
