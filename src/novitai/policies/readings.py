"""What a reading of a machine changes in what we hold of it, and whether it may be believed.

Lists lag and lie: a status that neither what is known nor the present operation explains is a *surprise*, and is
believed only when the machine was read singly. A reading older than what is known says nothing. Addresses hold for one
run of a machine. What all this means for the instance is decided in `observed`.
"""

import msgspec

from novitai.domain.change import Change, fact, with_fields
from novitai.domain.events import FactType
from novitai.domain.instance import Instance, SeenMachine
from novitai.domain.lifecycle import State
from novitai.domain.machine import Machine, MachineStatus, PortMapping, SpotStatus
from novitai.domain.secrets import Sealed
from novitai.domain.times import iso_or_none


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """A machine as read, with the time at which the reading began. `confirmed`: read singly, not from a list."""

    machine: Machine
    at: float
    confirmed: bool
    password: Sealed | None = None


def surprising(instance: Instance, seen: SeenMachine, status: MachineStatus) -> bool:
    """Whether neither what is known nor the present operation explains this status."""
    if status in {MachineStatus.UNKNOWN, MachineStatus.MIGRATING}:
        return False
    if status is seen.status and instance.state is not State.LOST:
        return False
    match instance.state:
        case State.STARTING if instance.operation.accepted_at is None:
            return True  # nothing was started yet, as far as we know
        case State.CREATING | State.STARTING | State.MIGRATING:
            return status.going_down
        case State.STOPPING:
            if status is MachineStatus.STOPPED:
                return instance.operation.accepted_at is None
            return status is MachineStatus.REMOVED or (seen.status is MachineStatus.STOPPING and status.going)
        case State.DELETING:
            return status is MachineStatus.REMOVED
        case _:
            return status is not MachineStatus.RUNNING or instance.state is State.STOPPED


def not_missing(instance: Instance, seen: SeenMachine, *, at: float) -> Instance:
    """What stands in a list is not missing, whatever else is to be thought of it."""
    missing = _still_missing(seen, at=at)
    if missing == seen.missing:
        return instance
    return with_fields(instance, machine=msgspec.structs.replace(seen, missing=missing))


def withdraws_notice(seen: SeenMachine, sighting: Sighting) -> bool:
    """A list that lags may not know of a spot notice yet; only a single read can take one back."""
    return not sighting.confirmed and seen.spot_status.taken and not sighting.machine.spot_status.taken


def note(instance: Instance, seen: SeenMachine, sighting: Sighting, *, now: float) -> Instance:
    """The instance with the machine's fields as read; the same object when nothing differs."""
    seen_now = as_read(seen, sighting, now=now)
    return instance if seen_now is seen else with_fields(instance, machine=seen_now)


def as_read(seen: SeenMachine, sighting: Sighting, *, now: float) -> SeenMachine:
    """The machine with its fields as read; the same object when nothing differs."""
    machine = sighting.machine
    keeps = withdraws_notice(seen, sighting)
    fields: dict[str, object] = {
        "name": machine.name or seen.name,
        "provider_status": machine.provider_status,
        "error": machine.error,
        "cluster_id": machine.cluster_id or seen.cluster_id,
        "region": machine.region or seen.region,
        "product_id": machine.product_id or seen.product_id,
        "product_name": machine.product_name or seen.product_name,
        "billing_mode": machine.billing_mode or seen.billing_mode,
        "ports": _ports(seen, machine),
        "started_at": machine.started_at or seen.started_at,
        "stopped_at": machine.stopped_at or seen.stopped_at,
        "rootfs_gb": machine.rootfs_gb or seen.rootfs_gb,
        "spot_status": seen.spot_status if keeps else machine.spot_status,
        "reclaim_at": seen.reclaim_at if keeps else machine.reclaim_at,
        "taken_since": seen.taken_since if keeps else _taken_since(seen, machine, now=now),
        "missing": _still_missing(seen, at=sighting.at),
        "puzzling": machine.status is MachineStatus.UNKNOWN,
    }
    if not _same_run(seen, machine):
        fields["connection"] = None
    if machine.detailed and machine.connection is not None and machine.connection.has_ssh:
        fields["connection"] = machine.connection
        fields["password"] = sighting.password if machine.password else seen.password
    if machine.status is not seen.status and machine.status is not MachineStatus.UNKNOWN:
        fields |= {"status": machine.status, "since": now, "before_since": seen.since}
        fields |= _pulling(seen, machine.status, now=now)
    noted = msgspec.structs.replace(seen, **fields)
    if _without_box(noted) == _without_box(seen):
        return seen
    return noted


def _taken_since(seen: SeenMachine, machine: Machine, *, now: float) -> float | None:
    """When Novita was first seen to take this run of the machine back."""
    if not machine.spot_status.taken:
        return None
    return seen.taken_since if seen.spot_status.taken and seen.taken_since is not None else now


def spot_notice(before: Instance, noted: Instance, *, at: float) -> Change:
    old, new = before.machine, noted.machine
    if (
        old is None
        or new is None
        or new.spot_status is not SpotStatus.NOTIFIED
        or old.spot_status in {SpotStatus.NOTIFIED, SpotStatus.RECLAIMING}
    ):
        return Change(instance=noted)
    told = fact(
        FactType.SPOT_NOTICE,
        noted,
        before=before,
        at=at,
        actor="novita",
        reason="Novita announced that it takes the spot machine back",
        data={"reclaimAt": iso_or_none(new.reclaim_at)},
    )
    return Change(instance=noted, facts=(told,))


def _same_run(seen: SeenMachine, machine: Machine) -> bool:
    """Whether addresses that were read earlier still hold: after a stop or a move the machine may be elsewhere."""
    return machine.status in {MachineStatus.UNKNOWN, seen.status}


def _ports(seen: SeenMachine, machine: Machine) -> tuple[PortMapping, ...]:
    """As read; lists may leave endpoints out, so those of the present run are kept until others are told."""
    if any(port.endpoint for port in machine.ports):
        return machine.ports
    if _same_run(seen, machine):
        return seen.ports or machine.ports
    return machine.ports or tuple(PortMapping(port=port.port, type=port.type, endpoint="") for port in seen.ports)


def _still_missing(seen: SeenMachine, *, at: float) -> tuple[float, ...]:
    """The evidence of absence that a reading begun at `at` leaves standing: only what is newer."""
    return tuple(evidence for evidence in seen.missing if evidence > at)


def _without_box(seen: SeenMachine) -> SeenMachine:
    """A password sealed twice differs each time; it counts as changed only when there was none."""
    return msgspec.structs.replace(seen, password=None if seen.password is None else Sealed("set"))


def _pulling(seen: SeenMachine, status: MachineStatus, *, now: float) -> dict[str, float | None]:
    if status is MachineStatus.PULLING:
        return {"pulling_since": now}
    if seen.pulling_since is not None:
        return {"pulling_since": None, "pulled_seconds": seen.pulled_seconds + now - seen.pulling_since}
    return {}
