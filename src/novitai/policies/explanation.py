"""An instance told to somebody who is woken by it at night: what it is, who wants what, what comes next, and what would change that.

Facts in, sentences out. Nothing here decides anything or is read by a program: the rules one by one are in `policies/verdicts.py` and
`policies/*_verdict.py`, and what is data goes beside the text. No sentence needs the documentation to be understood, and none holds a
secret.
"""

import re
from datetime import datetime

from novitai.domain.explanation import Step
from novitai.domain.instance import DesiredState, Instance, SeenMachine
from novitai.domain.lifecycle import State
from novitai.domain.machine import BillingMode, MachineStatus, SpotStatus
from novitai.domain.money import dollars
from novitai.domain.times import spoken

_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_DEEDS = {
    "stop": "it is stopped",
    "start": "it is started",
    "restart": "it is restarted",
    "delete": "it is deleted",
    "create": "a machine is asked for",
    "look": "its machine is looked for",
    "fail": "the start counts as failed",
    "migrate": "it is moved to another machine",
    "replace": "it is replaced by another machine",
    "move": "it is moved to another machine",
    "report": "it is told that the move is stuck",
}
_VOICES = {
    "outside": "somebody outside of Novitai",
    "novita": "Novita",
    "schedule": "its schedule",
    "idle": "the idle stop",
    "ttl": "its time to live",
    "budget": "a budget",
    "migration": "the spot policy",
    "adoption": "the adoption of a found machine",
    "retention": "the clearing of old records",
}


def summary(instance: Instance, *, coming: Step | None, now: float) -> str:
    """The whole story in a few sentences."""
    told = (
        state(instance, now=now),
        wanted(instance, now=now),
        notice(instance, now=now),
        leftovers(instance),
        bill(instance),
        ahead(instance, coming, now=now),
        advice(instance),
    )
    return " ".join(sentence for sentence in told if sentence)


def state(instance: Instance, *, now: float) -> str:
    """What it is now, since when, and what is waited for."""
    if instance.state is State.CREATING:
        return _creating(instance, now=now)
    since = spoken(_since(instance), now=now)
    return f"{instance.name} {_STATES[instance.state].format(since=since)}{_more(instance)}."


_STATES = {
    State.STARTING: "is starting since {since}",
    State.RUNNING: "has a machine that runs since {since}; whether its application answers is not known yet",
    State.HEALTH_CHECKING: "has a machine that runs, and its application is asked since {since} whether it answers",
    State.READY: "is ready since {since}: its application answered",
    State.STOPPING: "is being stopped since {since}",
    State.STOPPED: "is stopped since {since}",
    State.MIGRATING: "is being moved to another machine since {since}",
    State.DELETING: "is being deleted since {since}; it counts as deleted when Novita shows nothing of it any more",
    State.DELETED: "is deleted since {since}: nothing of it is left on Novita, and its record is kept for a while",
    State.FAILED: "has failed at {since}",
    State.LOST: "is lost since {since}; its record is kept in case the machine is seen again",
}


def _since(instance: Instance) -> float:
    known = {State.READY: instance.ready_at, State.STOPPED: instance.stopped_at, State.DELETED: instance.deleted_at}
    return known.get(instance.state) or instance.state_since


def _more(instance: Instance) -> str:
    """What belongs to the state beside since when it is so."""
    match instance.state:
        case State.STARTING | State.STOPPING:
            return _machine(instance)
        case State.HEALTH_CHECKING:
            return _unhealthy(instance)
        case State.STOPPED:
            return _kept(instance)
        case State.MIGRATING:
            return _moving(instance)
        case State.FAILED:
            return f": {_error(instance)}{_kept(instance)}"
        case State.LOST:
            return f" ({_error(instance)})"
        case _:
            return ""


