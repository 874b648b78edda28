"""Ours and theirs side by side: managed instances merged with what Novita's list last said, and the machines nobody manages.

Nobody is asked: the observer's last sweeps are in memory. So this answers at once, and `stale` and `lastSyncedAt` say how old it is.
"""

from collections.abc import Sequence
from time import perf_counter
from typing import Any, Literal

import msgspec

from novitai.api.listing import Filter, arrange
from novitai.api.parts import ApiParts
from novitai.api.rendering import Renderer
from novitai.api.schemas.instances import (
    ComprehensiveInstanceAnswer,
    PerformanceAnswer,
    SourcesAnswer,
)
from novitai.domain.instance import Instance
from novitai.domain.lifecycle import State
from novitai.domain.machine import Machine, MachineStatus
from novitai.domain.money import dollars
from novitai.domain.offers import Region
from novitai.domain.times import iso, iso_or_none

MOST_ROWS = 100_000
Consistency = Literal["consistent", "local-newer", "novita-newer"]

_STOPPED = {State.STOPPED, State.FAILED, State.STARTING, State.MIGRATING}
_UP = {State.RUNNING, State.HEALTH_CHECKING, State.READY, State.FAILED, State.STOPPING, State.STARTING}
_AGREES: dict[MachineStatus, set[State]] = {
    MachineStatus.RUNNING: _UP,
    MachineStatus.STOPPED: _STOPPED,
    MachineStatus.STOPPING: {State.STOPPING},
    MachineStatus.PENDING: {State.CREATING, State.STARTING},
    MachineStatus.PULLING: {State.CREATING, State.STARTING},
    MachineStatus.STARTING: {State.CREATING, State.STARTING},
    MachineStatus.RESTARTING: {State.STARTING},
    MachineStatus.MIGRATING: {State.MIGRATING},
    MachineStatus.REMOVING: {State.DELETING},
    MachineStatus.REMOVED: {State.DELETED},
}


def merge(
    parts: ApiParts, renderer: Renderer, wanted: Filter, *, unmanaged: bool
) -> tuple[list[ComprehensiveInstanceAnswer], PerformanceAnswer]:
    """Every row of the picture, managed ones first; `unmanaged`: with the machines that are not ours."""
    began = perf_counter()
    now = parts.clock.now()
    snapshots, _ = arrange(parts.reads.all(), wanted).page(cursor=None, limit=MOST_ROWS)
    ours = [(one.instance, msgspec.json.decode(renderer.one(one, now=now))) for one in snapshots]
    read = perf_counter()
    rows = [_ours(parts, instance, shown) for instance, shown in ours]
    if unmanaged:
        rows += [
            _theirs(machine, seen_at, stale=parts.freshness.stale)
            for machine_id, (machine, seen_at) in parts.freshness.machines.items()
            if parts.reads.by_machine(machine_id) is None and _wanted(machine, wanted)
        ]
    ended = perf_counter()
    return rows, PerformanceAnswer(
        total_request_time=_ms(ended - began),
        novita_api_time=0.0,
        local_data_time=_ms(read - began),
        merge_processing_time=_ms(ended - read),
        cache_hit_ratio=1.0,
    )


def sources_of(rows: Sequence[ComprehensiveInstanceAnswer]) -> SourcesAnswer:
    """How many rows came from where."""
    sources = [row.source for row in rows]
    return SourcesAnswer(local=sources.count("local"), novita=sources.count("novita"), merged=sources.count("merged"))


def _wanted(machine: Machine, wanted: Filter) -> bool:
    """The list's conditions for a machine without a record; it has no labels."""
    return (
        machine.status is not MachineStatus.REMOVED
        and (not wanted.statuses or str(machine.status) in wanted.statuses)
        and wanted.name.casefold() in machine.name.casefold()
        and not wanted.labels
        and (not wanted.billing_mode or machine.billing_mode == wanted.billing_mode)
        and (not wanted.region or Region(machine.cluster_id, machine.region).answers_to(wanted.region))
    )


def consistency(instance: Instance, machine: Machine, seen_at: float) -> Consistency:
    """Whether our state agrees with the machine's status as last read, and whose is the newer one if not."""
    allowed = _AGREES.get(machine.status)
    if (
        allowed is None or instance.state in allowed or instance.former is not None
    ):  # which of its two machines is shown varies
        return "consistent"
    return "local-newer" if instance.state_since >= seen_at else "novita-newer"


def _ours(parts: ApiParts, instance: Instance, shown: dict[str, Any]) -> ComprehensiveInstanceAnswer:
    seen = parts.freshness.machines.get(instance.serving.id) if instance.serving is not None else None
    if seen is None:
        return ComprehensiveInstanceAnswer(**shown, **_provider(None), source="local", data_consistency="consistent")
    machine, seen_at = seen
    return ComprehensiveInstanceAnswer(
        **shown, **_provider(machine), source="merged", data_consistency=consistency(instance, machine, seen_at)
    )


def _theirs(machine: Machine, seen_at: float, *, stale: bool) -> ComprehensiveInstanceAnswer:
    spot = {"status": str(machine.spot_status), "reclaimAt": iso_or_none(machine.reclaim_at)}
    shown: dict[str, Any] = {
        "id": machine.id,
        "novitaInstanceId": machine.id,
        "name": machine.name,
        "status": str(machine.status),
        "desired": None,
        "operation": None,
        "gpuNum": machine.gpu_num,
        "productName": machine.product_name,
        "productId": machine.product_id,
        "region": machine.region,
        "clusterId": machine.cluster_id,
        "billingMode": str(machine.billing_mode) if machine.billing_mode else "",
        "pricePerHour": None if machine.price_per_hour is None else dollars(machine.price_per_hour),
        "imageUrl": machine.image_url,
        "templateId": None,
        "labels": {},
        "portMappings": [
            {"port": port.port, "endpoint": port.endpoint or None, "type": port.type} for port in machine.ports
        ],
        "connectionDetails": None,
        "healthCheck": None,
        "spot": spot,
        "policies": {},
        "nextAction": None,
        "createdAt": iso_or_none(machine.created_at),
        "startedAt": iso_or_none(machine.started_at),
        "readyAt": None,
        "stoppedAt": iso_or_none(machine.stopped_at),
        "deletedAt": None,
        "lastStartedAt": iso_or_none(machine.started_at),
        "lastStoppedAt": iso_or_none(machine.stopped_at),
        "lastError": None,
        "links": {},
        "costSoFar": None,
        "lastUsedAt": None,
        "lastSyncedAt": iso(seen_at),
        "stale": stale,
    }
    return ComprehensiveInstanceAnswer(**shown, **_provider(machine), source="novita", data_consistency="consistent")


def _provider(machine: Machine | None) -> dict[str, Any]:
    """What only Novita says; environment values are not in its list as we keep it."""
    if machine is None:
        names = ("novita_status", "status_error", "cluster_name", "cpu_num", "memory", "rootfs_size")
        return dict.fromkeys((*names, "spot_status", "spot_reclaim_time", "auto_migrate"))
    return {
        "novita_status": machine.provider_status,
        "status_error": machine.error or None,
        "cluster_name": machine.region or None,
        "cpu_num": machine.cpu_num,
        "memory": machine.memory_gb,
        "rootfs_size": machine.rootfs_gb,
        "spot_status": str(machine.spot_status),
        "spot_reclaim_time": iso_or_none(machine.reclaim_at),
        "auto_migrate": machine.auto_migrate,
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
