"""Why an instance was changed without anybody asking us: the one sentence and the facts that are kept of it.

What a reading of Novita, an answer of a call or a step of the lifecycle makes of an instance is found by comparing it before and after, so
that no way of getting there can be forgotten. Whoever decides with more than that (placement, the policies) says it itself, in
`Change.decision`. Progress that was asked for and goes as asked is no decision.
"""

from typing import Any

import msgspec

from novitai.domain.change import Change
from novitai.domain.explanation import Decision, Explanation
from novitai.domain.instance import DesiredState, Instance, OperationStatus, Refusal
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.domain.money import dollars
from novitai.domain.offers import Offer, Ranked
from novitai.domain.times import iso, iso_or_none

PLACEMENT, STARTUP, OBSERVER = "placement", "startup", "observer"
"""Who decides: which offer is bought; what becomes of a start; what is concluded from what Novita shows."""
MOST_LOSERS = 5


def explained(before: Instance, change: Change) -> Change:
    """The change with why it was made, when nobody asked us for it and it does not say so itself."""
    if change.decision is not None or change.instance is before:
        return change
    found = decided(before, change.instance)
    return change if found is None else msgspec.structs.replace(change, decision=found)


def decided(before: Instance, after: Instance) -> Decision | None:
    """What was decided between two states of an instance, as far as it was not asked of us. Nothing of this changes what is decided."""
    return (
        _given_up(before, after)
        or _extra(before, after)
        or _vanished(before, after)
        or _taken_back(before, after)
        or _failed(before, after)
        or _another_word(before, after)
        or _another_run(before, after)
        or _moved(before, after)
        or _search_over(before, after)
        or _queued(before, after)
        or _comes_up(before, after)
        or _stands_still(before, after)
    )


def placed(instance: Instance, ranked: tuple[Ranked, ...], *, number: int, read_at: float) -> Decision:
    """Which offer is asked for now, out of which, and what was tried before. `read_at`: when the prices were read."""
    best, fitting = ranked[0], sum(place.fits for place in ranked)
    losers = ranked[fitting:]
    told = [f"{_words(best.offer)}, {best.reason} ({fitting} of {len(ranked)} offers fit)"]
    if fitting > 1:
        told.append(f"the next would be {_words(ranked[1].offer)}, {ranked[1].reason}")
    if instance.refusals:
        told.append(f"tried before in vain: {', '.join(_refused(one) for one in instance.refusals)}")
    elif number > 1:
        told.append(f"this is attempt {number}")
    facts = {
        "attempt": number,
        "offer": offer_facts(best.offer),
        "fitting": fitting,
        "candidates": len(ranked),
        "next": offer_facts(ranked[1].offer) if fitting > 1 else None,
        "lost": [offer_facts(place.offer) | {"reason": place.reason} for place in losers[:MOST_LOSERS]],
        "refused": [_refused(one) for one in instance.refusals],
        "pricesReadAt": iso_or_none(read_at),
    }
    return _decision(PLACEMENT, "instance.place", "; ".join(told), facts)


def offer_facts(offer: Offer) -> dict[str, Any]:
    """An offer under the names of the API."""
    return {
        "productId": offer.product_id,
        "productName": offer.product_name,
        "region": offer.region,
        "billingMode": str(offer.billing_mode),
        "pricePerHour": dollars(offer.price_per_hour),
    }


def _given_up(before: Instance, after: Instance) -> Decision | None:
    """Our machine never ran, and is deleted."""
    machine = before.machine
    if machine is None or machine.id in before.discarded or machine.id not in after.discarded:
        return None
    why = after.last_error if after.state is State.FAILED else None
    message = why.message if why is not None else (after.refusals[-1].message if after.refusals else "it never ran")
    goes_on = after.buys
    then = "the next best offer is tried, once" if goes_on else "no other offer is tried after the second"
    because = (
        f"{message}. Machine {machine.id} never ran and was made for this instance alone, so it is deleted; {then}"
    )
    facts = {"machineId": machine.id, "offer": offer_facts(before.offer), "startupRetries": after.startup_retries}
    return _decision(STARTUP, "instance.replace" if goes_on else "instance.fail", because, facts)