def wanted(instance: Instance, *, now: float) -> str:
    """What it is to be, who said so, when and why."""
    word = instance.desired
    until = f", until {spoken(word.until, now=now)}" if word.until is not None else ""
    reason = f" ({_plain(word.reason, now=now)})" if word.reason and word.reason != "created" else ""
    if instance.state is State.DELETED:
        return f"{_voice(word.by)} said so at {spoken(word.at, now=now)}{reason}."
    said = f"It is to be {word.state}{until}: {voice(word.by)} said so at {spoken(word.at, now=now)}{reason}."
    return said + _disagrees(instance)


def voice(by: str) -> str:
    """Who said something, from the word in `desired.by`."""
    kind, _, who = by.partition(":")
    if kind == "user" and who:
        return f"the API key {who}"
    return _VOICES.get(kind, kind)


def notice(instance: Instance, *, now: float) -> str:
    """What Novita announced about a spot machine."""
    machine = instance.serving
    if machine is None or not machine.spot_status.taken or instance.state in {State.DELETED, State.LOST}:
        return ""
    if machine.spot_status is not SpotStatus.NOTIFIED:
        return f"Novita took this spot machine back (spot status '{machine.spot_status}')."
    at = f" at {spoken(machine.reclaim_at, now=now)}" if machine.reclaim_at else " soon"
    return f"Novita has announced that it takes this spot machine back{at}."


def leftovers(instance: Instance) -> str:
    """Machines of it beside the present one: they cost money."""
    told = []
    if instance.discarded:
        told.append(f"Being deleted beside it: machine {', '.join(instance.discarded)}.")
    if instance.strays:
        told.append(
            f"A second machine bears its marker and costs money: {', '.join(instance.strays)}. Somebody has to say what becomes of it."
        )
    return " ".join(told)


def bill(instance: Instance) -> str:
    """What it costs as it is."""
    machine, former = instance.machine, instance.former
    if former is not None and instance.state is State.MIGRATING:
        both = "" if machine is None else f", and ${dollars(instance.price_per_hour):g} an hour for the new one"
        return f"It costs ${dollars(former.offer.price_per_hour):g} an hour for the old machine{both}."
    if machine is None or machine.status is MachineStatus.REMOVED or instance.state in {State.DELETED, State.LOST}:
        return "" if instance.state is State.DELETED else "It costs nothing now."
    price = f"${dollars(instance.price_per_hour):g} an hour"
    mode = "spot" if instance.offer.billing_mode is BillingMode.SPOT else "on demand"
    if machine.status is MachineStatus.MIGRATING:
        return "While Novita moves its machine, only the disk may be billed."
    if machine.status is MachineStatus.STOPPED:
        return "Its machine stands still: only the disk may be billed."
    return f"It costs {price} ({mode})."


def ahead(instance: Instance, coming: Step | None, *, now: float) -> str:
    """What comes next without anybody asking, why, and what would change it."""
    if coming is None:
        return _awaited(instance)
    deed = _DEEDS.get(coming.what, coming.what)
    unless = f", unless {coming.unless}" if coming.unless else ""
    return f"Next: {deed}, {_when(coming, now=now)}, because {_plain(coming.because, now=now)}{unless}."


def advice(instance: Instance) -> str:
    """What a person can do where nothing goes on by itself."""
    machine = instance.machine
    if instance.state is State.LOST:
        return "What can be done: delete it and create a new one."
    if instance.state is not State.FAILED or instance.operation.under_way:
        return ""
    if machine is not None and machine.status is MachineStatus.RUNNING:
        return "What can be done: restart it, or stop or delete it to end the cost."
    return "What can be done: start it to try again, or delete it."


def _awaited(instance: Instance) -> str:
    match instance.state:
        case State.DELETED:
            return "Nothing is planned."
        case State.MIGRATING:
            return (
                "Nothing is planned: the end of Novita's move is awaited, and it has been told that it takes too long."
            )
        case State.RUNNING:
            return "Next: its application is asked whether it answers, as soon as Novita tells its addresses."
        case _:
            return "Nothing is planned: it stays as it is until somebody asks for something or Novita changes it."


