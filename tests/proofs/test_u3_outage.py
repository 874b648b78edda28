"""U3: an outage of Novita is not made worse by us: few calls are repeated, and none comes before the time that `Retry-After` gives.

Our real client (and in the end the whole program) in made-up time against the simulated Novita; the verdict comes from its log of calls.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from novitai.coordination.local import LocalCoordination
from novitai.domain.errors import ProviderFailure
from novitai.domain.ids import MachineId
from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.ports.coordination import Share
from novitai.ports.provider import Call
from novitai.resilience.breaker import BreakerSettings
from novitai.resilience.budget import RetryBudget
from proofs.planted import u3_no_budget
from support.memory_store import MemoryDisk, MemoryStore
from support.running import House, running
from support.simulation_loop import LoopClock, run_virtually
from support.virtual_novita import VirtualNovita

ACT = Call(share=Share.ACT, longest_wait=120.0)
MANY = {"public": 100_000, "internal": 100_000}
USUAL = {"public": 100, "internal": 50}
EVERYTHING_FAILS: dict[str, dict[str, object]] = {
    "500": {"mode": "status", "status": 500},
    "503": {"mode": "status", "status": 503},
    "429": {"mode": "status", "status": 429},
    "reset": {"mode": "reset"},
    "html": {"mode": "html"},
    "not JSON": {"mode": "malformed"},
    "no answer": {"mode": "hang"},
}
LONGEST = 3600.0


def at_once(_request: object) -> tuple[float, float]:
    return 0.0, 0.0


# ── calls and requests ────────────────────────────────────────────────────────────────────────────────────────────────


async def calls_per_request(fault: dict[str, object], *, requests: int, breaker: int) -> float:
    """What Novita sees of so many reads and stops, one each second, while every answer is a failure."""
    clock = LoopClock(asyncio.get_running_loop())
    novita = VirtualNovita(clock)
    novita.fault(".*", count=-1, **fault)
    coordination = LocalCoordination(clock=clock, limits=MANY, breaker=BreakerSettings(failure_threshold=breaker))
    client = novita.client(coordination)

    async def ask(number: int) -> None:
        with suppress(ProviderFailure):
            await (client.stop(MachineId("a1"), ACT) if number % 4 == 0 else client.machines(1, 100, ACT))

    async with asyncio.TaskGroup() as group:
        for number in range(requests):
            group.create_task(ask(number))
            await clock.sleep(1.0)
    await client.close()
    return len(novita.calls) / requests


def amplification(*, requests: int, breaker: int) -> float:
    """The worst over all ways to fail."""
    return max(
        run_virtually(calls_per_request(fault, requests=requests, breaker=breaker))
        for fault in EVERYTHING_FAILS.values()
    )


def test_an_outage_is_not_amplified(scale, book, quiet):
    """Each way to fail, with the breaker held closed (so that the retries alone are judged) and as it is."""
    requests = scale.pick(short=60, prove=500, full=5_000)

    held = amplification(requests=requests, breaker=1_000_000)
    usual = amplification(requests=requests, breaker=5)

    what = (
        f"calls ÷ requests while everything fails ({requests} requests, worst of {len(EVERYTHING_FAILS)} ways to fail)"
    )
    book.figure("U3", f"{what}, breaker held closed", held, at_most=1.2)
    book.figure("U3", f"{what}, breaker as it is", usual, at_most=1.0)


def test_retries_without_a_budget_are_noticed(scale, book, quiet, monkeypatch: pytest.MonkeyPatch):
    """Three calls for each read then."""
    monkeypatch.setattr(RetryBudget, "spend", u3_no_budget.spend)

    found = amplification(requests=60, breaker=1_000_000)

    book.planted("U3", "retries that cost nothing", caught=found > 1.2)


# ── Retry-After ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Told:
    """A header, and how many seconds from its arrival it asks us to stay away; None: it makes no sense."""

    header: str
    seconds: float | None


def dates(now: float) -> list[Told]:
    """The three forms of RFC 9110 5.6.7, in the future and in the past."""
    forms: list[Callable[[datetime], str]] = [
        lambda moment: format_datetime(moment, usegmt=True),
        lambda moment: moment.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
        lambda moment: moment.strftime("%a %b %e %H:%M:%S %Y"),
    ]
    distances = (1.0, 9.0, 25.0, 7_200.0, 0.0, -1.0, -86_400.0)
    return [Told(form(datetime.fromtimestamp(now + far, UTC)), max(far, 0.0)) for form in forms for far in distances]


def every_header(now: float) -> list[Told]:
    """Seconds, dates, and what no standard knows."""
    numbers = [Told(text, float(text)) for text in ("0", "1", "2", "7", "12.5", "29", "120", "3600")]
    numbers += [Told("-1", 0.0), Told("-99999", 0.0), Told("1000000000000", LONGEST), Told("9" * 60, LONGEST)]
    words = (
        "soon",
        "1e3",
        "nan",
        "inf",
        "0x10",
        "7 seconds",
        "1,5",
        "Mon",
        "Fri, 99 Foo 9999 99:99:99 GMT",
        "--",
        "7;8",
    )
    return numbers + dates(now) + [Told(text, None) for text in words]


@dataclass(frozen=True)
class Obeyed:
    """How a call went on after the answer with the header: seconds until it came again, or what the caller was told."""

    told: Told
    again: float | None
    handed_on: float | None

    def early(self) -> bool:
        """It came again before it might, or the caller was told a moment that is too early."""
        wanted = min(self.told.seconds or 0.0, LONGEST)
        return min(one for one in (self.again, self.handed_on) if one is not None) < wanted

    def off(self) -> float:
        """By how many seconds it was not exact; of nonsense, by how many our own pause of a second was exceeded."""
        came = self.again if self.again is not None else self.handed_on
        assert came is not None
        return max(0.0, came - 1.0) if self.told.seconds is None else abs(came - min(self.told.seconds, LONGEST))


async def obeyed(number: int, status: int) -> Obeyed:
    """One read whose first answer has the header."""
    clock = LoopClock(asyncio.get_running_loop())
    novita = VirtualNovita(clock, latency=at_once)
    told = every_header(clock.now())[number]
    novita.fault("GET .*", "status", status=status, retryAfter=told.header)
    client = novita.client(LocalCoordination(clock=clock, limits=USUAL))
    handed_on = None
    try:
        await client.machines(1, 100, ACT)
    except ProviderFailure as failure:
        handed_on = failure.retry_after
    await client.close()
    arrivals = novita.arrivals()
    again = arrivals[1] - arrivals[0] if len(arrivals) > 1 else None
    return Obeyed(told, again, handed_on)


def test_retry_after_is_obeyed_exactly(scale, book, quiet):
    """A read waits so long and comes at that moment; longer than its own time, it hands the word on."""
    count = len(every_header(0.0))
    found = [run_virtually(obeyed(number, status)) for number in range(count) for status in (429, 503)]

    early = [one.told.header for one in found if one.early()]
    book.figure("U3", f"of {len(found)} answers with Retry-After, those not waited for", len(early), exactly=0)
    book.figure(
        "U3", "by how much the moment was missed, worst", max(one.off() for one in found), at_most=0.001, unit="s"
    )


# ── the whole program ─────────────────────────────────────────────────────────────────────────────────────────────────

Ask = Callable[[House, str], Awaitable[object]]


async def program_waits(match: str, retry_after: int, ask: Ask) -> float:
    """Seconds from an answer 429 with the header to the next call of that kind, by a program that wants it again."""
    clock = LoopClock(asyncio.get_running_loop())
    novita = VirtualNovita(clock, latency=at_once)
    coordination = LocalCoordination(clock=clock, limits=USUAL)
    store = MemoryStore(MemoryDisk(), clock=clock)
    async with running(clock=clock, store=store, provider=novita.client(coordination)) as house:
        ready = await house.create()
        while house.state(ready) is not State.READY:
            await clock.sleep(1.0)
        novita.fault(match, "status", status=429, retryAfter=retry_after)
        since = clock.now()
        await ask(house, ready)
        await clock.sleep(retry_after + 120.0)
    method, path = match.split(" .*")
    arrivals = [
        call.received_at
        for call in novita.calls
        if call.method == method and call.path.endswith(path.rstrip("$")) and call.received_at >= since
    ]
    return arrivals[1] - arrivals[0]


async def nothing(_house: House, _ready: str) -> None:
    pass


ASKS: dict[str, tuple[str, Ask]] = {
    "create": ("POST .*/instance/create", lambda house, _: house.create(name="second")),
    "stop": ("POST .*/instance/stop", lambda house, ready: house.ask(ready, Verb.STOP)),
    "delete": ("POST .*/instance/delete", lambda house, ready: house.ask(ready, Verb.DELETE)),
    "poll": ("GET .*/gpu/instances$", nothing),
}


def test_the_whole_program_obeys_it_too(scale, book, quiet):
    """Creates, stops, deletes and polls are put off until then, and then they come."""
    seconds = scale.pick(short=(45,), prove=(5, 45, 200), full=(1, 5, 45, 200, 1_000, 3_000))
    waits = {
        (name, asked): run_virtually(program_waits(match, asked, ask))
        for name, (match, ask) in ASKS.items()
        for asked in seconds
    }

    early = [key for key, wait in waits.items() if wait < key[1] - 1e-6]
    latest = max(wait - asked for (_, asked), wait in waits.items())
    book.figure(
        "U3", f"the whole program: {', '.join(ASKS)} called again before Retry-After allows", len(early), exactly=0
    )
    book.figure("U3", "the whole program: until it comes after that moment, worst", latest, at_most=35, unit="s")


async def outage(minutes: int) -> float:
    """Calls a minute that a program with 20 instances makes while Novita is away."""
    clock = LoopClock(asyncio.get_running_loop())
    novita = VirtualNovita(clock)
    store = MemoryStore(MemoryDisk(), clock=clock)
    coordination = LocalCoordination(clock=clock, limits=USUAL)
    async with running(clock=clock, store=store, provider=novita.client(coordination)) as house:
        made = [await house.create() for _ in range(20)]
        while any(house.state(one) is not State.READY for one in made):
            await clock.sleep(1.0)
        novita.fault(".*", "status", status=503, count=-1)
        before = len(novita.calls)
        for one in made[:10]:
            await house.ask(one, Verb.STOP)
        await clock.sleep(60.0 * minutes)
    return (len(novita.calls) - before) / minutes


def test_while_novita_is_away_we_ask_now_and_then(scale, book, quiet):
    """Ten stops wait, the observer wants to poll, and the breaker lets one probe through."""
    minutes = scale.pick(short=10, prove=60, full=1440)

    book.figure(
        "U3",
        f"calls a minute in an outage of {minutes} minutes, 20 instances, 10 stops waiting",
        run_virtually(outage(minutes)),
        at_most=5,
    )
