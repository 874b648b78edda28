"""M1, beyond its bound: Novita shows machines later than the settle time, so that a create is sent again and an extra machine exists.

Such a machine is told within two polls of showing. It is removed only when the settings say so, and only when it bears this installation's
marker for this very instance; the instance keeps the machine it holds. Beside it the account has machines of others: without a marker, of
another installation that shares our names, and one of ours that is protected. Judged from outside: Novita's machines, its log of calls and of
readings of its list, and what the receiver was told.
"""

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest

from novitai.domain.ids import MachineId
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from proofs.planted import m1_any_marker
from support import builders
from support.clock import FakeIds
from support.crashing import Fuse, World, create_once, drive
from support.create_outcomes import ACCEPTED, Outcome, RecordingNovita, cut
from support.running import HOOK, House

CHANGES = ("start", "stop", "restart", "delete")
RESET = Outcome("connection reset, made", lambda: cut("reset by peer"), made_after=0.0, always=True)


@dataclass(frozen=True)
class Case:
    """How late, how many, what is to become of them, and where the process ends (0: nowhere)."""

    late: float
    extras: int = 1
    policy: str = "delete"
    protect: bool = False
    seed: int = 0
    at: int = 0

    @property
    def kept(self) -> bool:
        return self.policy == "report" or self.protect


@dataclass
class Tally:
    """What was found, over all cases."""

    cases: int = 0
    extras: int = 0
    polls: int = 0
    misplaced: int = 0
    foreign_changed: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass
class Scene:
    """One instance with extra machines, among machines of others."""

    case: Case
    world: World
    novita: RecordingNovita
    made: str = ""
    foreign: tuple[MachineId, ...] = ()

    async def live(self, fuse: Fuse) -> None:
        """One process: asks for the instance if nobody has, and watches until long after everything has shown."""
        async with self.world.house(fuse, WEBHOOK_URL=HOOK, EXTRA_MACHINES=self.case.policy) as house:
            if not self.made:
                self.made = await create_once(house, protect=self.case.protect)
            await self._become_ready(house)
            self._settle_strangers()
            await house.clock.run_until(max(self.novita.visible.values(), default=0.0) + 300.0)

    async def _become_ready(self, house: House) -> None:
        novita = self.novita
        while house.state(self.made) is not State.READY:
            novita.list_lag = self.case.late if len(novita.creates) < self.case.extras else 0.0
            novita.outcome = RESET if len(novita.creates) < self.case.extras else ACCEPTED
            await house.clock.advance(1.0)
            if self.case.extras > 1 and novita.creates:
                self._settle_strangers()

    def _settle_strangers(self) -> None:
        """Others take the name of our first machine: while its create is searched for, or when all is quiet."""
        if self.foreign:
            return
        name = self.novita.creates[0].machine_name
        strangers = {
            "a" * 16: "somebody-elses",
            "b" * 16: name.replace("-nvtest", "-nvabcd"),
            "c" * 16: name[: -len("0" * 26) - 2] + "7" * 26 + name[-2:],
            "d" * 16: f"{name}-copy",
        }
        for machine_id, stranger in strangers.items():
            self.novita.keep(builders.machine(MachineStatus.RUNNING, id=MachineId(machine_id), name=stranger))
        self.foreign = tuple(MachineId(machine_id) for machine_id in strangers)


def told_at(world: World) -> dict[str, float]:
    """When the receiver was first told of each extra machine."""
    found: dict[str, float] = {}
    for one in world.receivers.received:
        event: dict[str, Any] = one.event
        if event["type"] == "instance.orphan_found":
            found.setdefault(event["data"]["machineId"], one.at)
    return found


def judge(scene: Scene, fuse: Fuse, tally: Tally) -> None:
    """One case, from outside."""
    case, novita = scene.case, scene.novita
    where = f"{case}: {fuse.where}"
    ours = [machine_id for machine_id in novita.kept if machine_id not in scene.foreign]
    kept, told = ours[-1], told_at(scene.world)
    tally.cases += 1
    for extra in ours[:-1]:
        shown = novita.visible[extra]
        if extra not in told:
            tally.wrong.append(f"{where}: never told of {extra}")
            continue
        tally.extras += 1
        tally.polls = max(tally.polls, sum(shown <= began <= told[extra] for began, _ in novita.sweeps))
    calls = [(call.method, call.argument) for call in novita.made(*CHANGES)]
    tally.foreign_changed += sum(target in scene.foreign for _, target in calls)
    left = [machine.id for machine in novita.present() if machine.id not in scene.foreign]
    if left != (ours if case.kept else [kept]):
        tally.misplaced += 1
        tally.wrong.append(f"{where}: {left} are left of {ours}")
    if kept in [target for _, target in calls] or (case.kept and calls):
        tally.wrong.append(f"{where}: {calls}")
    if set(told) - {*ours[:-1], *scene.foreign}:
        tally.wrong.append(f"{where}: told of {told}")


async def run(case: Case, tally: Tally) -> Fuse:
    """One case, judged."""
    world = await World.begin(RecordingNovita, ids=FakeIds(case.seed))
    assert isinstance(world.provider, RecordingNovita)
    scene = Scene(case, world, world.provider)
    fuse = await drive(world, scene.live, at=case.at)
    judge(scene, fuse, tally)
    await world.close()
    return fuse


@pytest.mark.timeout(900)
async def test_extra_machines_are_told_within_two_polls_and_removed_only_by_marker_and_policy(scale, book):
    """However late, however many, with the process ending in between."""
    tally = Tally()
    lates = scale.pick(short=(300.0,), prove=(65.0, 90.0, 131.0, 300.0, 1000.0))
    ways = (("report", False), ("delete", False), ("delete", True))
    for late, extras, (policy, protect) in itertools.product(lates, (1, 3), ways):
        await run(Case(late, extras, policy, protect), tally)
    counted = await run(Case(300.0, seed=1), tally)
    for at in range(1, counted.points + 1, scale.pick(short=97, prove=5, full=1)):
        await run(Case(300.0, seed=1, at=at), tally)

    print(*tally.wrong[:20], sep="\n")
    book.figure("M1", "machines shown later than the settle time: extra machines", tally.extras, at_least=10)
    book.figure(
        "M1", "extra machines: polls from the first that could show one until it is told, most", tally.polls, at_most=2
    )
    book.figure(
        "M1",
        "extra machines left where they are to be deleted, or deleted where they are to be kept",
        tally.misplaced,
        exactly=0,
    )
    book.figure(
        "M1",
        "foreign machines changed, with our names and with markers of other installations",
        tally.foreign_changed,
        exactly=0,
    )
    assert not tally.wrong


async def test_the_check_finds_a_planted_bug(book):
    """The same check over a program that does not ask whose marker a machine bears."""
    tally = Tally()

    with m1_any_marker.planted():
        await run(Case(300.0), tally)

    book.planted("M1", m1_any_marker.BUG, caught=tally.foreign_changed > 0)
