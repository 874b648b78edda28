"""W3: one bad receiver hurts only itself.

A real server is given the same deliveries twice: first all of its endpoints answer, then half of them do not (silent, dripping, endless,
gzip bombs, and some that answer at first and then stop). It has met none of them before, and all have a delivery due in the first
instant. Judged from outside: when the deliveries of the healthy half arrive after they were due, how long the server stays with a bad
one, and its resident memory.
"""

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from support.crowd import FLOODING, HANGING, Crowd
from support.processes import TESTS, Forks
from support.seeding import Seed, seed_file
from support.sites import Site, open_site

MANNERS = (*HANGING, *HANGING, *HANGING, *FLOODING)
KIB = 1024
MOST = 2.0
"""How many times as long deliveries may take beside bad endpoints."""
FORKING = TESTS / "support" / "forking.py"
KEEPS_ITS_PLACE = Path(__file__).parent / "planted" / "w3_keeps_its_place.py"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`pace`: deliveries a second over all endpoints, after one to each at the first instant. `timeout`: of one attempt. `lead`: in which the
    server starts. `settling`: how long the first instant is felt. All in seconds.
    """

    endpoints: int
    pace: float
    seconds: float
    timeout: float
    lead: float = 3.0
    settling: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Lags of the healthy half: of what was due at the first instant, and once that has settled. `missing`: never arrived."""

    first: list[float]
    later: list[float]
    missing: int
    longest_stay: float
    most_hanging: int
    grown_mib: float

    def joined(self, other: "Outcome") -> "Outcome":
        """Both as one."""
        return replace(
            self, first=self.first + other.first, later=self.later + other.later, missing=self.missing + other.missing
        )


async def bear(site: Site, plan: Plan, name: str, *, bad: bool) -> Outcome:
    """Let a server deliver the load, half of it to bad endpoints or to none."""
    crowd = Crowd()
    await crowd.start()
    begin = time.time() + plan.lead
    load = list(_load(plan, begin))
    seeds = [Seed(f"evt_{place}", crowd.url + _path(number, bad=bad), at) for place, (number, at) in enumerate(load)]
    healthy = [seed for seed, (number, _) in zip(seeds, load, strict=True) if number % 2 == 0]
    store = site.folder / f"{name}.db"
    try:
        await seed_file(store, seeds)
        server = await site.serve(
            NOVITAI_STORE=f"sqlite:///{store}",
            NOVITAI_DATA_DIR=str(store.with_suffix(".d")),
            WEBHOOK_URL=None,
            WEBHOOK_RETRY_SCHEDULE=None,
            WEBHOOK_TIMEOUT=f"{plan.timeout}s",
        )
        await asyncio.sleep(max(0.0, begin - 0.2 - time.time()))
        with _watched(server.process.pid) as memory:
            await asyncio.sleep(max(0.0, begin + plan.seconds / 3 - time.time()))
            crowd.turned = True
            await asyncio.sleep(max(0.0, begin + plan.seconds - time.time()))
            await crowd.until(lambda: all(seed.event_id in crowd.arrived for seed in healthy), seconds=plan.timeout * 2)
            if bad:
                await crowd.until(lambda: len(crowd.stays) >= crowd.most_hanging, seconds=plan.timeout + 2)
        await server.process.kill()
    finally:
        await crowd.stop()
    lags = {seed: crowd.arrived[seed.event_id] - seed.due for seed in healthy if seed.event_id in crowd.arrived}
    return Outcome(
        first=[lag for seed, lag in lags.items() if seed.due == begin],
        later=[lag for seed, lag in lags.items() if seed.due > begin + plan.settling],
        missing=len(healthy) - len(lags),
        longest_stay=max((seconds for _, seconds in crowd.stays), default=0.0),
        most_hanging=crowd.most_hanging,
        grown_mib=memory.grown / KIB,
    )


def _load(plan: Plan, begin: float) -> Iterator[tuple[int, float]]:
    yield from ((number, begin) for number in range(plan.endpoints))
    for place in range(int(plan.pace * plan.seconds)):
        yield place % plan.endpoints, begin + 1.0 / plan.pace * (place + 1)


