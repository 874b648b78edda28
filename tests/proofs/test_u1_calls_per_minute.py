"""U1: at most 100 calls in any 60 s as Novita counts them, and nobody who presses stop waits behind our own polling.

The whole program runs in made-up time against the simulated Novita, far more is asked of it than Novita lets through, answers are slow, refused
and lost, and in the middle the process is killed and started again. The breaker is held closed, since it would take the load away. The verdict
comes from the simulator's own log of calls.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from novitai.coordination.local import LocalCoordination
from novitai.domain.errors import ProviderFailure, Refusal
from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.novita.calls import Effect, Request
from novitai.ports.coordination import Share
from novitai.ports.provider import Call
from novitai.ports.world import Clock
from novitai.resilience.breaker import BreakerSettings
from proofs.planted import u1_stamped_at_sending, u1_window_forgotten
from support.clock import FakeIds
from support.memory_store import MemoryDisk, MemoryStore
from support.running import House, running
from support.simulation_loop import LoopClock, run_virtually
from support.timed_provider import machine_of
from support.virtual_novita import VirtualNovita, most_in_any

LIMITS = {"public": 100, "internal": 50}
RESTART_SECONDS = 1.5
MINUTE = 60.0
FLEET = 20
Coordinate = Callable[[Clock, dict[str, int], Path], LocalCoordination]


def kept_in_a_file(clock: Clock, limits: dict[str, int], folder: Path) -> LocalCoordination:
    return LocalCoordination(
        clock=clock, limits=limits, data_dir=folder, breaker=BreakerSettings(failure_threshold=10_000)
    )


@dataclass(frozen=True)
class Pressed:
    """Somebody asked for a stop or a start."""

    machine_id: str
    verb: str
    at: float


@dataclass
class Overload:
    """A run, and what Novita saw of it."""

    novita: VirtualNovita
    ids: FakeIds = field(default_factory=FakeIds)
    disk: MemoryDisk = field(default_factory=MemoryDisk)
    pressed: list[Pressed] = field(default_factory=list)

    def verdict(self) -> int:
        """The most calls in any 60 s of Novita's own log."""
        return most_in_any(MINUTE, self.novita.arrivals())

    def waits(self) -> list[float]:
        """How long each stop and start waited until its call arrived, in order of length."""
        return sorted(min(self.arrivals_of(one), default=inf) - one.at for one in self.pressed)

    def arrivals_of(self, wish: Pressed) -> list[float]:
        """When calls arrived that did what was asked."""
        return [
            call.received_at
            for call in self.novita.calls
            if f"/instance/{wish.verb}" in call.path
            and call.body["instanceId"] == wish.machine_id
            and call.received_at >= wish.at
        ]

    def usual_minute(self) -> float:
        """How many calls half of the minutes had at least."""
        arrivals = self.novita.arrivals()
        first = arrivals[0]
        minutes = [int((at - first) // MINUTE) for at in arrivals]
        counts = sorted(minutes.count(minute) for minute in range(minutes[-1]))
        return counts[len(counts) // 2]


async def overloaded(folder: Path, *, seconds: float, kills: int, coordinate: Coordinate, seed: int) -> Overload:
    """So many seconds of too much work, with so many kills on the way."""
    clock = LoopClock(asyncio.get_running_loop())
    chance = random.Random(seed)
    novita = VirtualNovita(clock, latency=lambda request: on_the_way(request, chance, clock.now()))
    run = Overload(novita)
    window = folder / "window-public.stamps"
    for life in range(kills + 1):
        coordination = coordinate(clock, LIMITS, folder)
        async with serving(run, clock, coordination) as house:
            if life == 0:
                await settled_in(house, novita)
            await people(house, run, chance, until=clock.now() + seconds / (kills + 1))
            if life == kills:
                await clock.sleep(MINUTE)
            as_killed = window.read_bytes() if window.exists() else b""
        await coordination.close()
        if as_killed:
            window.write_bytes(as_killed)
        if life < kills:
            await clock.sleep(RESTART_SECONDS)
    return run


def on_the_way(request: Request[object], chance: random.Random, now: float) -> tuple[float, float]:
    """Once in 45 s the network stands still for 12 s: what was sent meanwhile arrives at the end of it, all at once.

    What people wait for passes quickly, so that their wait is ours alone.
    """
    back = chance.uniform(0.02, 1.2)
    if request.effect is Effect.CHANGE:
        return 0.05, back
    still = 45.0 - now % 45.0
    return (still if still <= 12.0 else 0.0) + chance.uniform(0.02, 0.6), back


async def settled_in(house: House, novita: VirtualNovita) -> None:
    """A fleet that runs, before trouble begins."""
    for _ in range(FLEET):
        await house.create(name="fleet")
    while sum(one.instance.state is State.READY for one in house.program.operations.reads.all()) < FLEET:
        await house.clock.sleep(5.0)
    trouble(novita)


def trouble(novita: VirtualNovita) -> None:
    """One answer in six is none."""
    novita.fault(".*", "status", status=429, retryAfter=2, count=-1, probability=0.04)
    novita.fault(".*", "status", status=429, count=-1, probability=0.02)
    novita.fault(".*", "status", status=503, count=-1, probability=0.04)
    novita.fault("GET .*", "malformed", count=-1, probability=0.02)
    novita.fault("GET .*", "reset", count=-1, probability=0.03)
    novita.fault(".*", "hang", seconds=40, count=-1, probability=0.01)


@asynccontextmanager
async def serving(run: Overload, clock: LoopClock, coordination: LocalCoordination):
    """The program over what an earlier one left; at the end it is gone, and what it sent arrives all the same."""
    store = MemoryStore(run.disk, clock=clock)
    client = run.novita.client(coordination)
    try:
        async with running(clock=clock, store=store, ids=run.ids, provider=client) as house:
            yield house
    finally:
        run.disk.lose_power()


async def people(house: House, run: Overload, chance: random.Random, *, until: float) -> None:
    """Programs that want machines all the time, readers of lists, and people who stop and start."""
    async with asyncio.TaskGroup() as group:
        crowd = [
            group.create_task(every(house, 4.0, lambda: house.create(name="busy"))),
            group.create_task(every(house, 0.8, lambda: house.provider.templates(BULK))),
            group.create_task(every(house, 2.0, lambda: house.provider.machines(1, 100, OBSERVE))),
            group.create_task(every(house, 4.0, lambda: press(house, run, chance))),
        ]
        await house.clock.sleep(until - house.clock.now())
        for one in crowd:
            one.cancel()


BULK = Call(share=Share.BULK, longest_wait=20.0)
OBSERVE = Call(share=Share.OBSERVE, longest_wait=20.0)


async def every(house: House, seconds: float, ask: Callable[[], object]) -> None:
    """Ask again and again, whatever comes of it."""

    async def once() -> None:
        with suppress(ProviderFailure, Refusal):
            await ask()

    async with asyncio.TaskGroup() as group:
        while True:
            group.create_task(once())
            await house.clock.sleep(seconds)


async def press(house: House, run: Overload, chance: random.Random) -> None:
    """Somebody stops what is ready, or starts what was stopped."""
    settled = [
        s.instance for s in house.program.operations.reads.all() if s.instance.state in {State.READY, State.STOPPED}
    ]
    if settled:
        instance = chance.choice(settled)
        verb = Verb.STOP if instance.state is State.READY else Verb.START
        pressed = Pressed(machine_of(instance), verb.value, house.clock.now())
        await house.ask(instance.id, verb)
        run.pressed.append(pressed)


def run_overload(folder: Path, **fields) -> Overload:
    return run_virtually(overloaded(folder, **fields))


def test_never_101_calls_in_a_minute_and_people_are_not_starved(scale, book, tmp_path, quiet):
    """Ten minutes of overload with retries, refusals, lost answers and two kills."""
    seconds = scale.pick(short=180.0, prove=600.0)
    seeds = scale.pick(short=range(1, 2), prove=range(1, 5), full=range(1, 31))
    runs = [
        run_overload(folder_of(tmp_path, seed), seconds=seconds, kills=2, coordinate=kept_in_a_file, seed=seed)
        for seed in seeds
    ]

    def figure(what: str, value: float, **judged: object) -> None:
        book.figure("U1", what, value, **judged)

    waits = sorted(wait for run in runs for wait in run.waits())
    figure("most calls in any 60 s of Novita's own log", max(run.verdict() for run in runs), at_most=100, unit="calls")
    figure(
        "calls in its usual minute: it was an overload",
        min(run.usual_minute() for run in runs),
        at_least=70,
        unit="calls",
    )
    figure("minutes of overload in each run, with two kills", seconds / 60, at_least=scale.pick(short=3, prove=10))
    figure("runs", len(runs))
    figure("stops and starts asked for by people meanwhile", len(waits), at_least=len(runs) * 30)
    figure("until such a call is at Novita, half within", waits[len(waits) // 2], unit="s")
    figure("until such a call is at Novita, worst", waits[-1], at_most=5, unit="s")


def test_a_slot_stamped_at_sending_is_noticed(scale, book, tmp_path, quiet):
    """Jitter alone puts more than a hundred into a minute then."""
    run = run_overload(tmp_path, seconds=200.0, kills=0, coordinate=u1_stamped_at_sending.coordination, seed=1)

    book.planted("U1", "a slot counted from when its call was sent", caught=run.verdict() > 100)


def test_a_window_forgotten_over_a_restart_is_noticed(scale, book, tmp_path, quiet):
    """The second process adds its own hundred."""
    run = run_overload(tmp_path, seconds=120.0, kills=1, coordinate=u1_window_forgotten.coordination, seed=1)

    book.planted("U1", "a window that is forgotten over a restart", caught=run.verdict() > 100)


def folder_of(tmp_path: Path, seed: int) -> Path:
    folder = tmp_path / str(seed)
    folder.mkdir()
    return folder
