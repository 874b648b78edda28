"""M2, for machines that move: no migration that goes on is taken for one that failed.

Novita moves the machines of a fleet by itself, again and again, for a minute or for hours. Its list of jobs is late, has holes, keeps failures
of earlier moves, and calls some failed that came up in the end (Novita's people had helped); its list of machines is stale now and then, and a tenth of all calls fail. The
check for failed migrations is asked for every few minutes. Two moves really fail. Judged by Novita's call log: for each of those one machine
was bought and the dead one deleted, and nothing else was changed.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import pytest
import structlog

from novitai.app.foundation import Replaced
from novitai.app.program import Program
from novitai.domain.errors import Broken, ProviderFailure, TryLater
from novitai.domain.ids import MachineId, marker_of
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.ports.provider import Call, ProviderJob, ProviderJobQuery, ProviderJobs
from proofs.planted import m2_job_believed, m2_old_failure
from support.clock import FakeIds
from support.memory_store import MemoryDisk, MemoryStore
from support.receivers import Receivers
from support.running import House, context, settings
from support.simulation_loop import LoopClock, run_virtually
from support.timed_provider import TimedProvider, machine_of

HOUR, MINUTE = 3600.0, 60.0
ERRORS, HOLES, STALE = 0.10, 0.10, 0.15
LATEST_JOB = 30 * MINUTE
HELPED_AFTER = 10 * MINUTE
SHORTEST_RUN = 10 * MINUTE
"""Between two moves of a machine: long enough that it is seen, whatever the list does."""
CHECKED_EVERY = 5 * MINUTE
FAILING = 2


@dataclass(frozen=True)
class Fleet:
    """How long and with how many machines."""

    machines: int
    hours: float
    seed: int = 1


@dataclass
class Seen:
    """What came of it, by Novita's call log: `changes` that nobody asked for, and what was done about each move that really failed."""

    changes: list[str]
    repaired: list[tuple[int, int]]
    moves: int
    trouble: Counter[str]


class MovingNovita(TimedProvider):
    """Moves its machines, and tells of its jobs late, in part, and of old ones."""

    def __init__(self, clock: LoopClock, chance: random.Random) -> None:
        super().__init__(clock=clock)
        self.chance = chance
        self.met: Counter[str] = Counter()
        self.lateness = 0.0

    async def jobs(self, query: ProviderJobQuery, call: Call) -> ProviderJobs:
        found = await super().jobs(query, call)
        now = self._clock.now()
        told = tuple(job for job in found.jobs if job.created_at <= now - self.lateness)
        self.met["late jobs"] += len(told) < len(found.jobs)
        if self.chance.random() < HOLES:
            self.met["holes"] += 1
            return msgspec.structs.replace(found, jobs=told[::2], total=len(told))
        return msgspec.structs.replace(found, jobs=told, total=len(told))

    def move(self, machine_id: MachineId) -> float:
        """Novita moves it; gives for how long."""
        seconds = self.chance.choice((MINUTE, 10 * MINUTE, HOUR, 3 * HOUR))
        self.moving = ((0.0, MachineStatus.MIGRATING), (seconds, MachineStatus.RUNNING))
        self.lateness = self.chance.uniform(0.0, LATEST_JOB)
        self.moves_by_itself(machine_id)
        return seconds

    def call_failed(self, machine_id: MachineId, began: float) -> None:
        """A move that ended well stands in the list as one that failed: the machine was helped up by hand."""
        job = ProviderJob(
            id=f"old{len(self.known_jobs)}",
            type="autoInstanceMigrate",
            state="fail",
            error="target node not ready",
            instance_id=machine_id,
            created_at=began + 1.0,
        )
        self.known_jobs = (*self.known_jobs, job)
        self.met["failures that were none"] += 1


def live_through(fleet: Fleet) -> Seen:
    """The hours, from a fleet that is ready to the judgement."""
    with _quietly():
        return run_virtually(_live_through(fleet))


async def _live_through(fleet: Fleet) -> Seen:
    clock, chance = LoopClock(asyncio.get_running_loop()), random.Random(fleet.seed)
    novita, receivers = MovingNovita(clock, chance), Receivers(clock)
    store = MemoryStore(MemoryDisk(), clock=clock)
    replaced = Replaced(clock=clock, ids=FakeIds(), store=store, provider=novita, egress=receivers)
    program = await Program.open(
        settings({"INSTANCE_FAST_POLL_INTERVAL": "30s", "INSTANCE_POLL_INTERVAL": "30s"}), replaced
    )
    for part in (*program.keepers.lanes, *program.keepers.loops, program.keepers.health_checks):
        part.start()
    house = House(program=program, clock=clock, provider=novita, receivers=receivers, store=store)
    ids = [await house.create(name=f"m{number}") for number in range(fleet.machines)]
    while not all(house.state(one) is State.READY for one in ids):
        await clock.sleep(MINUTE)
    seen = await _through_moves(fleet, house, novita, ids)
    await program.stop(grace=0.0)
    return seen


