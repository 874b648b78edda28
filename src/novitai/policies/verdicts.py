"""What each rule says of an instance now: its value, where that comes from, the verdict in a sentence, and what it does next.

One function per rule; each can be asked at any moment about any instance, and decides nothing: whoever acts on a rule asks the same pure
policy. A rule that says nothing now says why. `source` is `request` (the create or a later PATCH) or `default` (the settings).
"""

from typing import Any

from novitai.domain.explanation import PolicyView, Step
from novitai.domain.instance import DesiredState, HealthCheck, Instance
from novitai.domain.lifecycle import State
from novitai.domain.money import dollars
from novitai.domain.times import span, spoken
from novitai.policies import moves
from novitai.policies.actions import Limits
from novitai.policies.startup import health_deadline

REQUEST, DEFAULT = "request", "default"


def source(*, said: bool) -> str:
    """Where a value comes from."""
    return REQUEST if said else DEFAULT


def startup(instance: Instance, limits: Limits, *, now: float) -> PolicyView:
    """What goes on by itself toward what was asked, and how long it may take."""
    step = under_way(instance, limits)
    verdict = "Nothing is under way."
    if step is not None and step.at is not None:
        verdict = f"Under way: {step.because}; that is {spoken(step.at, now=now)}."
    elif step is not None:
        verdict = f"Under way: {step.because}."
    value = {"startupTimeoutSeconds": limits.startup_timeout, "pullTimeoutSeconds": limits.pull_timeout}
    return PolicyView(name="startup", value=value, source=DEFAULT, verdict=verdict, next=step)


def under_way(instance: Instance, limits: Limits) -> Step | None:
    """The next step of what goes on now, with the same deadlines as policies/steps.py keeps."""
    match instance.state:
        case State.CREATING if instance.machine is None:
            return _create(instance)
        case State.CREATING | State.STARTING:
            return _give_up(instance, limits)
        case State.MIGRATING:
            return _move(instance, limits)
        case State.STOPPING if instance.wants is DesiredState.RUNNING:
            return Step(what="start", at=None, because="a start was asked for while the machine was stopping")
        case State.STOPPING:
            return Step(
                what="stop", at=None, because=_why(instance, "a stop was asked for"), unless="somebody starts it"
            )
        case State.DELETING:
            return Step(what="delete", at=None, because=_why(instance, "a delete was asked for"))
        case _:
            return None


def _create(instance: Instance) -> Step:
    stop = "somebody stops or deletes it"
    if instance.open_attempt is not None and instance.operation.sent_at is not None:
        return Step(what="look", at=None, because="Novita was asked for a machine and its answer is awaited")
    wait = instance.spec.wait_for_capacity_seconds
    if wait is not None:
        tried = instance.refusals or instance.attempts
        because = "no offer had capacity yet" if tried else "a machine is asked for as soon as an offer has capacity"
        until = instance.operation.requested_at + wait
        return Step(what="create", at=until, because=f"{because}; it is tried until then", unless=stop)
    return Step(what="create", at=None, because="the create is accepted and waits for its turn at Novita", unless=stop)


def _move(instance: Instance, limits: Limits) -> Step | None:
    if instance.former is None:
        at, told = moves.stuck_at(instance), moves.told_stuck(instance)
        return (
            None if told else Step(what="report", at=at, because="Novita's move should be over by then", unless="it is")
        )
    if instance.machine is not None:
        return _give_up(instance, limits)
    because = f"another machine is to take the place of {instance.former.machine.id}"
    return Step(
        what="create",
        at=None,
        because=because,
        unless="it is stopped or deleted, or its present machine stays after all",
    )


def _give_up(instance: Instance, limits: Limits) -> Step:
    operation, machine = instance.operation, instance.machine
    if machine is not None and machine.pulling_since is not None:
        at = machine.pulling_since + limits.pull_timeout
        return Step(what="fail", at=at, because="the image has to be pulled by then", unless="it is")
    pulled = machine.pulled_seconds if machine is not None else 0.0
    at = (operation.accepted_at or operation.requested_at) + limits.startup_timeout + pulled
    return Step(what="fail", at=at, because="the machine has to run by then", unless="it does")


def _why(instance: Instance, usual: str) -> str:
    return instance.desired.reason or usual


def health_check(instance: Instance, usual: HealthCheck, *, now: float) -> PolicyView:
    """Whether and until when its application is asked."""
    check, health = instance.health_check, instance.health
    step = None
    if instance.state is State.HEALTH_CHECKING:
        because = "the application has to answer its health checks by then"
        step = Step(what="fail", at=health_deadline(instance), because=because, unless="it does")
        verdict = f"Being asked; it has to answer by {spoken(health_deadline(instance), now=now)}."
    elif health is None:
        verdict = "Not asked now: its machine does not run, or its endpoints are not known yet."
    elif health.passed_at is not None:
        asked = "answered" if health.endpoints else "has nothing to be asked, which counts as passed"
        verdict = f"Passed: the application {asked} at {spoken(health.passed_at, now=now)}."
    else:
        verdict = "Not passed; the application is still asked, and a late answer counts."
    return PolicyView(
        name="healthCheck", value=check_value(check), source=source(said=check != usual), verdict=verdict, next=step
    )


def check_value(check: HealthCheck) -> dict[str, Any]:
    """A health check under the names of the API."""
    return {
        "type": str(check.type) if check.type else None,
        "port": check.port,
        "path": check.path,
        "expectStatus": list(check.expect_status),
        "expectBody": check.expect_body,
        "timeoutMs": check.timeout_ms,
        "retryAttempts": check.retry_attempts,
        "retryDelayMs": check.retry_delay_ms,
        "maxWaitTimeMs": check.max_wait_time_ms,
    }


def wait_for_capacity(instance: Instance, *, now: float) -> PolicyView:
    """How long a create keeps trying."""
    wait = instance.spec.wait_for_capacity_seconds
    if wait is None:
        verdict = "Not asked for: a create ends when every fitting offer refused it."
    elif instance.state is State.CREATING and instance.machine is None:
        until = instance.operation.requested_at + wait
        verdict = f"Offers that refuse are tried again until {spoken(until, now=now)}."
    else:
        verdict = f"A create keeps trying for {span(wait)}; nothing waits now."
    return PolicyView(name="waitForCapacitySeconds", value=wait, source=source(said=wait is not None), verdict=verdict)


def price_cap(instance: Instance) -> PolicyView:
    """The dearest offer that may be bought for it."""
    cap = instance.spec.requirement.max_price_per_hour
    price = f"${dollars(instance.price_per_hour):g} an hour"
    verdict = f"Not set: any price is allowed; it costs {price} now."
    if cap is not None:
        verdict = f"Nothing above ${dollars(cap):g} an hour is bought for it; it costs {price} now."
    value = None if cap is None else dollars(cap)
    return PolicyView(name="maxPricePerHour", value=value, source=source(said=cap is not None), verdict=verdict)


def protection(instance: Instance) -> PolicyView:
    """Whether policies may destroy it."""
    protect = instance.spec.protect
    verdict = "Off: a policy that is switched on for it may delete, replace or move it."
    if protect:
        verdict = "On: no policy deletes, replaces or moves it. It can still be stopped by itself."
    return PolicyView(name="protect", value=protect, source=source(said=protect), verdict=verdict)
