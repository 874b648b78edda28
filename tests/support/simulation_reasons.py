"""Everything that was done or concluded by itself has its reason in the audit log (see `reasons`): each create that reached Novita, each
delete of a machine whose instance nobody wanted gone, and everything told that nobody had asked for.
"""

from novitai.domain.audit import AuditEntry
from novitai.domain.ids import MachineId, marker_of
from novitai.operations import records
from support.reasons import reasons_in, without_reason
from support.simulation_judge import Case, Evidence

UNEXPLAINED = "unexplained: "
"""How findings of this kind begin."""


def judge_the_reasons(evidence: Evidence) -> None:
    """See the module's text."""
    logs = evidence.disk.logs
    for case in evidence.cases():
        reasons = reasons_in(one.body for one in logs[records.AUDIT, f"target:{case.instance.id}"])
        events = (records.read_event(one.body) for one in logs[records.EVENTS, f"instance:{case.instance.id}"])
        for finding in without_reason(case.instance, events, reasons):
            evidence.stage.finding(f"{UNEXPLAINED}{finding}")
        _placed(evidence, case, reasons)
        _discarded(evidence, case, reasons)


def _placed(evidence: Evidence, case: Case, reasons: list[AuditEntry]) -> None:
    explained = {entry.detail["facts"]["attempt"] for entry in reasons if entry.action == "instance.place"}
    for call in evidence.novita.changed():
        marker = marker_of(call.name) if call.method == "create" else None
        if marker is not None and marker.instance_id == case.instance.id and marker.attempt not in explained:
            evidence.stage.finding(
                f"{UNEXPLAINED}attempt {marker.attempt} of {case.instance.id} was sent without a reason"
            )


def _discarded(evidence: Evidence, case: Case, reasons: list[AuditEntry]) -> None:
    explained = {entry.detail["facts"].get("machineId") for entry in reasons}
    mine = {kept.machine.id for kept in case.machines}
    for call in evidence.novita.changed():
        unasked = call.method == "delete" and MachineId(call.machine_id) in mine and not case.deleted(call.at)
        if unasked and call.machine_id not in explained:
            evidence.stage.finding(
                f"{UNEXPLAINED}machine {call.machine_id} of {case.instance.id} was deleted without a reason"
            )
