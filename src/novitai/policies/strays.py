"""What becomes of extra machines: those that bear an instance's marker and are not its present machine.

One can exist when Novita showed a machine later than the settle time, so that its create was sent again. It is always
told and shown (`outcomes.stray_found`), and goes with its instance. Whether it is deleted before that is the operator's
decision. It needs two single readings apart in time, the marker of this very instance, and an instance about which
nothing is in doubt: the machine that is kept is the one that the instance holds.
"""

from enum import StrEnum

from novitai.domain.change import Change, fact, with_fields
from novitai.domain.events import FactType
from novitai.domain.ids import MachineId, marker_of
from novitai.domain.instance import DesiredState, Instance
from novitai.domain.lifecycle import State
from novitai.domain.machine import Machine
from novitai.policies.observed import EVIDENCE_APART_SECONDS


class ExtraMachines(StrEnum):
    """What is done about an extra machine, beside telling of it."""

    REPORT = "report"
    DELETE = "delete"


def may_go(instance: Instance, machine: Machine, *, installation: str) -> bool:
    """Whether this machine, as it was read, is an extra one of this instance that nobody can want. What is protected, or
    to be deleted altogether, is none of this policy's business.
    """
    if machine.id not in instance.strays or instance.spec.protect or instance.wants is DesiredState.DELETED:
        return False
    marker = marker_of(machine.name)
    ours = marker is not None and (marker.installation, marker.instance_id) == (installation, instance.id)
    going = machine.status.leaving
    return ours and not going and _settled(instance, machine)


def _settled(instance: Instance, machine: Machine) -> bool:
    """Whether it is clear which machine the instance keeps, and that it is not this one."""
    if instance.open_attempt is not None or instance.state in {State.LOST, State.MIGRATING}:
        return False
    if instance.machine is None:
        return not instance.state.in_motion
    return instance.machine.id != machine.id


def confirmed(first: float, again: float) -> bool:
    """Whether two single readings lie far enough apart to act on."""
    return again - first >= EVIDENCE_APART_SECONDS


def discard(instance: Instance, machine: Machine, *, installation: str, at: float) -> Change:
    """Let an extra machine be deleted; told with the reason. Nothing changes when it may not go (any more)."""
    if not may_go(instance, machine, installation=installation):
        return Change(instance=instance)
    why = "an extra machine with this instance's marker, read twice, is deleted as the settings say"
    return give_up(instance, machine.id, by="observer", why=why, at=at)


def give_up(instance: Instance, machine_id: MachineId, *, by: str, why: str, at: float) -> Change:
    """Have a stray of the instance deleted, because somebody said so; told with the reason. Nothing changes when it is none (any more)."""
    if machine_id not in instance.strays:
        return Change(instance=instance)
    given_up = with_fields(
        instance,
        strays=tuple(other for other in instance.strays if other != machine_id),
        discarded=(*instance.discarded, machine_id),
    )
    kept = f"{instance.machine.id} is kept" if instance.machine is not None else "the instance holds no machine"
    told = fact(
        FactType.ORPHAN_FOUND,
        given_up,
        before=instance,
        at=at,
        actor=by,
        reason=f"{why}; {kept}",
        data={"machineId": machine_id, "action": "deleting"},
    )
    return Change(instance=given_up, facts=(told,))