def _when(coming: Step, *, now: float) -> str:
    if coming.at is None:
        return "as soon as it can be"
    if coming.at <= now:
        return f"due since {spoken(coming.at, now=now)}"
    return f"at {spoken(coming.at, now=now)}" + (" at the latest" if coming.what in {"fail", "create"} else "")


def _plain(text: str, *, now: float) -> str:
    """Times within a sentence as people say them."""

    def say(found: re.Match[str]) -> str:
        return spoken(datetime.fromisoformat(found[0]).timestamp(), now=now)

    return _ISO.sub(say, text)


def _creating(instance: Instance, *, now: float) -> str:
    name, asked = instance.name, spoken(instance.operation.requested_at, now=now)
    machine, attempt = instance.machine, instance.open_attempt
    if machine is not None:
        doing = f"machine {machine.id} is {_doing(machine)} since {spoken(machine.since, now=now)}"
        return f"{name} is being created since {asked}: {doing}."
    if attempt is not None:
        sent = spoken(attempt.sent_at, now=now)
        if attempt.ended:
            return (
                f"{name} is being created since {asked}: Novita's answer to attempt {attempt.number} was not clear at {sent}, so its "
                "machine is looked for by its marker before anything is bought again."
            )
        return f"{name} is being created since {asked}: Novita was asked for a machine at {sent} (attempt {attempt.number})."
    wait = instance.spec.wait_for_capacity_seconds
    if wait is not None and (instance.refusals or instance.attempts):
        refused = (
            f"{len(instance.refusals)} offers refused in this round" if instance.refusals else "no offer had any yet"
        )
        return f"{name} is being created since {asked} and waits for capacity: {refused}."
    tried = f"; {len(instance.refusals)} offers refused so far" if instance.refusals else ""
    return f"{name} is being created since {asked}: no machine of it is there yet{tried}."


def _doing(machine: SeenMachine) -> str:
    return {
        MachineStatus.PENDING: "waiting to be made by Novita",
        MachineStatus.PULLING: "pulling its image",
        MachineStatus.UNKNOWN: f"in a state that we do not know ('{machine.provider_status}')",
    }.get(machine.status, str(machine.status))


def _machine(instance: Instance) -> str:
    machine = instance.machine
    return "" if machine is None else f": its machine {machine.id} is {_doing(machine)}"


def _moving(instance: Instance) -> str:
    former, machine = instance.former, instance.machine
    if former is None:
        asked = str(instance.operation.verb) == "migrate" and instance.operation.under_way
        return f": Novita {'was asked to move its machine' if asked else 'moves its machine itself'}"
    coming = (
        "another one is being bought"
        if machine is None
        else f"machine {machine.id} takes its place and is {_doing(machine)}"
    )
    serves = "still serves" if former.serves else "does not serve any more"
    return f": machine {former.machine.id} {serves}, and {coming}"


def _kept(instance: Instance) -> str:
    machine = instance.machine
    if machine is None or machine.status is MachineStatus.REMOVED:
        return "; it has no machine"
    return f"; its machine {machine.id} is {_doing(machine)} and kept"


def _error(instance: Instance) -> str:
    error = instance.last_error
    if error is None:
        return "no reason is known"
    return f"{error.message.rstrip('.')} ({error.code})"


def _unhealthy(instance: Instance) -> str:
    checks = instance.health.endpoints if instance.health is not None else ()
    errors = [f"port {one.port}: {one.error}" for one in checks if one.error]
    return f"; the last answer was {'; '.join(errors)}" if errors else ""


def _voice(by: str) -> str:
    said = voice(by)
    return said[:1].upper() + said[1:]


def _disagrees(instance: Instance) -> str:
    """Where what is and what is wanted differ and nothing is on the way."""
    if instance.operation.under_way:
        return ""
    if instance.wants is DesiredState.RUNNING and instance.state is State.STOPPED:
        return " It stands still all the same."
    return ""
