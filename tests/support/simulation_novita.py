"""Novita on a bad day, in virtual time: answers get lost, effects come late, lists lie, machines never come up.

It builds on the timed provider. What a call comes to is drawn when it arrives, and what it sets in motion happens in the world even if the
caller is not there any more to hear the answer. Bounds are those that the design counts on: what a create made is in the list within the
settle time, another effect shows within half a minute, "not found" is said at most once of a machine that exists.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from novitai.domain.errors import (
    Broken,
    Code,
    Gone,
    InvalidState,
    NoBalance,
    NoCapacity,
    NotAllowed,
    ProviderFailure,
    QuotaExceeded,
    Rejected,
    TryLater,
    Unclear,
)
from novitai.domain.ids import MachineId, marker_of
from novitai.domain.machine import Machine, MachineStatus
from novitai.ports.provider import Call, MachineOrder, MachinePage
from support import builders
from support.simulation_stage import Stage
from support.timed_provider import AGAIN, CHANGING, DOWN, GONE, LIES, Kept, Path, TimedProvider

S = MachineStatus
CALL_SECONDS = 30.0
LATE_SECONDS = {"create": 40.0}
USUALLY_LATE_SECONDS = 15.0
LONGEST_LIST_LAG = 15.0
MAKES_READY = frozenset({"create", "start"})
REFUSALS: dict[type, str] = {
    NoCapacity: "no capacity",
    NoBalance: "no balance",
    QuotaExceeded: "quota",
    Rejected: "rejected",
    TryLater: "too many requests",
}
NOT_WHOLE = frozenset({"blank", "truncated", "endless"})
"""Lists that show fewer machines than they say there are. None of the others hides a machine that nobody could miss."""
TAKEN_WHEN = {
    "start": frozenset({S.STOPPED}),
    "stop": frozenset({S.RUNNING}),
    "restart": frozenset({S.RUNNING}),
    "delete": frozenset(S) - {S.REMOVING, S.REMOVED},
    "migrate": frozenset({S.RUNNING, S.STOPPED}),
}
"""The statuses in which Novita takes each action (novita-wire.md 7.1)."""


@dataclass
class Arrived:
    """A call that reached Novita. `ended` and `answer` are known when it was answered, or cut off with its caller."""

    method: str
    at: float
    machine_id: str
    name: str = ""
    ended: float | None = None
    answer: str = "cut off"
    done_at: float | None = None
    whole_list: bool = False

    @property
    def unclear(self) -> bool:
        return self.answer in {"Unclear", "cut off"}


@dataclass
class Fate:
    """What a call comes to: when it is answered, with what failure, and when it takes effect (None: never)."""

    answered_after: float
    failure: ProviderFailure | None = None
    effect_after: float | None = 0.0


class BadNovita(TimedProvider):
    """See the module's text."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(clock=stage.clock)
        self.stage = stage
        self.arrived: list[Arrived] = []
        self.first_ran: dict[MachineId, float] = {}
        self.list_lag = stage.chance.uniform(0.0, LONGEST_LIST_LAG) if stage.chance.random() < 0.5 else 0.0
        self.stale_seconds = LONGEST_LIST_LAG
        self.longest_page = stage.chance.choice((100, 100, 2))
        self.is_known: Callable[[MachineId], bool] = lambda _: False
        self.down, self.again, self.gone = DOWN, AGAIN, GONE
        self._denied: set[MachineId] = set()
        self._page_one = ""

    # ── the port ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def create(self, order: MachineOrder, call: Call) -> MachineId:
        return await self._changed("create", call, "", order.machine_name, lambda: self._create(order))

    async def start(self, machine_id: MachineId, call: Call) -> None:
        await self._changed("start", call, machine_id, "", lambda: self._moved("start", machine_id))

    async def stop(self, machine_id: MachineId, call: Call) -> None:
        await self._changed("stop", call, machine_id, "", lambda: self._moved("stop", machine_id))

    async def restart(self, machine_id: MachineId, call: Call) -> None:
        await self._changed("restart", call, machine_id, "", lambda: self._moved("restart", machine_id))

    async def delete(self, machine_id: MachineId, call: Call) -> None:
        await self._changed("delete", call, machine_id, "", lambda: self._moved("delete", machine_id))

    async def migrate(self, machine_id: MachineId, call: Call) -> None:
        await self._changed("migrate", call, machine_id, "", lambda: self._moved("migrate", machine_id))

    async def machines(self, page: int, page_size: int, call: Call) -> MachinePage:
        await self._read("machines", "")
        if page == 1:
            self._page_one = self._lie()
        self._lying = self._page_one
        shown = self._page(page, min(page_size, self.longest_page))
        self._answered("machines", "", self._page_one or "ok")
        self.arrived[-1].whole_list = not shown.total or self._page_one not in NOT_WHOLE
        return shown

    async def machine(self, machine_id: MachineId, call: Call) -> Machine:
        await self._read("machine", machine_id)
        if self._denies(machine_id):
            raise Gone(f"no machine {machine_id}", status=404)
        kept = self._kept(machine_id)
        self._answered("machine", machine_id, "ok")
        running = kept.at(self._clock.now()).status is S.RUNNING
        return msgspec.structs.replace(kept.machine, detailed=True, connection=builders.SSH if running else None)

    async def _arrives(self, method: str, call: Call, argument: Any) -> None:
        await self._read(method, "")

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _read(self, method: str, machine_id: str) -> None:
        stage = self.stage
        late = stage.chance.uniform(1.0, 12.0) if stage.happens("read is late") else 0.05
        await stage.clock.sleep(late)
        failure = self._spell() or self._bad_reading()
        if failure is not None:
            self._answered(method, machine_id, type(failure).__name__)
            raise failure

    def _bad_reading(self) -> ProviderFailure | None:
        if not self.stage.happens("read fails"):
            return None
        return self.stage.chance.choice(
            (
                Broken("<html>bad gateway</html>"),
                TryLater("bad gateway", status=502),
                TryLater("too many", status=429, retry_after=self.stage.chance.choice((None, 5.0)), rate_limited=True),
                TryLater("timed out", code=Code.UPSTREAM_TIMEOUT),
            )
        )

    def _spell(self) -> ProviderFailure | None:
        if self.stage.lasts("key refused"):
            return NotAllowed("invalid api-key", status=401)
        return TryLater("bad gateway", status=502) if self.stage.lasts("outage") else None

    def _lie(self) -> str:
        """What is wrong with the list now. One that hides a machine and looks complete never hides one that nobody could miss."""
        if self.stage.happens("list lies"):
            lie = self.stage.chance.choice(LIES)
            hides = lie in {"empty", "short"}
            return "" if hides and not all(self.is_known(machine.id) for machine in self.present()) else lie
        return "stale" if self.stage.happens("list lags") else ""

    def _denies(self, machine_id: MachineId) -> bool:
        if machine_id in self._denied or machine_id not in self.kept or not self.stage.happens("denied once"):
            return False
        self._denied.add(machine_id)
        self._answered("machine", machine_id, "denied")
        return True

    def _answered(self, method: str, machine_id: str, answer: str) -> None:
        now = self._clock.now()
        self.arrived.append(Arrived(method, now, machine_id, ended=now, answer=answer))
        self.stage.note("novita", method, machine_id, answer)

    # ── changing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _changed(self, method: str, call: Call, machine_id: str, name: str, effect: Callable[[], Any]) -> Any:
        kept_back = self._kept_back()
        if kept_back is not None:
            raise kept_back
        if call.before_send is not None:
            await call.before_send()
        arrived = Arrived(method, self._clock.now(), machine_id, name)
        self.arrived.append(arrived)
        fate = self._fate(method, machine_id)
        self._excuse(arrived, fate)
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Any] = loop.create_future()
        if fate.effect_after is not None:
            loop.call_later(fate.effect_after, self._takes_effect, arrived, effect, result)
        failure, made = fate.failure, None
        try:
            await self._clock.sleep(fate.answered_after)
            if failure is None:
                made = await result
        except ProviderFailure as refused:
            failure = refused
        finally:
            arrived.ended = self._clock.now()
        arrived.answer = "ok" if failure is None else type(failure).__name__
        self.stage.note("novita answers", method, machine_id or name, arrived.answer)
        if failure is not None:
            raise failure
        return made

    def _excuse(self, arrived: Arrived, fate: Fate) -> None:
        """A clear refusal may end a create or a start; whoever asked is told."""
        excuse = REFUSALS.get(type(fate.failure))
        if excuse is None or arrived.method not in MAKES_READY:
            return
        name = arrived.name or self.kept[MachineId(arrived.machine_id)].machine.name
        marker = marker_of(name)
        if marker is not None:
            self.stage.excuse(
                marker.instance_id, excuse + (" for a create" if excuse == "no capacity" and arrived.name else "")
            )

    def _takes_effect(self, arrived: Arrived, effect: Callable[[], Any], result: "asyncio.Future[Any]") -> None:
        try:
            made = effect()
        except ProviderFailure as refused:
            if not result.done():
                result.set_exception(refused)
                result.exception()
            return
        arrived.done_at = self._clock.now()
        if arrived.method == "create":
            arrived.machine_id = made
        self.stage.note("novita does", arrived.method, arrived.machine_id, arrived.name)
        if not result.done():
            result.set_result(made)

    def _kept_back(self) -> ProviderFailure | None:
        if self.stage.happens("kept back by the limiter"):
            return TryLater("the limiter is full", code=Code.RATE_LIMIT_EXCEEDED, retry_after=3.0)
        if self.stage.happens("kept back by the breaker"):
            return TryLater("the breaker is open", code=Code.CIRCUIT_BREAKER_OPEN, retry_after=20.0)
        return None

    def _fate(self, method: str, machine_id: str) -> Fate:
        stage, chance = self.stage, self.stage.chance
        spell = self._spell()
        if isinstance(spell, NotAllowed):
            return Fate(0.1, spell, None)
        if spell is not None:
            return Fate(0.2, Unclear("bad gateway", status=502), chance.choice((None, None, 0.1)))
        late = LATE_SECONDS.get(method, USUALLY_LATE_SECONDS)
        if stage.happens("lost call"):
            return Fate(chance.uniform(0.1, 5.0), Unclear("connection reset"), None)
        if stage.happens("lost answer"):
            return Fate(chance.uniform(0.1, 5.0), Unclear("connection reset"), 0.1)
        if stage.happens("late effect"):
            return Fate(0.1, Unclear("unreadable answer"), chance.uniform(0.1, late))
        if stage.happens("call times out"):
            return Fate(CALL_SECONDS, Unclear("timed out"), chance.choice((None, chance.uniform(0.0, late))))
        refusal = self._refusal(method, machine_id)
        if refusal is not None:
            return refusal
        return Fate(chance.uniform(0.05, 0.4), None, 0.02)

    def _refusal(self, method: str, machine_id: str) -> Fate | None:
        stage = self.stage
        if stage.happens("too many requests"):
            wait = stage.chance.choice((None, 2.0, 30.0))
            return Fate(0.1, TryLater("too many", status=429, retry_after=wait, rate_limited=True), None)
        if method != "create" and MachineId(machine_id) not in self._denied and stage.happens("denied once"):
            self._denied.add(MachineId(machine_id))
            return Fate(0.1, Gone("not found", status=404), None)
        if method != "create" and stage.happens("refused but done"):
            return Fate(0.2, InvalidState("invalid state change", status=400), 0.1)
        if method != "create" and stage.happens("refused"):
            return Fate(0.2, InvalidState("invalid state change", status=400), None)
        if method not in MAKES_READY:
            return None
        for kind, failure in (
            ("no capacity", NoCapacity("insufficient resource")),
            ("no balance", NoBalance("insufficient balance")),
            ("quota", QuotaExceeded("gpu num limit")),
            ("rejected", Rejected("invalid param")),
        ):
            if stage.happens(kind):
                return Fate(0.2, failure, None)
        return None

    # ── machines ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _create(self, order: MachineOrder) -> MachineId:
        self.up = self._boot(order.machine_name)
        machine_id = super()._create(order)
        self._watch_run(machine_id)
        return machine_id

    def _moved(self, method: str, machine_id: MachineId) -> None:
        kept = self._kept(machine_id)
        if kept.at(self._clock.now()).status not in TAKEN_WHEN[method]:
            raise InvalidState("invalid state change", status=400)
        if method == "migrate":
            self._move(machine_id, "instanceMigrate")
            return
        if method == "start":
            self.up = self._boot(kept.machine.name)
        path = {"start": self.up, "stop": self.down, "restart": self.again, "delete": self.gone}[method]
        kept.follow(path, now=self._clock.now())
        if method in {"start", "restart"}:
            self._watch_run(machine_id)

    def _boot(self, name: str) -> Path:
        stage, marker = self.stage, marker_of(name)
        owner = marker.instance_id if marker is not None else ""
        if stage.happens("comes up late"):
            stage.excuse(owner, "comes up late")
            return ((0.0, S.PENDING), (stage.chance.uniform(200.0, 4000.0), S.RUNNING))
        if stage.happens("exits"):
            stage.excuse(owner, "exits")
            return ((0.0, S.PENDING), (4.0, S.STARTING), (9.0, S.STOPPED))
        boot = stage.chance.uniform(3.0, 40.0)
        if stage.chance.random() < 0.3:
            return ((0.0, S.PENDING), (2.0, S.PULLING), (2.0 + boot, S.STARTING), (6.0 + boot, S.RUNNING))
        return ((0.0, S.PENDING), (2.0, S.STARTING), (boot, S.RUNNING))

    def _watch_run(self, machine_id: MachineId) -> None:
        runs = next((when for when, status in self.kept[machine_id].coming if status is S.RUNNING), None)
        if runs is not None:
            self.first_ran.setdefault(machine_id, runs)

    def ran_since(self, machine_id: MachineId) -> float | None:
        """Since when a machine runs without a break; None when it does not run."""
        kept = self.kept.get(machine_id)
        if kept is None or kept.at(self._clock.now()).status is not S.RUNNING:
            return None
        return kept.was[-1][0] if kept.was else kept.born

    def of_instance(self, instance_id: str) -> list[Kept]:
        """Every machine that was ever made for an instance."""
        owned = ((kept, marker_of(kept.machine.name)) for kept in self.kept.values())
        return [kept for kept, marker in owned if marker is not None and marker.instance_id == instance_id]

    def changed(self) -> list[Arrived]:
        """Calls that were to change something, in order of arrival."""
        return [one for one in self.arrived if one.method in CHANGING]
