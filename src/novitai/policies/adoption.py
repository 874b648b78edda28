"""Taking a found machine into our records, and what our records and Novita's list say differently.

A machine that bears this installation's marker is ours even when its record is gone, and gets its old id back from its name. Anything else
is taken only when a person says so. An adopted machine is never replaced or deleted because it does not come up: its start counts as a
start, not as a create.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

from novitai.domain.change import Change, completed, fact, with_fields
from novitai.domain.events import FactType
from novitai.domain.explanation import Explanation
from novitai.domain.ids import NAME_PART, InstanceId, MachineId, Marker, marker_of
from novitai.domain.instance import (
    Desired,
    DesiredState,
    HealthCheck,
    Instance,
    Operation,
    Phase,
    SeenMachine,
    Spec,
    Verb,
)
from novitai.domain.lifecycle import State
from novitai.domain.machine import BillingMode, Machine, MachineStatus, Port
from novitai.domain.money import Usd
from novitai.domain.offers import BillingChoice, Catalogue, Offer, Requirement
from novitai.domain.orphan import Orphan, orphan_of
from novitai.domain.times import iso, span
from novitai.policies import observed
from novitai.policies.observed import Sighting
from novitai.policies.requests import Wish, ask

_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")


class Taking(msgspec.Struct, frozen=True, kw_only=True):
    """Who takes a machine, and what is not known from the machine itself."""

    instance_id: InstanceId
    operation_id: str
    correlation_id: str
    owner: str
    by: str
    reason: str
    at: float
    price: Usd | None
    health_check: HealthCheck


def ours(machine_name: str, installation: str) -> Marker | None:
    """The marker in a machine's name, when it is this installation's."""
    marker = marker_of(machine_name)
    return marker if marker is not None and marker.installation == installation else None


def adopted(sighting: Sighting, taking: Taking) -> Change:
    """The instance that a machine becomes, as it was read singly, and what is told of it."""
    begun = _instance(sighting, taking)
    told = fact(
        FactType.ORPHAN_FOUND,
        begun,
        before=None,
        at=taking.at,
        actor=taking.by,
        reason=taking.reason,
        data={"machineId": sighting.machine.id, "action": "adopted"},
    )
    seen = observed.see(begun, sighting, now=taking.at, operation_id=taking.operation_id)
    return Change(instance=begun, facts=(told,)).then(seen.change)


def doomed(sighting: Sighting, taking: Taking) -> Change:
    """The instance that a machine becomes whose delete was asked for: it is deleted as any other is."""
    begun = _instance(sighting, taking)
    wish = Wish(
        verb=Verb.DELETE,
        operation_id=taking.operation_id,
        by=taking.by,
        at=taking.at,
        reason=taking.reason,
        correlation_id=taking.correlation_id,
    )
    decided = ask(begun, wish)
    assert isinstance(decided, Change)
    return decided


def latest(machines: Iterable[Machine], installation: str) -> list[tuple[Machine, Marker]]:
    """Of the machines that bear our marker, the one of each instance that its lost record held: that of the latest attempt. What an
    earlier attempt left behind is an extra machine of it.
    """
    best: dict[InstanceId, tuple[Machine, Marker]] = {}
    for machine in machines:
        marker = ours(machine.name, installation)
        if marker is None:
            continue
        known = best.get(marker.instance_id)
        if known is None or _rank(machine, marker) > _rank(*known):
            best[marker.instance_id] = machine, marker
    return list(best.values())


def _rank(machine: Machine, marker: Marker) -> tuple[int, bool, float]:
    return marker.attempt, machine.status.going, machine.created_at


def orphan(machine: Machine, *, catalogue: Catalogue | None, installation: str, at: float) -> Orphan:
    """A machine that no record knows of, first seen at a time."""
    marked = ours(machine.name, installation) is not None
    return orphan_of(machine, price=price_of(machine, catalogue), ours=marked, at=at)


def price_of(machine: Machine, catalogue: Catalogue | None) -> Usd | None:
    """What a machine costs an hour while it runs: what Novita says of it, else what the catalogue says of its kind."""
    if machine.price_per_hour is not None:
        return machine.price_per_hour
    mode = machine.billing_mode or BillingMode.ON_DEMAND
    products = catalogue.products if catalogue is not None else ()
    found = (product for product in products if product.id == machine.product_id and product.billing_mode is mode)
    return next((Usd(product.price_per_gpu * machine.gpu_num) for product in found), None)


def name_of(machine: Machine) -> str:
    """Our name for an adopted machine: its own without the marker, in the characters that names may have."""
    marker = marker_of(machine.name)
    text = machine.name.removesuffix(str(marker)).rstrip("-") if marker is not None else machine.name
    return _UNFIT.sub("-", text).strip("-")[:NAME_PART] or f"machine-{machine.id}"


def _instance(sighting: Sighting, taking: Taking) -> Instance:
    """The record before anything is seen: it comes up, or lies still."""
    machine = sighting.machine
    down = machine.status.going_down
    at = taking.at
    operation = Operation(
        id=taking.operation_id,
        verb=Verb.STOP if down else Verb.START,
        by=taking.by,
        reason=taking.reason,
        requested_at=at,
        correlation_id=taking.correlation_id,
        sent_at=at,
        accepted_at=at,
        phases=() if down else ((Phase.START_REQUESTED, at),),
    )
    wanted = DesiredState.STOPPED if down else DesiredState.RUNNING
    if down:
        operation = completed(operation, at=at)  # somebody else's stop: it is watched, and never sent again by us
    begun = Instance(
        id=taking.instance_id,
        name=name_of(machine),
        owner=taking.owner,
        created_at=machine.created_at or at,
        spec=_spec(machine, taking.health_check),
        offer=_offer(machine, taking.price),
        desired=Desired(state=wanted, by=taking.by, reason=taking.reason, at=at),
        operation=operation,
        state=State.STOPPING if down else State.STARTING,
        state_since=at,
        attempts=_attempts(machine),
        machine=_seen(machine, at=sighting.at),
        started_at=machine.started_at or None,
        stopped_at=machine.stopped_at or None,
    )
    if machine.status is MachineStatus.STOPPED:
        return with_fields(begun, state=State.STOPPED, stopped_at=machine.stopped_at or at)
    return begun


def _attempts(machine: Machine) -> int:
    """How many machines were asked for under this id, as far as the name tells: the next one must have another marker."""
    marker = marker_of(machine.name)
    return marker.attempt if marker is not None else 0


def _seen(machine: Machine, *, at: float) -> SeenMachine:
    status = machine.status if machine.status.going_down else MachineStatus.PENDING
    return SeenMachine(id=machine.id, name=machine.name, status=status, since=at)


def _spec(machine: Machine, check: HealthCheck) -> Spec:
    ports = tuple(Port(port.port, port.type) for port in machine.ports)
    regions = (machine.cluster_id,) if machine.cluster_id else ()
    spot = machine.billing_mode is BillingMode.SPOT
    return Spec(
        requirement=Requirement(
            product_id=machine.product_id or None,
            product_name=machine.product_name or None,
            gpu_num=machine.gpu_num,
            rootfs_gb=machine.rootfs_gb,
            billing=BillingChoice.SPOT if spot else BillingChoice.ON_DEMAND,
            regions=regions,
        ),
        image_url=machine.image_url,
        ports=ports,
        health_check=check,
        adopted=True,
    )


def _offer(machine: Machine, price: Usd | None) -> Offer:
    return Offer(
        product_id=machine.product_id,
        product_name=machine.product_name,
        cluster_id=machine.cluster_id,
        region=machine.region,
        billing_mode=machine.billing_mode or BillingMode.ON_DEMAND,
        gpu_num=machine.gpu_num,
        price_per_hour=price or Usd(0),
    )


def obsolete(instance: Instance, *, before: float) -> bool:
    """Whether an instance was lost before a moment, so that nobody will miss its record."""
    return instance.state is State.LOST and instance.state_since < before


def forgotten(instance: Instance | None, *, retention: float) -> Explanation:
    """Why the record of an instance is deleted whose machine is lost. None: it is gone already."""
    kept = span(retention)
    if instance is None:
        return Explanation(because=f"its machine was lost longer than {kept} ago")
    lost_at = iso(instance.state_since)
    because = f"its machine is lost since {lost_at}, longer than records of lost machines are kept ({kept})"
    return Explanation(because=because, facts={"lostAt": lost_at, "keptSeconds": retention})


def restored(machine: Machine, marker: Marker | None) -> Explanation:
    """Why a machine is taken into our records without anybody asking."""
    because = (
        f"machine {machine.id} ({machine.name}) bears this installation's marker, whole lists showed it twice, and its record is gone "
        "(an emptied or older store): it is taken back under its old id"
    )
    facts = {"machineId": machine.id, "name": machine.name, "attempt": marker.attempt if marker is not None else None}
    return Explanation(because=because, facts=facts)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """An instance of ours whose machine Novita describes otherwise."""

    instance_id: InstanceId
    machine_id: MachineId
    ours: str
    theirs: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Our records beside one complete reading of Novita's list. `adoptable` bear our marker, and their instance is not known."""

    machines: int
    managed: int
    missing: tuple[InstanceId, ...]
    differing: tuple[Difference, ...]
    unknown: tuple[MachineId, ...]
    adoptable: tuple[MachineId, ...]


