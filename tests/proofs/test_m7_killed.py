"""M7, with the process ending before and after every port call of a move: one machine in the end, and the one that was wanted.

Each way in which an instance moves meets an end of the process at each of its points. A counting run learns the points, so that a new one is
covered the day it is added. Somebody who stops the instance in the middle is obeyed, wherever the process ended. Judged from outside: the
machines that Novita made, and the calls that it was sent.
"""

from dataclasses import dataclass, field

import pytest

from novitai.domain.errors import NoCapacity
from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import Machine, MachineStatus, SpotStatus
from novitai.domain.migration import Migration, Strategy
from support.crashing import Fuse, World, create_once, drive
from support.running import House
from support.timed_provider import TimedProvider

QUICK = {"INSTANCE_FAST_POLL_INTERVAL": "5s", "SYNC_INTERVAL": "4h", "NOVITA_SETTLE_TIME": "5s"}
NOTICED = ((60.0, MachineStatus.STOPPING), (65.0, MachineStatus.STOPPED))
DOWN = ((0.0, MachineStatus.STOPPING), (5.0, MachineStatus.STOPPED))
GONE = ((0.0, MachineStatus.STOPPING), (45.0, MachineStatus.REMOVED))
LONGEST = 3600.0


@dataclass(frozen=True)
class Way:
    """How Novita takes a machine back, and what is done about it. `stopped_after`: when somebody stops the instance."""

    name: str
    strategy: Strategy
    path: tuple[tuple[float, MachineStatus], ...] = DOWN
    full: bool = False
    stopped_after: float | None = None

    def take(self, provider: TimedProvider, machine: Machine, *, now: float) -> None:
        noticed = self.path is NOTICED
        status = SpotStatus.NOTIFIED if noticed else SpotStatus.TERMINATED
        provider.becomes(machine.id, self.path, spot_status=status, reclaim_at=now + (60.0 if noticed else 0.0))
        if self.full:
            provider.fail("migrate", NoCapacity("no capacity to migrate", status=400))


WAYS = (
    Way("replaced on the notice", Strategy.REPLACE, path=NOTICED),
    Way("moved by Novita after the stop", Strategy.MIGRATE),
    Way("no capacity to move, replaced", Strategy.MIGRATE, full=True),
    Way("gone, replaced", Strategy.MIGRATE, path=GONE),
    Way("stopped by a person while replaced", Strategy.REPLACE, path=NOTICED, stopped_after=40.0),
    Way("stopped by a person while moved", Strategy.MIGRATE, stopped_after=45.0),
)


@dataclass
class Tenant:
    """Asks for an instance, and stops it when the way says so; outlives the processes."""

    way: Way
    world: World
    instance_id: str = ""
    taken_at: float | None = None
    stopped: bool = False

    async def live(self, fuse: Fuse) -> None:
        """One process, until nothing is left to be done."""
        migration = Migration(strategy=self.way.strategy)
        async with self.world.house(fuse, store={"commit"}, **QUICK) as house:
            if not self.instance_id:
                self.instance_id = await create_once(house, migration=migration)
            await self._taken(house)
            if self.way.stopped_after is not None and not self.stopped:
                await house.clock.run_until(max(house.clock.now(), (self.taken_at or 0.0) + self.way.stopped_after))
                await house.ask(self.instance_id, Verb.STOP)
                self.stopped = True
            await house.clock.run_until(lambda: self._at_rest(house), within=LONGEST)
            await house.clock.advance(60.0)

    async def _taken(self, house: House) -> None:
        if self.taken_at is not None:
            return
        await house.until(self.instance_id, State.READY)
        (machine,) = self.world.provider.present()
        self.taken_at = house.clock.now()
        self.way.take(self.world.provider, machine, now=self.taken_at)

    def _at_rest(self, house: House) -> bool:
        assert self.taken_at is not None
        wanted = State.STOPPED if self.stopped else State.READY
        over = house.clock.now() > self.taken_at + 130.0
        return over and house.state(self.instance_id) is wanted and len(self.world.provider.present()) <= 1


@dataclass
class Tally:
    """What was found, over all cases."""

    cases: int = 0
    points: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


async def run(way: Way, tally: Tally, *, at: int) -> Fuse:
    """One way with the process ending at one point (0: nowhere), judged."""
    world = await World.begin()
    tenant = Tenant(way, world)
    try:
        fuse = await drive(world, tenant.live, at=at)
    except AssertionError as stuck:
        tally.wrong.append(f"{way.name}, point {at}: {stuck}")
        return Fuse(at)
    finally:
        await world.close()
    tally.cases += 1
    tally.points |= {fuse.where} - {""}
    tally.wrong += [f"{way.name}, point {at} ({fuse.where or 'no end'}): {what}" for what in verdict(way, world)]
    return fuse


def verdict(way: Way, world: World) -> list[str]:
    """What is not as it should be."""
    statuses = [machine.status for machine in world.provider.present()]
    wanted = [MachineStatus.STOPPED] if way.stopped_after is not None else [MachineStatus.RUNNING]
    made = len(world.provider.kept)
    moves = len(world.provider.made("migrate"))
    wrong = [] if statuses == wanted else [f"machines at the end: {statuses}"]
    if made > 2:
        wrong.append(f"{made} machines were made")
    if moves > 2:  # one whose answer was lost with the process is looked for, and may be asked for again
        wrong.append(f"{moves} migrations were asked for")
    return wrong


@pytest.mark.timeout(600)
async def test_wherever_the_process_ends_one_machine_is_left_and_it_is_as_was_wanted(scale, book, quiet):
    """Each way to move and each point of it."""
    tally, step = Tally(), scale.pick(short=37, prove=2, full=1)
    for number, way in enumerate(WAYS):
        points = (await run(way, tally, at=0)).points
        for at in range(1 + number % step, points + 1, step):
            await run(way, tally, at=at)

    print(*tally.wrong[:10], sep="\n")
    book.figure("M7", "process ended in a move: cases", tally.cases, at_least=scale.pick(short=10, prove=100))
    kinds = scale.pick(short=1, prove=6)
    book.figure("M7", "process ended in a move: kinds of port call", len(tally.points), at_least=kinds)
    wrong = "process ended in a move: cases without exactly one machine, as was wanted"
    book.figure("M7", wrong, len(tally.wrong), exactly=0)
