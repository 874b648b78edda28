"""A provider double in virtual time: machines take their time, answers get lost, and the list lags and lies where the test says so.

`ScriptedProvider` does everything at once; this one drives its machines by the clock. `fail` scripts the next calls of a method, with or
without the effect having happened; `lists` says for each sweep how the list misbehaves; `log` holds every call with its time. Single reads
tell the truth.
"""

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from novitai.domain.errors import Broken, Gone, InvalidState, ProviderFailure
from novitai.domain.ids import MachineId
from novitai.domain.instance import Instance
from novitai.domain.machine import BillingMode, Machine, MachineStatus, PortMapping, SpotStatus
from novitai.domain.metrics import MachineMetrics, Sample, Window
from novitai.ports.provider import Call, MachineOrder, MachinePage, ProviderJob, ProviderJobQuery, ProviderJobs
from novitai.ports.world import Clock
from support import builders
from support.scripted_provider import ScriptedProvider

Path = tuple[tuple[float, MachineStatus], ...]

UP: Path = ((0.0, MachineStatus.PENDING), (5.0, MachineStatus.STARTING), (20.0, MachineStatus.RUNNING))
DOWN: Path = ((0.0, MachineStatus.STOPPING), (8.0, MachineStatus.STOPPED))
AGAIN: Path = ((0.0, MachineStatus.RESTARTING), (10.0, MachineStatus.RUNNING))
GONE: Path = ((0.0, MachineStatus.REMOVING), (6.0, MachineStatus.REMOVED))
MOVED: Path = ((0.0, MachineStatus.MIGRATING), (120.0, MachineStatus.RUNNING))
STUCK: Path = ((0.0, MachineStatus.MIGRATING),)

CHANGING = frozenset({"create", "start", "stop", "restart", "delete", "migrate"})
LIES = (
    "empty",  # nothing, and a total of nothing
    "truncated",  # half of the machines, with the true total
    "short",  # half of the machines, and the total says the same
    "blank",  # nothing, with the true total
    "repeat",  # every page is the first one
    "unpaged",  # every page holds everything
    "reordered",  # backwards on every other page
    "endless",  # a total that no list can reach
    "stale",  # as it was `stale_seconds` ago
)


@dataclass(frozen=True)
class Made:
    """One call that arrived."""

    method: str
    at: float
    argument: Any = None


@dataclass
class Failing:
    """A scripted failure. `effect`: it is done all the same. `sent` False: it never left us."""

    failure: BaseException
    effect: bool = False
    sent: bool = True


@dataclass
class Move:
    """A migration of Novita's: its job. `fails_at`: when it is given up, with the machine left `migrating`."""

    job: ProviderJob
    began: float
    fails_at: float | None = None

    def at(self, now: float, machine: Machine | None) -> ProviderJob:
        state = "running"
        if self.fails_at is not None:
            state = "fail" if now >= self.fails_at else "running"
        elif machine is not None and machine.status is not MachineStatus.MIGRATING:
            state = "break" if machine.status.leaving else "success"
        error = "migrate instance failed: target node not ready" if state == "fail" else ""
        return msgspec.structs.replace(self.job, state=state, error=error)


@dataclass
class Kept:
    """A machine of the account and what it will be when. `moved`: what else is true once a migration is over."""

    machine: Machine
    born: float
    coming: list[tuple[float, MachineStatus]] = field(default_factory=list)
    was: list[tuple[float, MachineStatus]] = field(default_factory=list)
    moved: dict[str, Any] = field(default_factory=dict)

    def follow(self, path: Path, *, now: float) -> None:
        self.coming = [(now + after, status) for after, status in path]
        self.at(now)

    def at(self, now: float) -> Machine:
        while self.coming and self.coming[0][0] <= now:
            when, status = self.coming.pop(0)
            self.was.append((when, self.machine.status))
            ended, self.moved = (self.moved, {}) if status is not MachineStatus.MIGRATING else ({}, self.moved)
            self.machine = msgspec.structs.replace(self.machine, status=status, provider_status=str(status), **ended)
        return self.machine

    def status_at(self, moment: float) -> MachineStatus:
        return next((status for changed, status in self.was if changed > moment), self.machine.status)