_UNCOMPARED = frozenset({State.DELETING, State.DELETED, State.LOST})


def compare(
    instances: Iterable[Instance],
    machines: Mapping[MachineId, Machine],
    *,
    managed: frozenset[MachineId],
    installation: str,
    read_at: float,
) -> Comparison:
    """What we have and Novita has not, what Novita has and we have not, and what differs. `managed`: every machine that belongs to an
    instance of ours.

    What became known of a machine after `read_at` is not held against a reading that began then. A machine that bears the marker of a
    living instance is that instance's business, be it just bought or an extra one.
    """
    known = list(instances)
    living = {i.id for i in known}
    held = [
        (i, i.machine)
        for i in known
        if i.machine is not None and i.state not in _UNCOMPARED and i.machine.since <= read_at
    ]
    marked = {m.id: ours(m.name, installation) for m in machines.values()}
    unknown = [
        m
        for m in machines.values()
        if m.id not in managed
        and not m.status.leaving
        and ((marker := marked[m.id]) is None or marker.instance_id not in living)
    ]
    return Comparison(
        machines=len(machines),
        managed=sum(1 for _, seen in held if seen.id in machines),
        missing=tuple(i.id for i, seen in held if seen.id not in machines),
        differing=tuple(
            Difference(
                instance_id=i.id, machine_id=seen.id, ours=str(seen.status), theirs=str(machines[seen.id].status)
            )
            for i, seen in held
            if seen.id in machines and machines[seen.id].status not in {seen.status, MachineStatus.UNKNOWN}
        ),
        unknown=tuple(sorted(m.id for m in unknown)),
        adoptable=tuple(sorted(m.id for m, _ in latest(unknown, installation))),
    )
