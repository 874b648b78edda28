"""M1: one create, one machine, whatever becomes of the call and wherever the process ends.

Every outcome of a create call meets the end of the process before and after every port call. A counting run learns the points of an outcome,
so that a new one is covered the day it is added. The caller repeats what was not answered, with the same Idempotency-Key. Judged from outside:
the machines that Novita made, the creates it was sent with what was heard of them, and its record of the readings of its list.
"""

import random
from collections import Counter
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Any

import pytest

from novitai.domain.lifecycle import State
from proofs.planted import m1_blind_retry, m1_early_answer, m1_no_intent, m1_no_settle_time
from support.clock import FakeIds
from support.crashing import EVERY, PROVIDER_POINTS, STORE_POINTS, Fuse, World, create_once, drive
from support.create_outcomes import ACCEPTED, OUTCOMES, Outcome, RecordingNovita, SentCreate

LONGEST = 7200.0
END = {State.READY, State.FAILED, State.DELETED}


@dataclass(frozen=True)
class Case:
    """One outcome with the process ending at one point (0: nowhere). What is made shows `lag` seconds later, at most the settle time.
    `reads`: calls that only read are points as well.
    """

    outcome: Outcome
    at: int = 0
    lag: float = 15.0
    settle: float = 20.0
    seed: int = 0
    reads: bool = False

    @property
    def points(self) -> tuple[Container[str], Container[str]]:
        return (EVERY, EVERY) if self.reads else (STORE_POINTS, PROVIDER_POINTS)


@dataclass
class Caller:
    """Asks for an instance until it is promised one, and remembers the promise."""

    case: Case
    world: World
    novita: RecordingNovita
    promised: str = ""
    stuck: bool = False

    async def live(self, fuse: Fuse) -> None:
        """One process, to the end of the create."""
        self.novita.point = fuse.point
        store, provider = self.case.points
        async with self.world.house(
            fuse, store=store, provider=provider, NOVITA_SETTLE_TIME=f"{self.case.settle:g}s"
        ) as house:
            if not self.promised:
                self.promised = await create_once(house)
            try:
                await house.clock.run_until(lambda: house.state(self.promised) in END, within=LONGEST)
            except AssertionError:
                self.stuck = True


@dataclass
class Tally:
    """What was found, over all cases."""

    cases: int = 0
    kinds: set[str] = field(default_factory=set)
    machines: dict[int, Counter[int]] = field(default_factory=lambda: {0: Counter(), 1: Counter()})
    calls: int = 0
    blind: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, case: Case, caller: Caller, fuse: Fuse) -> None:
        """Judge one case."""
        where = f"{case.outcome.name}, lag {case.lag:g} of {case.settle:g}, seed {case.seed}, point {case.at}: {fuse.where or 'no end'}"
        novita = caller.novita
        made = novita.made_for(caller.promised)
        blind = blind_sends(novita.creates, novita.sweeps, settle=case.settle)
        self.cases += 1
        self.kinds |= {fuse.where} - {""}
        self.calls += len(novita.creates)
        self.machines[case.outcome.machines][made] += 1
        self.blind += blind
        if made != case.outcome.machines or made != len(novita.kept) or len(novita.present()) != made:
            self.wrong.append(f"{where}: {len(novita.kept)} machines instead of {case.outcome.machines}")
        if blind:
            self.wrong.append(f"{where}: {blind} blind re-sends")
        if caller.stuck:
            self.wrong.append(f"{where}: no end")


def blind_sends(creates: list[SentCreate], sweeps: list[tuple[float, float]], *, settle: float) -> int:
    """Creates that were sent although an earlier one for the same instance may have made a machine: nothing clear was heard of it, and no
    whole reading of the list lay between them that began a settle time after it had ended.
    """
    found = 0
    for number, later in enumerate(creates):
        earlier = [one for one in creates[:number] if one.instance_id == later.instance_id and one.heard != "refused"]
        looked = [began for began, ended in sweeps if ended <= later.arrived]
        for one in earlier:
            free = one.heard != "made" and one.ended is not None and max(looked, default=0.0) >= one.ended + settle
            found += not free or one.machine_name == later.machine_name
    return found


