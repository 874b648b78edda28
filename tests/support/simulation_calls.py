"""Every call that changes something at Novita is somebody's wish, and none is sent again blindly."""

from itertools import pairwise

from novitai.domain.ids import MachineId, marker_of
from novitai.domain.instance import Verb
from novitai.domain.machine import MachineStatus
from support.simulation_judge import ANYTHING_MAY_COME_OF, MAKES_READY, Case, Evidence
from support.simulation_novita import Arrived
from support.simulation_people import IDLE_SECONDS
from support.timed_provider import Kept

S = MachineStatus
UNDER_WAY_SECONDS = 8.0
"""How long before a call the word may have been acknowledged that took back what it asks for: it was on its way."""
SETTLE_SECONDS = 60.0
STARTUP_SECONDS = 120.0
BRINGS_UP = frozenset({"create", "start", "restart", "migrate"})
WISHES = {
    "create": MAKES_READY,
    "start": frozenset({Verb.START, Verb.RESTART}),
    "restart": frozenset({Verb.RESTART}),
    "stop": frozenset({Verb.STOP}),
    "migrate": MAKES_READY,  # it brings back what is to be running, and only that
}


def judge_the_calls(evidence: Evidence) -> None:
    """See the module's text."""
    cases = {case.instance.id: case for case in evidence.cases()}
    by_owner: dict[str, list[Arrived]] = {}
    for call in evidence.novita.changed():
        owner = _owner(evidence, call)
        if owner not in cases:
            evidence.stage.finding(f"{call.method} of {call.machine_id or call.name}, which is not ours")
            continue
        by_owner.setdefault(owner, []).append(call)
        if not _wished(evidence, cases[owner], call):
            verbs = sorted(cases[owner].holding(call.at, since=call.at - UNDER_WAY_SECONDS))
            evidence.stage.finding(
                f"{call.method} of {owner}'s machine at {call.at:.3f}: nobody asked (holding: {verbs})"
            )
    for owner, calls in by_owner.items():
        _bought_once(evidence, cases[owner], [call for call in calls if call.method == "create"])
        _looked_before_again(evidence, cases[owner], calls)
        _one_replacement(evidence, cases[owner], calls)


def _owner(evidence: Evidence, call: Arrived) -> str:
    kept = evidence.novita.kept.get(MachineId(call.machine_id))
    marker = marker_of(kept.machine.name if kept is not None else call.name)
    return marker.instance_id if marker is not None else ""


def _wished(evidence: Evidence, case: Case, call: Arrived) -> bool:
    if call.method == "delete":
        kept = evidence.novita.kept[MachineId(call.machine_id)]
        return case.deleted(call.at) or _may_be_discarded(evidence, case, kept)
    outside = {why for at, why in evidence.stage.excuses[case.instance.id] if at <= call.at}
    if call.method == "stop" and "stopped outside" in outside:
        return True
    if call.method == "stop" and _policy_stops(case, call.at):
        evidence.stage.hits["stopped by a policy"] += 1
        return True
    if call.method in BRINGS_UP and call.at > case.ttl_ends_at + UNDER_WAY_SECONDS:
        return False
    return bool(case.holding(call.at, since=call.at - UNDER_WAY_SECONDS) & WISHES[call.method])


def _policy_stops(case: Case, at: float) -> bool:
    """Its time to live is over, or nobody has said anything of it for as long as it may idle."""
    said = [word.asked for word in case.words if word.asked <= at and not word.refused and not word.same]
    return at >= case.ttl_ends_at or (case.order.idle and at - max(said) >= IDLE_SECONDS)


def _may_be_discarded(evidence: Evidence, case: Case, kept: Kept) -> bool:
    """It did not run in time after its create, so that another offer was tried; or other hands had it before we saw it run."""
    ran = evidence.novita.first_ran.get(kept.machine.id)
    if ANYTHING_MAY_COME_OF & {why for _, why in evidence.stage.excuses[case.instance.id]}:
        return True
    return not case.order.protect and (ran is None or ran > kept.born + STARTUP_SECONDS)


def _bought_once(evidence: Evidence, case: Case, creates: list[Arrived]) -> None:
    """One buy at a time; after an unclear one the list is read to its end after the settle time; none beside a machine that is wanted."""
    for before, after in pairwise(creates):
        ended = before.ended if before.ended is not None else before.at
        if after.at < ended:
            evidence.stage.finding(f"{case.instance.id}: two buys at once at {after.at:.3f}")
        found = before.machine_id and _was_read(evidence, before.machine_id, ended, after.at)
        if before.unclear and not found and not _list_was_read(evidence, ended + SETTLE_SECONDS, after.at):
            evidence.stage.finding(f"{case.instance.id}: bought again blindly at {after.at:.3f}")
        kept = evidence.novita.kept.get(MachineId(before.machine_id))
        there = kept is not None and kept.status_at(after.at) not in {S.REMOVING, S.REMOVED}
        if kept is not None and there and not _may_be_discarded(evidence, case, kept):
            evidence.stage.finding(f"{case.instance.id}: bought beside machine {kept.machine.id} at {after.at:.3f}")


def _one_replacement(evidence: Evidence, case: Case, calls: list[Arrived]) -> None:
    """When a machine comes to be, there is at most one other of that instance: the one that it replaces."""
    for at in (call.done_at for call in calls if call.method == "create" and call.done_at is not None):
        there = [
            kept for kept in case.machines if kept.born <= at and kept.status_at(at) not in {S.REMOVING, S.REMOVED}
        ]
        if len(there) > 2:
            ids = [kept.machine.id for kept in there]
            evidence.stage.finding(f"{case.instance.id}: {ids} were there at once at {at:.3f}")


def _list_was_read(evidence: Evidence, since: float, until: float) -> bool:
    return any(since <= read.at <= until for read in evidence.novita.arrived if read.whole_list)


def _was_read(evidence: Evidence, machine_id: str, since: float, until: float) -> bool:
    reads = (read for read in evidence.novita.arrived if (read.method, read.machine_id) == ("machine", machine_id))
    return any(since <= read.at <= until and read.answer == "ok" for read in reads)


def _looked_before_again(evidence: Evidence, case: Case, calls: list[Arrived]) -> None:
    """After an unclear start, stop or restart the machine is read before the call is sent again, unless somebody asked anew."""
    for before, after in pairwise(calls):
        if before.method != after.method or before.method in {"create", "delete"} or not before.unclear:
            continue
        asked_anew = any(before.at - UNDER_WAY_SECONDS <= word.over <= after.at for word in case.words)
        if not asked_anew and not _was_read(evidence, after.machine_id, before.at, after.at):
            evidence.stage.finding(f"{case.instance.id}: {after.method} sent again blindly at {after.at:.3f}")