class TimedProvider(ScriptedProvider):
    """See the module's text. Durations may be changed at any time."""

    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.kept: dict[MachineId, Kept] = {}
        self.log: list[Made] = []
        self.up, self.down, self.again, self.gone, self.moving = UP, DOWN, AGAIN, GONE, MOVED
        self.move_fails_after: float | None = None
        """Migrations asked for from now on fail after so long, and leave their machine `migrating`."""
        self.moves: list[Move] = []
        self.jobs_beyond = 0
        """How many jobs the total counts that no page shows."""
        self.list_lag = 0.0
        self.stale_seconds = 60.0
        self.metrics_lag = 60.0
        self.load: Callable[[MachineId, float], tuple[float, float] | None] = lambda _machine, _at: None
        """GPU and CPU use of a machine at a moment, in percent; None: nothing was measured."""
        self.seconds: dict[str, float] = {}
        self.lists: deque[str] = deque()
        self.lie: Callable[[], str] = lambda: ""
        self.trouble: Callable[[str], ProviderFailure | None] = lambda _: None
        self._failing: dict[str, deque[Failing]] = defaultdict(deque)
        self._lying = ""
        self._made = 0

    # ── arranging ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def fail(self, method: str, *failures: BaseException, effect: bool = False, sent: bool = True) -> None:
        """Let the next calls of a method fail like this."""
        self._failing[method] += [Failing(failure, effect, sent) for failure in failures]

    def keep(self, machine: Machine) -> Kept:
        """Let the account have this machine."""
        kept = Kept(machine, born=self._clock.now() - 3600.0)
        self.kept[machine.id] = kept
        return kept

    def vanish(self, machine_id: str) -> None:
        """Nobody knows of this machine any more."""
        del self.kept[MachineId(machine_id)]

    def becomes(self, machine_id: str, path: Path, **fields: Any) -> None:
        """Somebody outside of us, or Novita, does something to a machine."""
        kept = self.kept[MachineId(machine_id)]
        kept.machine = msgspec.structs.replace(kept.machine, **fields)
        kept.follow(path, now=self._clock.now())

    def moves_by_itself(self, machine_id: str) -> None:
        """Novita migrates a machine without having been asked."""
        self._move(MachineId(machine_id), "autoInstanceMigrate")

    # ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def present(self) -> list[Machine]:
        """Machines that exist now and are not gone."""
        now = self._clock.now()
        return [kept.at(now) for kept in self.kept.values() if kept.at(now).status is not MachineStatus.REMOVED]

    def made(self, *methods: str) -> list[Made]:
        """Calls that arrived, in order."""
        return [one for one in self.log if one.method in methods]

    def changes(self) -> list[Made]:
        """Calls that were to change something."""
        return [one for one in self.log if one.method in CHANGING]

    # ── the port ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def machines(self, page: int, page_size: int, call: Call) -> MachinePage:
        await self._arrives("machines", call, page)
        if page == 1:
            self._lying = self.lists.popleft() if self.lists else self.lie()
        return self._page(page, page_size)

    async def machine(self, machine_id: MachineId, call: Call) -> Machine:
        await self._arrives("machine", call, machine_id)
        kept = self._kept(machine_id)
        running = kept.at(self._clock.now()).status is MachineStatus.RUNNING
        return msgspec.structs.replace(kept.machine, detailed=True, connection=builders.SSH if running else None)

    async def create(self, order: MachineOrder, call: Call) -> MachineId:
        return await self._done("create", call, order, lambda: self._create(order))

    async def start(self, machine_id: MachineId, call: Call) -> None:
        await self._done("start", call, machine_id, lambda: self._follow(machine_id, self.up))

    async def stop(self, machine_id: MachineId, call: Call) -> None:
        await self._done("stop", call, machine_id, lambda: self._follow(machine_id, self.down))

    async def restart(self, machine_id: MachineId, call: Call) -> None:
        await self._done("restart", call, machine_id, lambda: self._follow(machine_id, self.again))

    async def delete(self, machine_id: MachineId, call: Call) -> None:
        await self._done("delete", call, machine_id, lambda: self._follow(machine_id, self.gone))

    async def migrate(self, machine_id: MachineId, call: Call) -> None:
        await self._done("migrate", call, machine_id, lambda: self._move(machine_id, "instanceMigrate"))

    async def jobs(self, query: ProviderJobQuery, call: Call) -> ProviderJobs:
        await self._arrives("jobs", call, query)
        now = self._clock.now()
        told = [move.at(now, self._seen(move.job.instance_id)) for move in reversed(self.moves)]
        found = [
            job
            for job in [*self.known_jobs, *told]
            if query.type in ("", job.type)
            and query.state in ("", job.state)
            and query.start_time <= job.created_at
            and (not query.end_time or job.created_at <= query.end_time)
        ]
        page = found[(query.page - 1) * query.page_size : query.page * query.page_size]
        return ProviderJobs(jobs=tuple(page), total=len(found) + self.jobs_beyond, source="public")

    async def metrics(self, machine_id: MachineId, window: Window, call: Call) -> MachineMetrics:
        await self._arrives("metrics", call, machine_id)
        newest = min(window.until or self._clock.now(), self._clock.now() - self.metrics_lag)
        moments = range(int(window.since), int(newest) + 1, window.interval)
        loads = [(float(at), load) for at in moments if (load := self.load(machine_id, float(at))) is not None]
        return MachineMetrics(
            gpu=tuple(Sample(at, gpu) for at, (gpu, _) in loads), cpu=tuple(Sample(at, cpu) for at, (_, cpu) in loads)
        )

    # ── how ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _called(self, method: str, call: Call, argument: Any = None) -> None:
        await self._arrives(method, call, argument)

    async def _arrives(self, method: str, call: Call, argument: Any) -> None:
        await self._done(method, call, argument, lambda: None)

    async def _done(self, method: str, call: Call, argument: Any, effect: Callable[[], Any]) -> Any:
        failing = self._failing[method].popleft() if self._failing[method] else None
        if failing is not None and not failing.sent:
            raise failing.failure
        if call.before_send is not None:
            await call.before_send()
        self.log.append(Made(method, self._clock.now(), argument))
        if self.seconds.get(method):
            await self._clock.sleep(self.seconds[method])
        trouble = self.trouble(method)
        if failing is None and trouble is not None:
            raise trouble
        result = effect() if failing is None or failing.effect else None
        if failing is not None:
            raise failing.failure
        return result

    def _create(self, order: MachineOrder) -> MachineId:
        now = self._clock.now()
        self._made += 1
        machine_id = MachineId(f"{self._made:016x}")
        ports = tuple(PortMapping(p.port, p.type, f"https://{machine_id}-{p.port}.example.test") for p in order.ports)
        machine = builders.machine(
            MachineStatus.PENDING,
            id=machine_id,
            name=order.machine_name,
            image_url=order.image_url,
            product_id=order.offer.product_id,
            product_name=order.offer.product_name,
            cluster_id=order.offer.cluster_id,
            region=order.offer.region,
            gpu_num=order.offer.gpu_num,
            billing_mode=order.offer.billing_mode,
            ports=ports,
            created_at=now,
        )
        kept = Kept(machine, born=now)
        kept.follow(self.up, now=now)
        self.kept[machine_id] = kept
        return machine_id

    def _follow(self, machine_id: MachineId, path: Path) -> None:
        self._kept(machine_id).follow(path, now=self._clock.now())

    def _move(self, machine_id: MachineId, kind: str) -> None:
        now, kept = self._clock.now(), self._kept(machine_id)
        taken = kept.at(now).status in {MachineStatus.RUNNING, MachineStatus.STOPPED}
        if not taken or kept.machine.spot_status in {SpotStatus.NOTIFIED, SpotStatus.RECLAIMING}:
            raise InvalidState("invalid state change", reason="CONFLICT", status=400)
        fails = None if self.move_fails_after is None else now + self.move_fails_after
        job = ProviderJob(
            id=f"job{len(self.moves) + 1:013d}",
            type=kind,
            state="running",
            error="",
            instance_id=machine_id,
            created_at=float(int(now)),
        )
        self.moves.append(Move(job, now, fails))
        spot = kept.machine.billing_mode is BillingMode.SPOT
        kept.moved = {"reclaim_at": 0.0, "spot_status": SpotStatus.RUNNING if spot else SpotStatus.NONE}
        kept.follow(self.moving if fails is None else STUCK, now=now)

    def _seen(self, machine_id: str) -> Machine | None:
        kept = self.kept.get(MachineId(machine_id))
        return kept.at(self._clock.now()) if kept is not None else None

    def _kept(self, machine_id: MachineId) -> Kept:
        kept = self.kept.get(machine_id)
        if kept is None or kept.at(self._clock.now()).status is MachineStatus.REMOVED:
            raise Gone(f"no machine {machine_id}", status=404)
        return kept

    def _page(self, page: int, page_size: int) -> MachinePage:
        now, lie = self._clock.now(), self._lying
        if lie == "error":
            raise Broken("not a list")
        youngest = now - self.list_lag
        visible = [
            kept.at(now) if kept.coming else kept.machine for kept in self.kept.values() if kept.born <= youngest
        ]
        shown = [machine for machine in visible if machine.status is not MachineStatus.REMOVED]
        if lie == "stale":
            shown = [
                msgspec.structs.replace(kept.at(now), status=kept.status_at(now - self.stale_seconds))
                for kept in self.kept.values()
                if now - kept.born >= self.stale_seconds
            ]
        total = len(shown)
        if lie in {"empty", "blank"}:
            return MachinePage(machines=(), total=total if lie == "blank" else 0)
        if lie in {"truncated", "short"}:
            shown = shown[: total // 2]
            total = total if lie == "truncated" else len(shown)
        if lie == "endless":
            total += 1_000_000
        if lie == "reordered" and page % 2 == 0:
            shown.reverse()
        if lie == "unpaged":
            return MachinePage(machines=tuple(shown), total=total)
        first = 0 if lie == "repeat" else (page - 1) * page_size
        return MachinePage(machines=tuple(shown[first : first + page_size]), total=total)


def machine_of(instance: Instance) -> MachineId:
    """The id of the present machine."""
    assert instance.machine is not None
    return instance.machine.id
