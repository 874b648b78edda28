"""How much of a machine is in use: `/metrics/gpu/instance` under `/openapi/v1` of Novita's host (novita-wire.md 3.16).

A point that makes no sense is left out, which is a hole for whoever judges: nothing here may turn what was not understood
into a zero.
"""

import math

import msgspec

from novitai.domain.ids import MachineId
from novitai.domain.metrics import MachineMetrics, Sample, Window
from novitai.novita import wire
from novitai.novita.calls import BreakerName, Request
from novitai.novita.reading import Scalar, number, part, parts, record


def of_machine(machine_id: MachineId, window: Window) -> Request[MachineMetrics]:
    """What was measured of one machine in a window."""

    def read(body: bytes) -> MachineMetrics:
        found = record(body, wire.Usage)
        return MachineMetrics(
            gpu=_busiest(found.gpu_utilization),
            gpu_memory=_busiest(found.gpu_mem_utilization),
            cpu=_series(found.cpu_utilization),
            memory=_series(found.mem_utilization),
            disk=_series(found.root_disk_utilization),
        )

    return Request(
        operation="get_metrics",
        method="GET",
        path="/metrics/gpu/instance",
        breaker=BreakerName.ACCOUNT,
        query={
            "instanceId": machine_id,
            "startTime": str(int(window.since)),
            "interval": str(window.interval),
        }
        | ({} if window.until is None else {"endTime": str(int(window.until))}),
        read=read,
        names_one=True,
    )


def _busiest(raw: msgspec.Raw) -> tuple[Sample, ...]:
    """Of every moment the highest value, of the mean and of each GPU."""
    found = part(raw, wire.UsageOfGpus)
    if found is None:
        return ()
    highest: dict[float, float] = {}
    for series in (found.avg, *(gpu.items for gpu in parts(found.gpu_ids, wire.UsageOfGpu))):
        for sample in _series(series):
            highest[sample.at] = max(sample.value, highest.get(sample.at, 0.0))
    return tuple(Sample(at, value) for at, value in sorted(highest.items()))


def _series(raw: msgspec.Raw) -> tuple[Sample, ...]:
    samples = (_sample(point) for point in parts(raw, wire.UsagePoint))
    return tuple(sorted((one for one in samples if one is not None), key=lambda sample: sample.at))


def _sample(point: wire.UsagePoint) -> Sample | None:
    at, value = number(point.timestamp), _percentage(point.value)
    return Sample(float(at), value) if at is not None and value is not None else None


def _percentage(value: Scalar) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) and found >= 0.0 else None