def _extra(before: Instance, after: Instance) -> Decision | None:
    """A second machine with this instance's marker is found, or given up."""
    if before.strays is after.strays or before.strays == after.strays:
        return None
    kept = f"{after.machine.id} is its machine" if after.machine is not None else "it holds no machine"
    doomed = [machine_id for machine_id in before.strays if machine_id in after.discarded]
    found = [machine_id for machine_id in after.strays if machine_id not in before.strays]
    if doomed:
        because = (
            f"machine {doomed[0]} bears this instance's marker but is an extra one ({kept}); it was read twice, at least 30 s "
            "apart, and is deleted because EXTRA_MACHINES is 'delete'"
        )
        return _decision(OBSERVER, "machine.delete", because, {"machineId": doomed[0]})
    if found:
        because = (
            f"machine {found[0]} bears this instance's marker although {kept}; it costs money and is left alone: it goes with the "
            "instance, or when somebody deletes it as an orphan"
        )
        return _decision(OBSERVER, "machine.report", because, {"machineId": found[0]})
    return None


def _vanished(before: Instance, after: Instance) -> Decision | None:
    if after.state is not State.LOST or before.state is State.LOST:
        return None
    machine = after.machine
    evidence = [iso(at) for at in machine.missing] if machine is not None else []
    reclaimed = machine is not None and machine.spot_status.taken
    why = (
        "Novita took the spot machine back and it is gone"
        if reclaimed
        else "the machine is gone and nobody told us why"
    )
    twice = f": it was missing at {' and at '.join(evidence)}" if evidence else ""
    facts = {"machineId": machine.id if machine is not None else None, "missing": evidence}
    return _decision(OBSERVER, "instance.lose", f"{why}{twice}. The record is kept, in case it is seen again", facts)


def _taken_back(before: Instance, after: Instance) -> Decision | None:
    machine = after.machine
    if machine is None or not machine.spot_status.taken or after.wants is not DesiredState.RUNNING:
        return None
    if after.state not in {State.STOPPING, State.STOPPED} or before.state in {State.STOPPING, State.STOPPED}:
        return None
    when = f", announced for {iso(machine.reclaim_at)}" if machine.reclaim_at else ""
    because = (
        f"Novita took the spot machine {machine.id} back (spot status '{machine.spot_status}'{when}); nobody asked for a stop, so "
        "the instance is still to be running"
    )
    facts = {
        "machineId": machine.id,
        "spotStatus": str(machine.spot_status),
        "reclaimAt": iso_or_none(machine.reclaim_at),
    }
    return _decision(OBSERVER, "instance.reclaim", because, facts)


def _failed(before: Instance, after: Instance) -> Decision | None:
    """A create or start ends in vain, or what was up is not any more."""
    ended = (
        before.operation.id == after.operation.id
        and before.operation.under_way
        and after.operation.status is OperationStatus.FAILED
    )
    error = after.last_error
    if error is None or not (ended or (after.state is State.FAILED and before.state is not State.FAILED)):
        return None
    facts: dict[str, Any] = {
        "code": str(error.code),
        "verb": str(after.operation.verb),
        "requestedAt": iso(after.operation.requested_at),
        "machineId": after.machine.id if after.machine is not None else None,
        "refused": [_refused(one) for one in error.offers],
    }
    told = [error.message.rstrip("."), _left_behind(after)]
    if error.offers:
        told.insert(1, f"tried in vain: {', '.join(_refused(one) for one in error.offers)}")
    if after.wants is not before.wants:
        told.append(f"From now on it is to be {after.wants}")
    return _decision(STARTUP, "instance.fail", ". ".join(told), facts)


def _left_behind(instance: Instance) -> str:
    machine = instance.machine
    if machine is None or machine.status is MachineStatus.REMOVED:
        return "There is no machine, and nothing is billed"
    if machine.status is MachineStatus.RUNNING:
        price = f"${dollars(instance.price_per_hour):g}"
        return f"Its machine {machine.id} runs on and bills {price} an hour; its application is still asked, and a late answer counts"
    return f"Its machine {machine.id} is left as it is ({machine.status})"


def _another_word(before: Instance, after: Instance) -> Decision | None:
    word = after.desired
    if word is before.desired or word == before.desired or word.by.startswith("user:"):
        return None
    machine = after.machine
    facts = {
        "state": str(word.state),
        "insteadOf": str(before.wants),
        "insteadOfBy": before.desired.by,
        "machineId": machine.id if machine is not None else None,
        "providerStatus": machine.provider_status if machine is not None else None,
    }
    if word.by != "outside":
        return _decision(
            OBSERVER,
            f"instance.seen_{word.state}",
            f"{word.reason or 'no reason was told'}; it is to be {word.state}",
            facts,
        )
    seen = {"running": "was started", "stopped": "was stopped", "deleted": "was deleted"}[str(word.state)]
    because = (
        f"the machine {seen} outside of Novitai, and not by us. That counts as a person's word: the instance is to be "
        f"{word.state} from now on, and not {before.wants} any more"
    )
    return _decision(OBSERVER, f"instance.seen_{word.state}", because, facts)


