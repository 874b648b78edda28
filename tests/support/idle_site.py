"""The whole program watching machines whose use is known to the second, on days full of trouble, before the simulated Novita.

Uses are made up: loads are set in the simulator, or told through last-used. Trouble: metrics and lists that fail, stale or cut lists, stops that
are not answered, a clock that is set, a process that is killed and begun again. Each stop that arrives at Novita is noted with the truth of that
moment, which the program never sees, and with what the audit log holds of it.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import Port
from novitai.novita.calls import Reply, Request
from novitai.operations.metering import AFTER_FAILURE
from novitai.operations.receipts import Answer
from novitai.operations.requests import CreateRequest, VerbRequest
from novitai.policies.usage import STALE_SECONDS
from support.idling import ON, RULE
from support.running import context
from support.simulation_loop import LoopClock
from support.virtual_site import Site

STEP = 10.0
USE_CHANCE, TELL_CHANCE, START_CHANCE, TROUBLE_CHANCE = 0.006, 0.003, 0.05, 0.006
"""In each step."""
USUAL_LAG = 60.0
NOTICED = 300.0 + STEP
"""A clock that was set is noticed at the next check, which is five minutes away at most."""
READ_AGAIN = AFTER_FAILURE + 60.0
"""After metrics could not be read: the machine rests, and the calls that failed have used up the cap of that minute."""
TROUBLES = ("metrics", "holes", "list", "stop", "clock", "killed")
LIST_TROUBLES = ("html", "malformed", "empty", "short-list", "stale")
METRIC_TROUBLES = ("html", "malformed", "hang", "wrong-types", "empty")
Span = tuple[float, float]


class SetClock(LoopClock):
    """A clock that is set now and then; waiting takes as long as ever."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


@dataclass
class Life:
    """The truth of one instance since it was last ready."""

    ready_at: float | None = None
    busy: list[Span] = field(default_factory=list)
    told: list[float] = field(default_factory=list)
    until: float = 0.0  # when the present use is to end
    noted: float = 0.0  # the latest moment that the process noted of it, by its clock
    stopped: bool = False

    def used(self, before: float, *, blind: float) -> float:
        """The last moment of use before a moment; what was measured in the last `blind` seconds is not known yet."""
        seen = before - blind
        measured = [min(end, seen) for start, end in self.busy if start < seen]
        return max([self.ready_at or 0.0, *(at for at in self.told if at <= before), *measured])


@dataclass(frozen=True)
class Stop:
    """A stop that arrived: how long the machine had been unused as far as could be known, how late it came, whether it is explained."""

    unused_for: float
    late_by: float
    explained: bool

    @property
    def false(self) -> bool:
        return self.unused_for < RULE.idle_seconds


