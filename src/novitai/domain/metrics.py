"""How much of a machine is in use, as Novita measures it: percentages over time. What they say about idleness is for `policies/idle.py`."""

import msgspec


class Sample(msgspec.Struct, frozen=True):
    """A percentage (0 to 100) measured at a moment (Unix seconds, by Novita's clock)."""

    at: float
    value: float


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Which measurements are asked for: from `since` to `until` (Unix seconds; None: up to the newest, by Novita's clock), one every
    `interval` seconds.
    """

    since: float
    until: float | None = None
    interval: int


class MachineMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, each series in the order of time.

    `gpu` and `gpu_memory` hold the busiest GPU of each moment: one busy GPU of eight is a busy machine, whatever the mean
    says.
    """

    gpu: tuple[Sample, ...] = ()
    gpu_memory: tuple[Sample, ...] = ()
    cpu: tuple[Sample, ...] = ()
    memory: tuple[Sample, ...] = ()
    disk: tuple[Sample, ...] = ()