async def run(case: Case, tally: Tally) -> Fuse:
    """One case, judged."""
    world = await World.begin(RecordingNovita, ids=FakeIds(case.seed))
    novita = world.provider
    assert isinstance(novita, RecordingNovita)
    novita.outcome, novita.list_lag = case.outcome, case.lag
    caller = Caller(case, world, novita)
    fuse = await drive(world, caller.live, at=case.at)
    tally.add(case, caller, fuse)
    await world.close()
    return fuse


Stop = Callable[[], bool]


def _never() -> bool:
    return False


async def undisturbed(tally: Tally, *, stop: Stop = _never) -> None:
    """Every outcome without an end of the process."""
    for outcome in OUTCOMES:
        if not stop():
            await run(Case(outcome), tally)


async def every_point(outcome: Outcome, tally: Tally, *, stop: Stop = _never, **how: Any) -> None:
    """An outcome with the process ending at every point; with `reads`, only at those that this adds."""
    counted = await run(Case(outcome, **how), tally)
    for at, name in enumerate(counted.names, start=1):
        call = name.split()[-1]
        if stop():
            return
        if not (how.get("reads") and (call in STORE_POINTS or call in PROVIDER_POINTS)):
            await run(Case(outcome, at, **how), tally)


async def some_points(tally: Tally, *, each: int) -> None:
    """Every outcome at a few points, the kinds of points taking turns."""
    chance = random.Random(1)
    turn = 0
    for outcome in OUTCOMES:
        names = (await run(Case(outcome), tally)).names
        kinds = sorted(set(names))
        for _ in range(each):
            turn += 1
            kind = kinds[turn % len(kinds)]
            at = chance.choice([number for number, name in enumerate(names, start=1) if name == kind])
            await run(Case(outcome, at), tally)


@pytest.mark.timeout(3600)
async def test_one_create_makes_one_machine_wherever_the_process_ends(scale, book):
    """Exactly one machine for an accepted create and none for a refused one; nothing is sent again on doubt."""
    tally = Tally()

    if scale.name == "short":
        await every_point(ACCEPTED, tally)
        await some_points(tally, each=3)
    for outcome in OUTCOMES if scale.name != "short" else ():
        await every_point(outcome, tally)
        if scale.name == "full":
            await every_point(outcome, tally, lag=0.0, seed=1)
            await every_point(outcome, tally, lag=60.0, settle=60.0, seed=2)
            await every_point(outcome, tally, reads=True)

    print(*tally.wrong[:20], sep="\n")
    accepted, refused = tally.machines[1], tally.machines[0]
    book.figure("M1", "outcomes of the create call", len(OUTCOMES), at_least=20)
    book.figure(
        "M1",
        "kinds of calls to store and Novita before or after which the process ended",
        len(tally.kinds),
        at_least=10,
    )
    book.figure("M1", "cases: an outcome, with the end of the process at one call", tally.cases, at_least=100)
    book.figure("M1", "machines per accepted create, most", max(accepted), exactly=1)
    book.figure("M1", "machines per accepted create, fewest", min(accepted), exactly=1)
    book.figure("M1", "machines per create that Novita refused, most", max(refused), exactly=0)
    book.figure(
        "M1", "creates sent again on doubt: no whole list was read after the settle time", tally.blind, exactly=0
    )
    assert not tally.wrong


@pytest.mark.parametrize(
    "bug", [m1_blind_retry, m1_no_intent, m1_no_settle_time, m1_early_answer], ids=lambda bug: bug.BUG
)
async def test_the_check_finds_a_planted_bug(bug, book):
    """The same check over the same cases, with a program that is wrong in one place."""
    tally = Tally()

    with bug.planted():
        await undisturbed(tally, stop=lambda: bool(tally.wrong))
        await every_point(ACCEPTED, tally, stop=lambda: bool(tally.wrong))

    book.planted("M1", bug.BUG, caught=bool(tally.wrong))