class IdleSite:
    """See the module's text. All times are true ones."""

    def __init__(self, *, seed: int, machines: int, troubles: Sequence[str] = TROUBLES) -> None:
        loop = asyncio.get_running_loop()
        self.chance = random.Random(seed)
        self.clock, self.wall = LoopClock(loop), SetClock(loop)
        self.site = Site(self.clock, wall=self.wall, **(ON | {"INSTANCE_POLL_INTERVAL": "60s"}))
        self.stops: list[Stop] = []
        self.met: Counter[str] = Counter()
        self._machines = machines
        self._kinds = troubles
        self._lives: dict[str, Life] = {}
        self._troubles: list[Span] = []
        self._set_at: list[float] = []
        self._counted = 0

    async def run(self, seconds: float) -> list[Stop]:
        """Let so much time pass; every stop by the policy in it."""
        await self.site.begin()
        for number in range(self._machines):
            self._lives[await self._made(number)] = Life()
        end = self.clock.now() + seconds
        while self.clock.now() < end:
            await self.clock.sleep(STEP)
            await self._trouble()
            for instance_id, life in tuple(self._lives.items()):
                await self._live(instance_id, life)
            await self._note_stops()
        await self.site.end()
        return self.stops

    # ── people ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _made(self, number: int) -> str:
        request = CreateRequest(
            name=f"n{number}", product_name="RTX 4090", image_url="ubuntu:22.04", ports=(Port(8080, "http"),)
        )
        creation = self.site.program.operations.creation
        made = await creation.create(request, context(), lambda created: Answer(status=201, body=created.instance.id))
        return made.instance.id

    async def _live(self, instance_id: str, life: Life) -> None:
        snapshot = self.site.program.operations.reads.get(instance_id)
        assert snapshot is not None
        state, now = snapshot.instance.state, self.clock.now()
        if state is State.STOPPED and self.chance.random() < START_CHANCE:
            verbs = self.site.program.operations.verbs
            await verbs.perform(
                instance_id, Verb.START, VerbRequest(), context(), lambda _: Answer(status=202, body="")
            )
            self._lives[instance_id] = Life()
        elif state is State.READY:
            if life.ready_at is None:
                life.ready_at, life.noted = now - STEP, self.wall.now()
            await self._use(instance_id, life, now)

    async def _use(self, instance_id: str, life: Life, now: float) -> None:
        chance = self.chance
        if life.busy and life.busy[-1][1] == inf:
            if now >= life.until:
                life.busy[-1] = (life.busy[-1][0], now)
                self._load(instance_id)
        elif chance.random() < USE_CHANCE:
            life.busy.append((now, inf))
            life.until = now + chance.choice((60.0, 300.0, 1500.0)) * chance.uniform(0.7, 1.3)
            self._load(instance_id, **chance.choice(({"gpu": 85.0}, {"cpu": 60.0})))
        if chance.random() < TELL_CHANCE:
            await self.site.program.operations.verbs.last_used(instance_id, None, context())
            life.told.append(now)
            life.noted = max(life.noted, self.wall.now())

    def _load(self, instance_id: str, *, gpu: float = 0.0, cpu: float = 3.0) -> None:
        for machine in self.site.present(instance_id):
            self.site.perform("load", instanceId=machine.id, gpu=gpu, cpu=cpu)

    # ── trouble ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _trouble(self) -> None:
        """One at a time: it begins, lasts, and is over."""
        chance, now = self.chance, self.clock.now()
        if self._troubles and self._troubles[-1][1] > now:
            return
        if self._troubles and self._troubles[-1][1] > now - STEP:
            self.site.novita.sound()
            self.site.novita.spoil = lambda _request, reply: reply
            self.wall.ahead = 0.0
        if chance.random() > TROUBLE_CHANCE:
            return
        kind = chance.choice(self._kinds)
        if kind == "killed" and self._set_at and now - self._set_at[-1] < NOTICED:
            return  # who ends before noticing that the clock was set can never know of it
        self.met[kind] += 1
        lasts = {"killed": chance.uniform(1.0, 20.0), "list": chance.uniform(30.0, 300.0)}
        self._troubles.append((now, now + lasts.get(kind, chance.uniform(30.0, 1500.0))))
        match kind:
            case "metrics":
                self.site.novita.fault("GET .*metrics", chance.choice(METRIC_TROUBLES), count=-1)
            case "holes":
                self.site.novita.spoil = _without_measurements
            case "list":
                self.site.novita.fault("GET .*gpu/instances", chance.choice(LIST_TROUBLES), count=-1)
            case "stop":
                self.site.novita.fault(
                    "POST .*instance/stop", "status", status=500, count=3, afterEffect=chance.random() < 0.5
                )
            case "clock":
                self._set_at += self._troubles[-1]
                self.wall.ahead = chance.choice((-1.0, 1.0)) * chance.choice((5.0, 45.0, 600.0, 3600.0))
            case "killed":
                self.site.kill()
                await self.clock.sleep(lasts["killed"])
                await self.site.begin()

    # ── the verdict ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _note_stops(self) -> None:
        calls = self.site.made("stop")
        for call in calls[self._counted :]:
            instance_id = self.site.owner(call)
            life = self._lives[instance_id]
            if life.stopped:
                continue  # the same one, asked for again after an unclear answer
            life.stopped = True
            at = call.received_at
            ahead = max(0.0, self.wall.ahead)  # a clock that is ahead sees every measurement that much older
            used = life.used(at, blind=STALE_SECONDS + ahead)
            known = life.used(at, blind=USUAL_LAG)
            explained = await self._explained(instance_id)
            self.stops.append(Stop(unused_for=at - used, late_by=at - self._due(life, known, at), explained=explained))
        self._counted = len(calls)

    def _due(self, life: Life, used: float, at: float) -> float:
        """The threshold after the last use. While something was in trouble nothing was known, and its end counts as a use. So does a
        clock that is set, from when that is noticed; what a clock ahead noted counts from when the clock, set right, comes to it.
        """
        unsure = [*(end for _, end in self._troubles), *(moment + NOTICED for moment in self._set_at), life.noted]
        last = max((moment for moment in unsure if moment <= at), default=0.0)
        return max(used, last) + RULE.idle_seconds + (RULE.warn_seconds + READ_AGAIN if last > used else 0.0)

    async def _explained(self, instance_id: str) -> bool:
        """Whether the latest stop of an instance is in the audit log with its evidence: one sentence, and every signal with its age."""
        page, _, _ = await self.site.program.operations.audit.page(key=f"target:{instance_id}", before=None, limit=20)
        entry = next((entry for entry in page if entry.action == "instance.stop"), None)
        if entry is None or entry.by != "idle" or "no use is known since" not in entry.detail.get("because", ""):
            return False
        signals = entry.detail["facts"]["signals"]
        return {one["name"] for one in signals} == {"last-used", "gpu", "cpu"} and all(one["idle"] for one in signals)


def _without_measurements(request: Request[Any], reply: Reply) -> Reply:
    return replace(reply, body=b"{}") if request.path.startswith("/metrics") else reply