def _another_run(before: Instance, after: Instance) -> Decision | None:
    operation = after.operation
    if operation.id == before.operation.id:
        return None
    because = f"{operation.reason or 'the machine was seen to change'}; before it was {before.state}"
    return _decision(
        OBSERVER, f"instance.{operation.verb}", because, {"before": str(before.state), "verb": str(operation.verb)}
    )


def _moved(before: Instance, after: Instance) -> Decision | None:
    ours = str(after.operation.verb) == "migrate" and after.operation.under_way
    if after.state is not State.MIGRATING or before.state is State.MIGRATING or ours:
        return None
    because = (
        "Novita is moving the machine; nothing is sent to it until the move is over, and what is wanted does not change"
    )
    return _decision(OBSERVER, "instance.seen_migrating", because, {"before": str(before.state)})


def _search_over(before: Instance, after: Instance) -> Decision | None:
    """An unclear create is cleared up."""
    attempt = before.open_attempt
    if attempt is None or after.open_attempt is not None:
        return None
    facts: dict[str, Any] = {"attempt": attempt.number, "endedAt": iso(attempt.sent_at)}
    unclear = f"Novita's answer to attempt {attempt.number} was not clear"
    if attempt.ended and before.machine is None and after.machine is not None:
        because = f"{unclear}; machine {after.machine.id} bears its marker and is taken as its result, so nothing is bought twice"
        return _decision(OBSERVER, "instance.adopt", because, facts | {"machineId": after.machine.id})
    if attempt.disproved_at is None or after.machine is not None:
        return None
    because = (
        f"{unclear}; a whole list read from {iso(attempt.disproved_at)} on, after the settle time, does not show its machine, so it "
        "made none"
    )
    return _decision(OBSERVER, "instance.disprove", because, facts | {"listReadAt": iso(attempt.disproved_at)})


def _queued(before: Instance, after: Instance) -> Decision | None:
    begins = before.state is State.STOPPED and after.state in {State.STARTING, State.CREATING}
    operation = after.operation
    if not begins or operation.id != before.operation.id:
        return None
    asked = iso(operation.requested_at)
    because = f"the machine has stopped; the {operation.verb} that was asked for at {asked} meanwhile by {operation.by} begins now"
    return _decision(STARTUP, "instance.start", because, {"requestedAt": asked, "requestedBy": operation.by})


def _comes_up(before: Instance, after: Instance) -> Decision | None:
    """The machine is started by somebody else while a policy's own operation on it is under way."""
    operation = after.operation
    begins = after.state is State.STARTING and before.state is not State.STARTING
    if not begins or operation.id != before.operation.id or operation.by.startswith("user:"):
        return None
    because = (
        f"the machine was seen to come up while it was {before.state}; that is taken for the {operation.verb} under way"
    )
    facts = {"before": str(before.state), "requestedAt": iso(operation.requested_at), "requestedBy": operation.by}
    return _decision(OBSERVER, "instance.seen_starting", because, facts)


def _stands_still(before: Instance, after: Instance) -> Decision | None:
    """Stopped although nobody wanted it, and no start follows."""
    stopped = after.state is State.STOPPED and before.state is not State.STOPPED
    reclaimed = after.machine is not None and after.machine.spot_status.taken  # said when it began
    if not stopped or reclaimed or after.wants is not DesiredState.RUNNING or after.operation.under_way:
        return None
    because = (
        f"the machine stopped (it was {before.state}) although it is to be running; nobody told us why, so it is not started again "
        "by itself"
    )
    return _decision(OBSERVER, "instance.seen_stopped", because, {"before": str(before.state)})


def _words(offer: Offer) -> str:
    return f"{offer.product_name} in {offer.region} as {offer.billing_mode}"


def _refused(refusal: Refusal) -> str:
    key = refusal.key
    return f"{key.product_id} in {key.cluster_id} as {key.billing_mode} ({refusal.code})"


def _decision(by: str, action: str, because: str, facts: dict[str, Any]) -> Decision:
    return Decision(by=by, action=action, why=Explanation(because=because, facts=facts))
