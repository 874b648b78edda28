"""Weeks on a spot market, with the whole program before the simulated Novita: machines are taken back, with notice and without, while people
and the idle stop have their own ideas, Novita has bad days, and the process is killed.

What is promised of moves is judged from what Novita saw and what the receiver was told (`spot_verdict`). `wants` is the word of the people, kept
here, never read from the program.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from novita_simulator.machine import Machine
from novitai.domain.errors import Refusal
from novitai.domain.idle import AutoStop
from novitai.domain.instance import Verb
from novitai.domain.machine import Port
from novitai.domain.migration import Migration, Strategy
from novitai.operations.receipts import Answer
from novitai.operations.requests import CreateRequest, VerbRequest
from support.running import context
from support.simulation_loop import LoopClock
from support.virtual_site import Site

STEP = 10.0
HOUR = 3600.0
POLL = 60.0
NOTICES = (0.0, 0.0, 60.0, 120.0, 300.0, 300.0, 600.0, 3600.0)
"""Seconds from the notice to the deadline; 0: taken back without a word. Novita says an hour; shorter ones are harder."""
CALM_BETWEEN = 4.5 * HOUR
"""Between two reclaims of one instance: an instance that moves too often is left alone, on purpose."""
RECLAIM_CHANCE = STEP / (4 * HOUR)
STOP_CHANCE = STEP / (30 * HOUR)
START_CHANCE = STEP / (1 * HOUR)
TROUBLE_CHANCE = STEP / (6 * HOUR)
TROUBLES = (
    "lists fail",
    "creates fail",
    "creates are lost",
    "no capacity",
    "migrations are lost",
    "migrations fail",
    "deletes fail",
    "killed",
)
SETTINGS = {
    "MIGRATION_ENABLED": "true",
    "MIGRATION_MAX_CONCURRENT": "50",
    "INSTANCE_POLL_INTERVAL": f"{POLL:g}s",
    "INSTANCE_FAST_POLL_INTERVAL": "10s",
    "AUTO_STOP_ENABLED": "false",
    "AUTO_STOP_WARN": "5m",
}
Span = tuple[float, float]


@dataclass
class Tenant:
    """One instance and what its people think of it. `wanted`: every word about whether it is to run, with its moment, in order."""

    id: str
    name: str
    strategy: Strategy
    protect: bool = False
    idle: bool = False
    wanted: list[tuple[float, bool, str]] = field(default_factory=list)
    last_taken: float = 0.0

    @property
    def moves(self) -> bool:
        return not self.protect and self.strategy is not Strategy.NOTIFY_ONLY

    def wants(self, at: float) -> bool:
        """The word that holds at a moment."""
        return [runs for said, runs, _ in self.wanted if said <= at][-1]

    def steady(self, since: float, until: float) -> bool:
        """Whether nobody said anything between."""
        return not any(since <= said <= until for said, _, _ in self.wanted)


@dataclass(frozen=True)
class Taken:
    """A machine that Novita takes back: when that became visible, and when the machine is to be gone."""

    tenant: Tenant
    machine_id: str
    visible_at: float
    deadline: float

    @property
    def announced(self) -> bool:
        return self.deadline > self.visible_at


class SpotMarket:
    """See the module's text. `haste`: by how much more often people stop and Novita takes back than usual."""

    def __init__(self, *, seed: int, tenants: int, troubles: Sequence[str] = TROUBLES, haste: float = 1.0) -> None:
        self.chance = random.Random(seed)
        self.clock = LoopClock(asyncio.get_running_loop())
        self.site = Site(self.clock, **SETTINGS)
        self.tenants: list[Tenant] = []
        self.taken: list[Taken] = []
        self.troubles: list[Span] = []
        self.met: Counter[str] = Counter()
        self._count = tenants
        self._kinds = troubles
        self._haste = haste
        self._stops_seen = 0
        self.vanished: dict[str, float] = {}
        self._trouble_due: list[float] = []
        self._vanishes: list[tuple[float, str]] = []

    async def run(self, seconds: float, *, rest: float = 3 * HOUR) -> None:
        """Let so much time pass, and then as much more as everything needs to come to rest."""
        await self.site.begin()
        await self.clock.sleep(1.0)
        for number in range(self._count):
            self.tenants.append(await self._moves_in(number))
        end = self.clock.now() + seconds
        while self.clock.now() < end:
            await self.clock.sleep(STEP)
            await self._trouble()
            for tenant in self.tenants:
                await self._live(tenant)
            self._let_vanish()
            self._note_idle_stops()
        self._calm()
        await self.clock.sleep(rest)
        self._note_idle_stops()
        await self.site.end()

    def calm(self, since: float, until: float) -> bool:
        """Whether there was no trouble between."""
        return not any(began <= until and ended >= since for began, ended in self.troubles)

    def spans(self, tenant: Tenant) -> list[tuple[float, float, Machine]]:
        """From when to when each of its machines was there: made, until it was on its way out or vanished."""
        return [(one.created_at, self._left_at(one), one) for one in self.site.ever(tenant.id)]

    def _left_at(self, machine: Machine) -> float:
        leaving = (at for at, status in machine.history if status in {"toRemove", "removing", "removed"})
        return min(leaving, default=self.vanished.get(machine.id, inf))

    # ── people ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _moves_in(self, number: int) -> Tenant:
        strategy = Strategy.NOTIFY_ONLY if number % 10 == 8 else (Strategy.REPLACE, Strategy.MIGRATE)[number % 2]
        tenant = Tenant("", f"n{number}", strategy, protect=number % 10 == 9, idle=number % 10 in {4, 5})
        request = CreateRequest(
            name=tenant.name,
            product_name="RTX 4090",
            image_url="ubuntu:22.04",
            ports=(Port(8080, "http"),),
            protect=tenant.protect,
            migration=Migration(strategy=strategy),
            auto_stop=AutoStop(enabled=True, idle_seconds=2 * HOUR) if tenant.idle else None,
        )
        creation = self.site.program.operations.creation
        made = await creation.create(request, context(), lambda created: Answer(status=201, body=created.instance.id))
        tenant.id = made.instance.id
        tenant.wanted.append((self.clock.now(), True, "created"))
        return tenant

    async def _live(self, tenant: Tenant) -> None:
        now, chance = self.clock.now(), self.chance
        if tenant.wants(now):
            if chance.random() < STOP_CHANCE * self._haste * (8.0 if now - tenant.last_taken < HOUR else 1.0):
                await self._say(tenant, Verb.STOP)
            elif (
                chance.random() < RECLAIM_CHANCE * self._haste and now - tenant.last_taken > CALM_BETWEEN / self._haste
            ):
                self._take_back(tenant)
        elif chance.random() < START_CHANCE:
            await self._say(tenant, Verb.START)

    async def _say(self, tenant: Tenant, verb: Verb) -> None:
        verbs = self.site.program.operations.verbs
        try:
            await verbs.perform(tenant.id, verb, VerbRequest(), context(), lambda _: Answer(status=202, body=""))
        except Refusal:
            return
        tenant.wanted.append((self.clock.now(), verb is Verb.START, "said"))

    def _note_idle_stops(self) -> None:
        """A stop that no person asked for is the idle stop's word."""
        calls = self.site.made("stop")
        for call in calls[self._stops_seen :]:
            tenant = next(one for one in self.tenants if one.id == self.site.owner(call))
            if tenant.wants(call.received_at):
                tenant.wanted.append((call.received_at, False, "idle"))
        self._stops_seen = len(calls)

    # ── Novita ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _take_back(self, tenant: Tenant) -> None:
        """Novita wants the machine for somebody else."""
        running = [
            one for one in self.site.present(tenant.id) if one.status == "running" and one.spot.status == "running"
        ]
        if len(running) != 1:
            return
        now, notice = self.clock.now(), self.chance.choice(NOTICES)
        self.site.perform("reclaim", instanceId=running[0].id, noticeSeconds=notice)
        self.taken.append(Taken(tenant, running[0].id, now, now + notice))
        tenant.last_taken = now + notice
        if self.chance.random() < 0.5:
            self._trouble_due.append(now + self.chance.uniform(-STEP, notice + 120.0))
        if notice > 3 * POLL and self.chance.random() < 0.15:
            self._vanishes.append((now + notice + STEP, running[0].id))

    def _let_vanish(self) -> None:
        """Some that are taken, and were seen to be, are gone at once instead of standing still."""
        due = [machine_id for at, machine_id in self._vanishes if at <= self.clock.now()]
        self._vanishes = [one for one in self._vanishes if one[0] > self.clock.now()]
        for machine_id in due:
            machine = self.site.novita.stage.world.machines.get(machine_id)
            if machine is not None and machine.spot.status in {"reclaiming", "terminated"}:
                self.site.perform("out-of-band", instanceId=machine_id, verb="vanish")
                self.vanished[machine_id] = self.clock.now()

    async def _trouble(self) -> None:
        """One at a time."""
        chance, now = self.chance, self.clock.now()
        if self.troubles and self.troubles[-1][1] > now:
            return
        if self.troubles and self.troubles[-1][1] > now - STEP:
            self._calm()
        due = [at for at in self._trouble_due if at <= now]
        self._trouble_due = [at for at in self._trouble_due if at > now]
        if not self._kinds or (not due and chance.random() > TROUBLE_CHANCE):
            return
        kind = chance.choice(self._kinds)
        self.met[kind] += 1
        lasts = chance.uniform(1.0, 20.0) if kind == "killed" else chance.uniform(20.0, 600.0)
        self.troubles.append((now, now + lasts))
        if kind == "killed":
            self.site.kill()
            await self.clock.sleep(lasts)
            await self.site.begin()
        else:
            self._begin(kind)

    def _begin(self, kind: str) -> None:
        fault, chance = self.site.novita.fault, self.chance
        match kind:
            case "lists fail":
                fault("GET .*gpu/instances", chance.choice(("html", "empty", "short-list", "stale", "reset")), count=-1)
            case "creates fail":
                fault("POST .*instance/create", "status", status=500, count=4)
            case "creates are lost":
                fault("POST .*instance/create", chance.choice(("reset", "status")), count=2, afterEffect=True)
            case "no capacity":
                fault("POST .*instance/create", "status", status=400, reason="INSUFFICIENT_RESOURCE", count=-1)
                fault("POST .*migrate", "status", status=400, reason="MIGRATE_INSUFFICIENT_RESOURCE", count=-1)
            case "migrations are lost":
                fault("POST .*migrate", "reset", count=2, afterEffect=chance.random() < 0.5)
            case "migrations fail":
                self.site.perform("config", switches={"migrationOutcome": "fail"})
            case "deletes fail":
                fault("POST .*instance/delete", "status", status=500, count=5, afterEffect=chance.random() < 0.5)

    def _calm(self) -> None:
        self.site.novita.sound()
        self.site.perform("config", switches={"migrationOutcome": "success"})
