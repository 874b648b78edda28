"""Everybody was told the truth, in order, with the same words each time, and nothing was left out."""

from collections import defaultdict
from datetime import datetime

from novitai.domain.ids import MachineId
from novitai.domain.machine import MachineStatus
from novitai.operations import records
from support.simulation_judge import Case, Evidence
from support.simulation_receivers import FINAL, Attempt

S = MachineStatus
TRIES = 6
"""Attempts of the usual schedule: after so many an event may be given up."""
NEWS_TAKES_SECONDS = 60.0
"""How much older than the last reading what is told may be: lists lag, and reading takes its time."""
READING_TAKES_SECONDS = 0.5
"""What is told bears the time at which its reading began, and shows what was so when that ended."""
SHOWN = frozenset({"ok", "reordered", "unpaged", "repeat"})
MAKES_DOUBLES = ("process ended", "process stopped", "disk away", "disk is slow", "commit loses a race")


def judge_the_telling(evidence: Evidence) -> None:
    """See the module's text."""
    attempts: defaultdict[str, list[Attempt]] = defaultdict(list)
    for attempt in evidence.receivers.ledger:
        attempts[attempt.id].append(attempt)
    for event_id, tries in attempts.items():
        _same_each_time(evidence, event_id, tries)
    logged = [records.read_event(entry.body) for entry in evidence.disk.logs[records.EVENTS, "all"]]
    for event in logged:
        if not _arrived(attempts[event.id]):
            evidence.stage.finding(f"{event.type} ({event.id}) was never told")
    if unknown := set(attempts) - {event.id for event in logged}:
        evidence.stage.finding(f"told, but not written down: {sorted(unknown)}")
    for case in evidence.cases():
        _without_gaps(evidence, case, attempts)
        for tries in attempts.values():
            if tries and tries[0].event["instanceId"] == case.instance.id:
                _true(evidence, case, tries[0])


def _same_each_time(evidence: Evidence, event_id: str, tries: list[Attempt]) -> None:
    if len({attempt.body for attempt in tries}) > 1:
        evidence.stage.finding(f"event {event_id} came with different bodies")
    first = next((index for index, attempt in enumerate(tries) if attempt.status == 200), len(tries))
    if tries[first + 1 :] and not any(evidence.stage.hits[kind] for kind in MAKES_DOUBLES):
        evidence.stage.finding(f"event {event_id} came again after it was acknowledged")


def _arrived(tries: list[Attempt]) -> bool:
    return any(one.taken or one.status in FINAL for one in tries) or len(tries) >= TRIES


def _without_gaps(evidence: Evidence, case: Case, attempts: dict[str, list[Attempt]]) -> None:
    events = (tries[0].event for tries in attempts.values() if tries)
    sequences = sorted(event["sequence"] for event in events if event["instanceId"] == case.instance.id)
    if sequences != list(range(1, case.instance.sequence + 1)):
        evidence.stage.finding(f"{case.instance.id} has {case.instance.sequence} events, the receiver saw {sequences}")


def _true(evidence: Evidence, case: Case, attempt: Attempt) -> None:
    event = attempt.event
    kind, machine_id = event["type"].removeprefix("instance."), event["novitaInstanceId"]
    at = datetime.fromisoformat(event["timestamp"]).timestamp()
    held = _statuses(evidence, machine_id, at)
    match kind:
        case "ready":
            true = (
                bool(held & {S.RUNNING, S.UNKNOWN})
                and evidence.receivers.answered_healthy.get(machine_id, at + 2.0) <= at + 1.0
            )
        case "stopped":
            true = machine_id is None or bool(held & {S.STOPPED, S.REMOVED})
        case "lost":
            true = S.REMOVED in held
        case "deleted":
            true = all(_statuses(evidence, kept.machine.id, at) & {S.REMOVED, S.REMOVING} for kept in case.machines)
        case _:
            true = True
    if not true:
        evidence.stage.finding(f"{kind} of {case.instance.id} was told at {at:.3f}; the machine was {sorted(held)}")


def _statuses(evidence: Evidence, machine_id: str | None, at: float) -> set[MachineStatus]:
    """What a machine was when something was told of it, and what it may still have seemed to be."""
    kept = evidence.novita.kept.get(MachineId(machine_id or ""))
    if kept is None:
        return {S.REMOVED}
    since = _last_reading(evidence, at) - NEWS_TAKES_SECONDS
    shown = {kept.status_at(at), kept.status_at(at + READING_TAKES_SECONDS)}
    return shown | {before for changed, before in kept.was if since <= changed <= at}


def _last_reading(evidence: Evidence, at: float) -> float:
    """When Novita last showed its machines, before a moment."""
    arrived = evidence.novita.arrived
    return max(
        (read.at for read in arrived if read.method == "machines" and read.answer in SHOWN and read.at <= at),
        default=0.0,
    )