def _path(number: int, *, bad: bool) -> str:
    manner = MANNERS[number // 2 % len(MANNERS)] if bad and number % 2 else "good"
    return f"/{manner}/{number}"


class _Memory:
    """Resident memory of a process, in KiB."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/statm")
        self._before = self._most = self.look()

    def look(self) -> int:
        return int(self._status.read_text().split()[1]) * 4

    def note(self) -> None:
        self._most = max(self._most, self.look())

    @property
    def grown(self) -> int:
        return self._most - self._before


@contextmanager
def _watched(pid: int) -> Iterator[_Memory]:
    memory = _Memory(pid)

    async def watch() -> None:
        while True:
            await asyncio.sleep(0.1)
            memory.note()

    watching = asyncio.ensure_future(watch())
    try:
        yield memory
    finally:
        watching.cancel()


def p99(lags: list[float]) -> float:
    """The 99th percentile in milliseconds."""
    return sorted(lags)[math.ceil(len(lags) * 0.99) - 1] * 1000


def ratio(usual: Outcome, hurt: Outcome) -> float:
    """How many times as long the healthy ones' p99 was: the worse of first contact and later."""
    return max(p99(hurt.first) / p99(usual.first), p99(hurt.later) / p99(usual.later))


async def _compared(
    plan: Plan, folder: Path, program: Path = FORKING, *, twice: bool = True
) -> tuple[Outcome, Outcome]:
    """The load with all endpoints healthy, and with half of them bad. `twice`: the healthy one before and after, as one, so that a slow
    moment of the machine (a checkpoint of the store, a neighbour) is as likely in it.
    """
    folder.mkdir()
    programs = Forks(program)
    try:
        async with open_site(programs, folder) as site:
            before = await bear(site, plan, "before", bad=False)
            hurt = await bear(site, plan, "bad", bad=True)
            after = await bear(site, plan, "after", bad=False) if twice else None
    finally:
        programs.close()
    return (before if after is None else before.joined(after)), hurt


@pytest.mark.alone
@pytest.mark.timeout(300)
async def test_half_of_the_endpoints_hang_and_the_others_notice_nothing(scale, book, tmp_path: Path) -> None:
    """p99 of the others at most twice as long, an attempt ends within a second of its time, memory grows by 64 MiB at most."""
    plan = scale.pick(
        short=Plan(endpoints=100, pace=60.0, seconds=0.8, timeout=0.6, lead=1.2, settling=0.2),
        prove=Plan(endpoints=200, pace=100.0, seconds=18.0, timeout=15.0),
    )
    short = scale.name == "short"
    usual, hurt = await _compared(plan, tmp_path / "1", twice=not short)
    if not short and ratio(usual, hurt) > MOST:  # a hiccup of the machine is in one round, harm is in both
        usual, hurt = await _compared(plan, tmp_path / "2")

    healthy = plan.endpoints // 2
    book.figure("W3", "deliveries to healthy endpoints that never arrived", usual.missing + hurt.missing, exactly=0)
    book.figure("W3", f"attempts that hung at once beside {healthy} healthy endpoints, most", hurt.most_hanging)
    _compare(book, "from due to arrival", usual.later, hurt.later)
    _compare(book, "first contact with all in one instant", usual.first, hurt.first)
    book.figure("W3", "longest attempt", hurt.longest_stay, at_most=plan.timeout + 1.0, unit="s", timed=True)
    book.figure("W3", "memory grown while endless and gzip-bomb bodies came", hurt.grown_mib, at_most=64, unit="MiB")


@pytest.mark.alone
@pytest.mark.slow
async def test_attempts_that_keep_their_places_are_noticed(book, tmp_path: Path) -> None:
    """The same load on a server whose hanging attempts stay in the lane: the others wait for them."""
    plan = Plan(endpoints=200, pace=100.0, seconds=4.0, timeout=6.0)
    found = ratio(*await _compared(plan, tmp_path / "planted", KEEPS_ITS_PLACE, twice=False))

    book.planted(
        "W3", f"attempts that hang keep their places in the lane: p99 {found:,.0f} times as long", caught=found > MOST
    )


def _compare(book, what: str, usual: list[float], hurt: list[float]) -> None:
    book.figure("W3", f"{what}, p99, all endpoints healthy", p99(usual), unit="ms")
    book.figure("W3", f"{what}, p99, half of them bad", p99(hurt), unit="ms")
    book.figure("W3", f"{what}, p99, ratio", p99(hurt) / p99(usual), at_most=MOST, timed=True)
