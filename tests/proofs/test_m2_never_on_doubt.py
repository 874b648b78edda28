"""M2: nothing is destroyed on doubt.

A day with a fleet of healthy machines and a Novita that fails a tenth of all calls, shows empty, shortened, stale and shuffled lists, denies
machines that exist, refuses the key for a while and is away twice for ten minutes. Nobody asks for anything. Judged by Novita's call log and by
what the receiver got: no call that changes anything, no word about any instance. Two machines really go during the day; of each of them, and of
no other, the receiver is told once.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import structlog

from novitai.app.foundation import Replaced
from novitai.app.program import Program
from novitai.domain.errors import Broken, Gone, NotAllowed, ProviderFailure, TryLater
from novitai.domain.ids import MachineId
from novitai.domain.lifecycle import State
from novitai.domain.machine import Machine, MachineStatus
from novitai.ports.provider import Call
from proofs.planted import m2_list_believed, m2_one_absence
from support.clock import FakeIds
from support.memory_store import MemoryDisk, MemoryStore
from support.receivers import Receivers
from support.running import HOOK, House, settings
from support.simulation_loop import LoopClock, run_virtually
from support.timed_provider import LIES, TimedProvider

HOUR, MINUTE = 3600.0, 60.0
ERRORS, LIARS, DENIALS = 0.10, 0.10, 0.05
LONGEST_LIE = 5 * MINUTE
DENIED_AGAIN_AFTER = HOUR
CALM = 10 * MINUTE
END_OF_A_MACHINE = frozenset({"instance.lost", "instance.deleted"})


@dataclass(frozen=True)
class Day:
    """How long and with how many machines. `spells`: from which part of it on, in which way, all calls fail for ten minutes."""

    machines: int
    hours: float
    seed: int = 1
    spells: tuple[tuple[float, str], ...] = ((0.2, "away"), (0.5, "key refused"), (0.8, "away"))


@dataclass
class Seen:
    """What came of it, by what Novita and the receiver saw."""

    changes: list[str]
    events: Counter[tuple[str, str]]
    gone: set[str]
    not_running: list[str]
    reads: int
    trouble: Counter[str] = field(default_factory=Counter)

    @property
    def unasked(self) -> list[str]:
        """What nobody asked for: calls that change something, and words about instances whose machines are well."""
        false = [f"{kind} of {owner}" for (owner, kind), _ in self.events.items() if owner not in self.gone]
        return [*self.changes, *self.not_running, *false]

    @property
    def ends_told(self) -> list[int]:
        """How often the end of each machine that really went was told."""
        return [
            sum(count for (owner, kind), count in self.events.items() if owner == gone and kind in END_OF_A_MACHINE)
            for gone in sorted(self.gone)
        ]


class DoubtfulNovita(TimedProvider):
    """Denies machines that exist, but none twice within an hour."""

    def __init__(self, clock: LoopClock, chance: random.Random) -> None:
        super().__init__(clock=clock)
        self.chance = chance
        self.doubtful = False
        self.trouble_met: Counter[str] = Counter()
        self._denied: dict[MachineId, float] = {}

    async def machine(self, machine_id: MachineId, call: Call) -> Machine:
        read = await super().machine(machine_id, call)
        now = self._clock.now()
        often = now - self._denied.get(machine_id, 0.0) < DENIED_AGAIN_AFTER
        if self.doubtful and not often and self.chance.random() < DENIALS:
            self._denied[machine_id] = now
            self.trouble_met["denied"] += 1
            raise Gone(f"no machine {machine_id}", status=404)
        return read


def live_through(day: Day) -> Seen:
    """The day, from a fleet that is ready to the judgement."""
    with _quietly():
        return run_virtually(_live_through(day))


async def _live_through(day: Day) -> Seen:
    clock, chance = LoopClock(asyncio.get_running_loop()), random.Random(day.seed)
    novita, receivers = DoubtfulNovita(clock, chance), Receivers(clock)
    novita.up = ((0.0, MachineStatus.RUNNING),)
    store = MemoryStore(MemoryDisk(), clock=clock)
    replaced = Replaced(clock=clock, ids=FakeIds(), store=store, provider=novita, egress=receivers)
    program = await Program.open(settings({"WEBHOOK_URL": HOOK}), replaced)
    for part in (*program.keepers.lanes, *program.keepers.loops, program.keepers.health_checks):
        part.start()
    house = House(program=program, clock=clock, provider=novita, receivers=receivers, store=store)
    ids = [await house.create(name=f"m{number}") for number in range(day.machines)]
    while not all(house.state(one) is State.READY for one in ids):
        await clock.sleep(MINUTE)
    seen = await _through_trouble(day, house, novita, receivers, ids)
    await program.stop(grace=0.0)
    return seen


async def _through_trouble(
    day: Day, house: House, novita: DoubtfulNovita, receivers: Receivers, ids: list[str]
) -> Seen:
    changed, told, read = len(novita.changes()), len(receivers.received), len(novita.log)
    began, gone = novita._clock.now(), {ids[0], ids[-1]}
    novita.trouble = _trouble(day, novita, began)
    novita.lie = _lie(novita)
    novita.doubtful = True
    await novita._clock.sleep(day.hours * HOUR / 3)
    vanishing, removing = [(await house.instance(one)).machine for one in (ids[0], ids[-1])]
    novita.vanish(vanishing.id)
    novita.becomes(removing.id, ((0.0, MachineStatus.REMOVING), (3 * MINUTE, MachineStatus.REMOVED)))
    await novita._clock.sleep(day.hours * HOUR * 2 / 3)
    novita.trouble, novita.lie, novita.doubtful = (lambda _: None), (lambda: ""), False
    await novita._clock.sleep(CALM)

    events = {one.id: one.event for one in receivers.received[told:]}
    return Seen(
        changes=[f"{one.method} of {one.argument}" for one in novita.changes()[changed:]],
        events=Counter((event["instanceId"], event["type"]) for event in events.values() if event["instanceId"]),
        gone=gone,
        not_running=[
            f"{one.id} is {one.status}" for one in novita.present() if one.status is not MachineStatus.RUNNING
        ],
        reads=len(novita.log) - read,
        trouble=novita.trouble_met,
    )


def _trouble(day: Day, novita: DoubtfulNovita, began: float) -> Callable[[str], ProviderFailure | None]:
    spells = [(began + part * day.hours * HOUR, kind) for part, kind in day.spells]

    def trouble(_method: str) -> ProviderFailure | None:
        now = novita._clock.now()
        kind = next((kind for begins, kind in spells if begins <= now < begins + 10 * MINUTE), "")
        if kind:
            novita.trouble_met[kind] += 1
            return (
                NotAllowed("invalid api-key", status=401)
                if kind == "key refused"
                else Broken("bad gateway", status=502)
            )
        if novita.chance.random() >= ERRORS:
            return None
        novita.trouble_met["errors"] += 1
        return novita.chance.choice(
            (Broken("<html>"), TryLater("bad gateway", status=502), TryLater("too many", status=429))
        )

    return trouble


def _lie(novita: DoubtfulNovita) -> Callable[[], str]:
    """A list that lies goes on doing so for a while."""
    told, until = "", 0.0

    def lie() -> str:
        nonlocal told, until
        now = novita._clock.now()
        if now >= until:
            lying = novita.chance.random() < LIARS
            told = novita.chance.choice(LIES) if lying else ""
            until = now + novita.chance.uniform(0.0, LONGEST_LIE if lying else 0.0)
        novita.trouble_met[told] += bool(told)
        return told

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
def test_a_day_of_doubts_destroys_nothing_and_what_really_went_is_told_once(scale, book):
    """24 virtual hours of 1,000 healthy machines: no stop, delete, migration or create that nobody asked for, no false word."""
    day = scale.pick(short=Day(machines=60, hours=2.0), prove=Day(machines=1_000, hours=24.0))
    seen = live_through(day)

    what = f"{day.machines} healthy machines, {day.hours:g} virtual hours of doubtful answers"
    book.figure("M2", f"{what}: changes, events and ends that nobody asked for", len(seen.unasked), exactly=0)
    book.figure("M2", "machines that really went, whose end was told exactly once", seen.ends_told.count(1), exactly=2)
    kinds = scale.pick(short=8, prove=len(LIES) + 4)
    book.figure("M2", "kinds of doubtful answer in it", sum(map(bool, seen.trouble.values())), at_least=kinds)
    book.figure("M2", "readings of Novita in it", seen.reads, at_least=day.hours * 60)


@pytest.mark.parametrize("bug", [m2_one_absence, m2_list_believed], ids=lambda bug: bug.__name__.rpartition(".")[2])
def test_a_planted_bug_turns_the_day_red(bug, book):
    """The same judgement over a program that gives machines up too early."""
    with bug.planted():
        seen = live_through(Day(machines=60, hours=3.0))

    book.planted("M2", bug.BUG, caught=bool(seen.unasked))
