"""M6: idle means idle.

A fleet whose use is known to the second is watched through signals that lag, have holes and fail, by a clock that is set and a process that
is restarted. A stop is false when the machine was used within the threshold before it: told of until the stop itself, or busy, as far as
Novita can have shown it (a measurement may be three minutes old). The verdict comes from the made-up truth, which the rule never sees. The
whole program is then held against a Novita of the same kind: what counts there are the stops that arrived.
"""

import asyncio
import random
from time import process_time

import pytest

from novitai.domain.ids import MachineId
from novitai.domain.lifecycle import State
from proofs.planted import m6_missing_is_idle
from support.idle_fleet import RULE, Findings, Fleet
from support.idling import BUSY, IDLE, ON
from support.memory_store import MemoryDisk, MemoryStore
from support.running import context, running
from support.simulation_loop import LoopClock, run_virtually
from support.timed_provider import TimedProvider

LATE = 90.0
BLIND = 180.0


def watched(*, days: float, machines: int = 200, seed: int) -> Findings:
    return Fleet(machines=machines, seed=seed).run(days)


@pytest.mark.timeout(600)
def test_what_is_used_is_never_stopped_and_what_is_not_is_stopped_in_time(scale, book):
    """Told uses, busy GPUs and CPUs, holes, late and unreadable measurements, set clocks, restarts, crowds, postponements."""
    days = scale.pick(short=4.0, prove=500.0)
    began = process_time()

    found = watched(days=days, seed=6)

    book.figure("M6", "days simulated, in a fleet of 200", days)
    book.figure("M6", "stops", len(found.stops), at_least=int(days * 50))
    book.figure("M6", "stops of a machine that was used within the threshold", found.false, exactly=0)
    book.figure("M6", "stop after its deadline, worst", max(0.0, found.latest), at_most=LATE, unit="s")
    book.figure("M6", "from the announcement to the stop, shortest", found.shortest_notice, at_least=299.0, unit="s")
    unlucky = sum(stop.unlucky for stop in found.stops)
    book.figure("M6", "stops within a minute of a use that Novita had not shown yet", unlucky)
    readings = found.most_readings_in_a_minute
    book.figure("M6", "readings of metrics in any minute, most", readings, at_most=40)
    book.figure("M6", "time of one core for it", process_time() - began, unit="s")


def test_the_whole_program_stops_what_is_idle_and_nothing_else(scale, book, quiet):
    """The stops that arrive at Novita, against the loads that it measured."""
    seeds = scale.pick(short=range(1), prove=range(12))
    false, late, stops = 0, 0.0, 0
    for seed in seeds:
        for idle_for, beyond in run_virtually(lived(seed)):
            false += idle_for < RULE.idle_seconds
            late, stops = max(late, beyond), stops + 1

    book.figure("M6", "stops by the whole program", stops, at_least=len(seeds) * 3)
    book.figure("M6", "of them false", false, exactly=0)
    book.figure("M6", "of them after their deadline, worst", late, at_most=LATE, unit="s")


async def lived(seed: int) -> list[tuple[float, float]]:
    """Four hours of eight machines: for each stop, how long it was unused, and how far beyond its deadline it came."""
    chance, clock = random.Random(seed), LoopClock(asyncio.get_running_loop())
    provider = TimedProvider(clock=clock)
    busy: dict[MachineId, list[tuple[float, float]]] = {}
    told: dict[MachineId, list[float]] = {}
    provider.load = lambda machine, at: BUSY if any(a <= at < b for a, b in busy.get(machine, ())) else IDLE
    store = MemoryStore(MemoryDisk(), clock=clock)
    async with running(clock=clock, store=store, provider=provider, **ON) as house:
        ready: dict[MachineId, float] = {}
        made = [await house.create(name=f"n{number}") for number in range(8)]
        end = clock.now() + 4 * 3600.0
        while clock.now() < end:
            await clock.sleep(30.0)
            for instance_id in made:
                if house.state(instance_id) is not State.READY:
                    continue
                instance = await house.instance(instance_id)
                assert instance.machine is not None
                machine = instance.machine.id
                ready.setdefault(machine, instance.ready_at or 0.0)
                if chance.random() < 0.02:
                    busy.setdefault(machine, []).append((clock.now(), clock.now() + chance.uniform(200.0, 1500.0)))
                if chance.random() < 0.01:
                    await house.program.operations.verbs.last_used(instance_id, None, context())
                    told.setdefault(machine, []).append(clock.now())
        return [
            judged(stop.at, ready[stop.argument], busy.get(stop.argument, []), told.get(stop.argument, []))
            for stop in provider.made("stop")
        ]


def judged(at: float, ready_at: float, busy: list[tuple[float, float]], told: list[float]) -> tuple[float, float]:
    """How long a machine was unused before its stop, as far as that could be known, and how far beyond the deadline that was."""
    known = at - BLIND
    used = max([ready_at, *told, *(min(end, known) for start, end in busy if start < known)])
    return at - used, at - used - RULE.idle_seconds


def test_measurements_that_count_as_idle_when_they_are_missing_are_noticed(book):
    """Busy machines are stopped whenever Novita's metrics have a hole."""
    with m6_missing_is_idle.planted():
        found = watched(days=2.0, seed=6)

    book.planted("M6", m6_missing_is_idle.BUG, caught=found.false > 0)
