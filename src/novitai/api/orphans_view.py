"""Machines without a record as people see them: what was noted when they were first seen, with what the last sweep says now."""

from novitai.api.costs import estimate
from novitai.api.parts import ApiParts
from novitai.api.schemas.fleet import OrphanAnswer
from novitai.domain.ids import InstanceId
from novitai.domain.machine import Machine, MachineStatus
from novitai.domain.money import Usd, dollars
from novitai.domain.orphan import Orphan, Standing, orphan_of
from novitai.domain.times import iso, iso_or_none
from novitai.policies import adoption


def every_orphan(parts: ApiParts, *, ignored: bool) -> list[OrphanAnswer]:
    """Every machine that no instance has for its own: unknown ones, and second machines of instances of ours."""
    known = [orphan for orphan in parts.orphans.all() if ignored or orphan.standing is Standing.OPEN]
    shown = [orphan_answer(parts, orphan) for orphan in known]
    for snapshot in parts.reads.all():
        for machine_id in snapshot.instance.strays:
            found = parts.freshness.machines.get(machine_id)
            if found is not None:
                shown.append(_extra(parts, found[0], snapshot.instance.id, at=snapshot.instance.state_since))
    return shown


def orphan_answer(parts: ApiParts, orphan: Orphan) -> OrphanAnswer:
    """One of them."""
    return _answer(
        parts, orphan, parts.orphans.seen(orphan), kind="ours" if orphan.ours else "foreign", instance_id=None
    )


def _extra(parts: ApiParts, machine: Machine, instance_id: InstanceId, *, at: float) -> OrphanAnswer:
    price = adoption.price_of(machine, parts.catalogue.known)
    orphan = orphan_of(machine, price=price, ours=True, at=machine.created_at or at)
    return _answer(parts, orphan, machine, kind="extra", instance_id=instance_id)


def _answer(
    parts: ApiParts, orphan: Orphan, machine: Machine | None, *, kind: str, instance_id: InstanceId | None
) -> OrphanAnswer:
    now = parts.clock.now()
    since = orphan.created_at or orphan.first_seen_at
    price = orphan.price_per_hour
    if price is None and machine is not None:
        price = adoption.price_of(machine, parts.catalogue.known)  # nothing was known of it when it was first seen
    return OrphanAnswer.model_validate(
        {
            "novitaId": orphan.id,
            "name": orphan.name,
            "kind": kind,
            "standing": str(orphan.standing),
            "instanceId": instance_id,
            "status": str(machine.status if machine is not None else orphan.status),
            "productName": orphan.product_name,
            "region": orphan.region,
            "gpuNum": orphan.gpu_num,
            "billingMode": str(orphan.billing_mode) if orphan.billing_mode is not None else None,
            "pricePerHour": dollars(price) if price is not None else None,
            "costSoFar": None if price is None else _cost(orphan, machine, price, now=now),
            "ageSeconds": round(max(0.0, now - since), 3),
            "firstSeenAt": iso(orphan.first_seen_at),
            "createdAt": iso_or_none(orphan.created_at or None),
        }
    )


def _cost(orphan: Orphan, machine: Machine | None, price: Usd, *, now: float) -> float:
    """An estimate: the price over the time since it began to run, as far as Novita tells; Novita's bill decides."""
    status = machine.status if machine is not None else orphan.status
    since = (machine.started_at if machine is not None else 0.0) or orphan.created_at or orphan.first_seen_at
    until = machine.stopped_at if machine is not None and status is MachineStatus.STOPPED else now
    return estimate(price, since=since, until=until)
