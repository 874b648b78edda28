"""What the idle stop needs around it in tests: loads by hand, and measurements as Novita would give them."""

from collections.abc import Callable

from novitai.domain.idle import Deed, IdleMemory, IdleRule, Warned
from novitai.domain.ids import MachineId
from novitai.domain.lifecycle import State
from novitai.domain.metrics import MachineMetrics, Sample
from novitai.operations import records
from novitai.policies.usage import Reading
from novitai.ports.store import Commit
from support import builders
from support.api_house import House
from support.builders import INSTANCE_ID, MACHINE_ID, NOW
from support.timed_provider import TimedProvider

IDLE, BUSY = (0.0, 2.0), (80.0, 40.0)
"""GPU and CPU use in percent."""
ON = {
    "AUTO_STOP_ENABLED": "true",
    "AUTO_STOP_THRESHOLD": "20m",
    "AUTO_STOP_WARN": "5m",
    "AUTO_STOP_INTERVAL": "5m",
    "INSTANCE_POLL_INTERVAL": "5m",  # hours are let pass: what is quiet need not be looked at each half minute
}
RULE = IdleRule(idle_seconds=1200.0, warn_seconds=300.0)


def idle_from(moment: float | None = None) -> Callable[[TimedProvider], None]:
    """Every machine is idle, or only from a moment on."""

    def arrange(provider: TimedProvider) -> None:
        provider.load = lambda _machine, at: IDLE if moment is None or at >= moment else BUSY

    return arrange


def reading(
    *,
    at: float,
    since: float,
    gpu: Callable[[float], float | None] = lambda _: 0.0,
    cpu: Callable[[float], float | None] = lambda _: 2.0,
    lag: float = 60.0,
    interval: float = 15.0,
) -> Reading:
    """A reading whose measurements are given by moment (None: not measured)."""
    moments = []
    moment = since
    while moment <= at - lag:
        moments.append(moment)
        moment += interval
    return Reading(
        machine_id=MachineId(MACHINE_ID),
        at=at,
        since=since,
        metrics=MachineMetrics(
            gpu=tuple(Sample(one, value) for one in moments if (value := gpu(one)) is not None),
            cpu=tuple(Sample(one, value) for one in moments if (value := cpu(one)) is not None),
        ),
    )


SPOKEN = builders.desired(builders.DesiredState.RUNNING, at=NOW - 4000.0)


def idle_instance(**fields):
    operation = builders.ended(builders.Verb.CREATE, requested_at=NOW - 4000.0)
    usual = {"created_at": NOW - 4000.0, "ready_at": NOW - 3000.0, "desired": SPOKEN, "operation": operation}
    return builders.instance(State.READY, **(usual | fields))


async def announced(house: House) -> str:
    """An announcement that stands; the path of its link."""
    await house.have(idle_instance())
    warned = Warned(id="warn_1", deed=Deed.STOP, at=NOW - 10.0, idle_since=NOW - 2000.0, acts_at=NOW + 290.0)
    put = records.put_idle(IdleMemory(instance_id=INSTANCE_ID, warned=warned), expect=0)
    await house.parts.store.commit(Commit(puts=(put,)))
    return (await house.parts.snooze.link(INSTANCE_ID, "warn_1")).removeprefix("https://gpus.example.test")
