"""U2: the breaker is the specification: five failures in a row open it, silence for 60 s, one probe at a time, three successes close it.

Walked at random beside a model that keeps a list of results and nothing else; and once through the real client, judged by what Novita saw.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import msgspec

from novitai.coordination.local import LocalCoordination
from novitai.domain.errors import ProviderFailure
from novitai.novita.calls import Reply, Request
from novitai.novita.settings import Pacing
from novitai.ports.coordination import Share
from novitai.ports.provider import Call
from novitai.resilience.breaker import Breaker, BreakerSettings, BreakerState, Permit
from proofs.planted import u2_half_open_stays
from support.simulation_loop import LoopClock, run_virtually
from support.virtual_novita import VirtualNovita
from support.walking import Step, Walk, walk
from unit.resilience.test_breaker import Model

ACT = Call(share=Share.ACT, longest_wait=10.0)
MANY = {"public": 100_000, "internal": 100_000}
Make = Callable[..., Breaker]


class Breakers:
    """The breaker and its model."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._now = 1_000.0
        self._breaker = make(BreakerSettings())
        self._model = Model()
        self._out: list[tuple[Permit, Any]] = []

    def ask(self) -> None:
        answer, ticket = self._breaker.permit(self._now), self._model.ask(self._now)
        assert isinstance(answer, Permit) == (ticket is not None), f"asked: {answer}"
        if isinstance(answer, Permit):
            self._out.append((answer, ticket))
        else:
            assert answer.retry_at > self._now, "told to come back in the past"
        self._alike()

    def end(self, pick: int, ok: bool | None) -> None:
        """A call ends well, badly, or was never sent."""
        if not self._out:
            return
        permit, ticket = self._out.pop(pick % len(self._out))
        if ok is None:
            self._breaker.abandon(permit)
        else:
            self._breaker.record(permit, ok=ok, now=self._now)
        self._model.done(ticket, ok, self._now)
        self._alike()

    def call(self, ok: bool, times: int) -> None:
        """Calls in a row, one after another."""
        for _ in range(times):
            self.ask()
            self.end(pick=-1, ok=ok)

    def wait(self, seconds: float) -> None:
        self._now += seconds

    def restart(self) -> None:
        """Another process goes on with what was kept."""
        kept = msgspec.json.decode(msgspec.json.encode(self._breaker.snapshot), type=BreakerState)
        self._breaker = self._make(BreakerSettings(), kept)
        self._alike()

    def close(self) -> None:
        pass

    def _alike(self) -> None:
        assert self._breaker.state == self._model.kind, f"{self._breaker.state}, and the model says {self._model.kind}"


def step(chance: random.Random) -> Step:
    """Calls above all; enough failures to open, enough waiting to come back."""
    draw = chance.random()
    if draw < 0.35:
        return "ask", {}
    if draw < 0.65:
        return "end", {"pick": chance.randrange(8), "ok": chance.choice((True, False, False, None))}
    if draw < 0.8:
        return "call", {"ok": chance.random() < 0.5, "times": chance.randint(1, 6)}
    if draw < 0.97:
        return "wait", {"seconds": chance.choice((0.5, 20.0, 59.5, 60.0, 61.0))}
    return "restart", {}


def walked(make: Make, *, steps: int, seed: int) -> Walk:
    return walk(lambda: Breakers(make), step, steps=steps, seed=seed)


def test_the_breaker_and_its_model_never_differ(scale, book):
    """Whatever comes, in whatever order; late answers, lost probes and restarts included."""
    done = walked(Breaker, steps=scale.pick(short=5_000, prove=500_000, full=5_000_000), seed=2)

    assert done.differences == []
    book.figure("U2", "breaker: differences from its model", len(done.differences), exactly=0)
    book.figure(
        "U2", "breaker: random steps beside its model", done.steps, at_least=scale.pick(short=1_000, prove=50_000)
    )


def test_a_failed_probe_that_does_not_open_it_again_is_noticed(scale, book):
    """And the shortest way there is told."""
    done = walked(u2_half_open_stays.HalfOpenStays, steps=5_000, seed=2)

    book.planted("U2", "a failed probe that does not open the breaker again", caught=bool(done.differences))


# ── through the real client ───────────────────────────────────────────────────────────────────────────────────────────


async def opened(status: int) -> bool:
    """Whether five answers with this status keep a sixth call from being made."""
    clock = LoopClock(asyncio.get_running_loop())
    novita = VirtualNovita(clock)
    novita.fault(".*", "status", status=status, count=-1)
    client = novita.client(LocalCoordination(clock=clock, limits=MANY), pacing=Pacing(attempts=1))
    for _ in range(6):
        with suppress(ProviderFailure):
            await client.machines(1, 10, ACT)
    await client.close()
    return len(novita.calls) == 5


def test_refusals_never_open_it_but_408_and_429_and_trouble_do(scale, book, quiet):
    """Every status that an answer can have, from 400 on."""
    wrong = [
        status
        for status in range(400, 600)
        if run_virtually(opened(status)) is not (status >= 500 or status in {408, 429})
    ]

    book.figure(
        "U2", "statuses of 200 (400 to 599) that count as the specification does not say", len(wrong), exactly=0
    )


async def outage_seen_by_novita() -> dict[str, float]:
    """A crowd that asks all the time, over an outage and its end."""
    clock = LoopClock(asyncio.get_running_loop())
    novita = VirtualNovita(clock, latency=lambda _: (0.5, 0.5))
    client = novita.client(LocalCoordination(clock=clock, limits=MANY), pacing=Pacing(attempts=1))
    away_until = clock.now() + 200.0

    def spoil(_request: Request[Any], reply: Reply) -> Reply:
        return Reply(status=503, body=b"") if clock.now() < away_until else reply

    async def one() -> None:
        with suppress(ProviderFailure):
            await client.machines(1, 10, ACT)

    novita.spoil = spoil
    async with asyncio.TaskGroup() as crowd:
        while clock.now() < away_until + 200.0:
            crowd.create_task(one())
            await clock.sleep(0.25)
    await client.close()
    during = [call for call in novita.calls if call.received_at < away_until + 60.0]
    arrivals = [call.received_at for call in during]
    return pauses(arrivals)


def pauses(arrivals: list[float]) -> dict[str, float]:
    """The calls between the first silence and the end of the last: how long each silence was, and how many probes came at once."""
    gaps = [later - earlier for earlier, later in pairwise(arrivals)]
    silences = [gap for gap in gaps if gap > 10.0]
    first = next(number for number, gap in enumerate(gaps) if gap > 10.0) + 1
    last = max(number for number, gap in enumerate(gaps) if gap > 10.0) + 1
    probes = arrivals[first : last + 3]
    return {
        "silences": len(silences),
        "shortest": min(silences),
        "probes": len(probes),
        "closest": min(later - earlier for earlier, later in pairwise(probes)),
    }


def test_novita_hears_nothing_for_a_minute_and_then_one_probe_at_a_time(scale, book, quiet):
    """Four callers a second, 200 s of outage: what arrives is the specification."""
    seen = run_virtually(outage_seen_by_novita())

    book.figure("U2", "silence at Novita after the breaker opened, shortest", seen["shortest"], at_least=60, unit="s")
    book.figure("U2", "silences in 200 s of outage, four callers a second", seen["silences"], at_least=3)
    # A probe takes a second there and back: two that are closer were under way together.
    book.figure("U2", "from one probe to the next, shortest (a probe takes 1 s)", seen["closest"], at_least=1, unit="s")