async def _through_moves(fleet: Fleet, house: House, novita: MovingNovita, ids: list[str]) -> Seen:
    clock, before = house.clock, len(novita.log)
    novita.trouble, novita.lie = _trouble(novita), _lie(novita)
    machines = {one: machine_of(await house.instance(one)) for one in ids}
    failing = ids[:FAILING]
    for one in failing:
        novita.move_fails_after = 5 * MINUTE
        novita.moves_by_itself(machines[one])
    novita.move_fails_after = None
    async with asyncio.TaskGroup() as group:
        lives = [group.create_task(_moved_again_and_again(novita, clock, machines[one])) for one in ids[FAILING:]]
        asking = group.create_task(_checked_again_and_again(house))
        await clock.sleep(fleet.hours * HOUR)
        for task in (*lives, asking):
            task.cancel()
    return _judge(novita, before, {one: machines[one] for one in failing})


async def _moved_again_and_again(novita: MovingNovita, clock: LoopClock, machine_id: MachineId) -> None:
    while True:
        await clock.sleep(novita.chance.uniform(SHORTEST_RUN, HOUR))
        if machine_id not in {machine.id for machine in novita.present()}:
            return
        began = clock.now()
        seconds = novita.move(machine_id)
        await clock.sleep(seconds + 1.0)
        if seconds >= HELPED_AFTER and novita.chance.random() < 0.5:
            novita.call_failed(machine_id, began)


async def _checked_again_and_again(house: House) -> None:
    while True:
        await house.clock.sleep(CHECKED_EVERY)
        await house.program.operations.failed_migrations.trigger.request(context())


def _judge(novita: MovingNovita, before: int, failing: dict[str, MachineId]) -> Seen:
    changed = [one for one in novita.log[before:] if one in novita.changes()]
    bought = Counter(marker_of(one.argument.machine_name).instance_id for one in changed if one.method == "create")
    deleted = Counter(one.argument for one in changed if one.method == "delete")
    asked_for = {*failing, *failing.values()}
    unasked = [
        f"{one.method} of {who}"
        for one in changed
        for who in [marker_of(one.argument.machine_name).instance_id if one.method == "create" else one.argument]
        if one.method not in {"create", "delete"} or who not in asked_for
    ]
    repaired = [(bought[one], min(1, deleted[machine_id])) for one, machine_id in failing.items()]
    return Seen(changes=unasked, repaired=repaired, moves=len(novita.moves), trouble=novita.met)


def _trouble(novita: MovingNovita):
    def trouble(method: str) -> ProviderFailure | None:
        if method in {"create", "delete"} or novita.chance.random() >= ERRORS:
            return None
        novita.met["errors"] += 1
        return novita.chance.choice((Broken("<html>"), TryLater("bad gateway", status=502)))

    return trouble


def _lie(novita: MovingNovita):
    novita.stale_seconds = 4 * MINUTE
    until = 0.0

    def lie() -> str:
        nonlocal until
        now = novita._clock.now()
        if now >= until and novita.chance.random() < STALE:
            until = now + novita.chance.uniform(MINUTE, 5 * MINUTE)
        novita.met["stale lists"] += now < until
        return "stale" if now < until else ""

    return lie


@contextmanager
def _quietly() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


@pytest.mark.timeout(600)
def test_no_move_that_goes_on_is_taken_for_one_that_failed_and_those_that_failed_are_repaired_once(scale, book):
    """Under late, holed and old jobs, stale lists and errors, with a check every five minutes."""
    fleet = scale.pick(short=Fleet(machines=8, hours=6.0), prove=Fleet(machines=60, hours=24.0))
    seen = live_through(fleet)

    what = f"{fleet.machines} machines that Novita moves, {fleet.hours:g} virtual hours"
    book.figure("M2", f"{what}: changes that nobody asked for", len(seen.changes), exactly=0)
    book.figure("M2", "migrations that really failed, repaired once", seen.repaired.count((1, 1)), exactly=FAILING)
    book.figure("M2", "migrations in it that went well", seen.moves - FAILING, at_least=fleet.machines)
    book.figure("M2", "kinds of doubt about migrations in it", sum(map(bool, seen.trouble.values())), at_least=5)


@pytest.mark.parametrize("bug", [m2_job_believed, m2_old_failure], ids=lambda bug: bug.__name__.rpartition(".")[2])
def test_a_planted_bug_replaces_a_machine_that_moves(bug, book):
    """The same judgement over a program that believes too easily."""
    with bug.planted():
        seen = live_through(Fleet(machines=12, hours=8.0, seed=4))

    book.planted("M2", bug.BUG, caught=bool(seen.changes))
