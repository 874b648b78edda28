"""A whole site in made-up time: the real program with its real client of Novita, the simulated Novita, its machines' applications, a receiver.

What Novita and the receiver keep is the outside evidence. The process may end at any moment, in order or not, and begin again over the same
disk. For use in a `VirtualLoop`:

    site = Site(LoopClock(asyncio.get_running_loop()))
    await site.begin()
    ...
    site.kill()
    await site.begin()
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog

from novita_simulator.calls import Call
from novita_simulator.machine import Machine
from novitai.app.program import Program
from novitai.coordination.local import LocalCoordination
from novitai.domain.ids import marker_of
from novitai.egress.answers import Answer
from novitai.egress.errors import ConnectFailed
from support.clock import FakeIds
from support.memory_store import MemoryDisk
from support.receivers import Receivers
from support.running import HOOK, settings
from support.simulation_loop import LoopClock
from support.simulation_process import Process, remember_lives
from support.simulation_stage import Stage
from support.virtual_novita import VirtualNovita

LIMITS = {"public": 100, "internal": 50}
SECRETS_KEY = "dGhpcnR5LXR3byBieXRlcyBvZiBtYWRlLXVwIGtleSE="
STATUS = {"502": 502, "ok": 200}
CHANGING = frozenset({"create", "start", "stop", "restart", "delete", "migrate"})


class Applications(Receivers):
    """What runs on the machines answers as the simulator says that it does; receivers take in every event."""

    def __init__(self, clock: LoopClock, novita: VirtualNovita) -> None:
        super().__init__(clock)  # type: ignore[arg-type] # all that is asked of a clock
        self._novita = novita
        self._now = clock.now

    async def get(
        self, url: str, headers: Mapping[str, str], *, deadline_seconds: float = 15.0, max_body: int = 0
    ) -> Answer:
        await asyncio.sleep(0.02)
        world, now = self._novita.stage.world, self._now()
        world.advance(now)
        machine = world.machines.get(url.removeprefix("https://").partition("-")[0])
        phase = world.app_phase(machine, now) if machine is not None else "refuse"
        if phase not in STATUS:
            raise ConnectFailed("connection refused")
        return Answer(status=STATUS[phase], headers={}, body_prefix=b"", elapsed_ms=20.0)


class Site:
    """See the module's text. `wall`: the clock by which the process goes, when it is another than the true one."""

    def __init__(
        self,
        clock: LoopClock,
        *,
        novita: VirtualNovita | None = None,
        wall: LoopClock | None = None,
        **environment: str,
    ) -> None:
        remember_lives(asyncio.get_running_loop())
        self.clock = clock
        self.stage = Stage(seed=0, clock=wall or clock, length=0.0, calm=True)
        self.novita = novita or VirtualNovita(clock)
        self.receivers = Applications(clock, self.novita)
        self.disk = MemoryDisk()
        self.ids = FakeIds()
        self.environment = {"WEBHOOK_URL": HOOK, "NOVITAI_SECRETS_KEY": SECRETS_KEY, **environment}
        self.process: Process | None = None

    @property
    def program(self) -> Program:
        """The one that runs."""
        assert self.process is not None
        assert self.process.program is not None
        return self.process.program

    # ── the process ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def begin(self) -> None:
        """Start the program over what there is."""
        client: Any = self.novita.client(LocalCoordination(clock=self.clock, limits=LIMITS))
        receivers: Any = self.receivers
        self.process = Process(self.stage)
        self.process.steady = self.clock
        await self.process.open(self.disk, client, receivers, self.ids, settings(self.environment))

    def kill(self) -> None:
        """The process is gone at once; what it sent arrives all the same."""
        assert self.process is not None
        self.process.end("killed")

    async def end(self) -> None:
        """The process ends in order."""
        assert self.process is not None
        await self.process.stop()

    # ── what Novita and the receiver saw ──────────────────────────────────────────────────────────────────────────────

    def present(self, instance_id: str = "") -> list[Machine]:
        """Machines that are on the account now and not on their way out; of one instance, or all."""
        world = self.novita.stage.world
        world.advance(self.clock.now())
        return [
            machine
            for machine in world.machines.values()
            if machine.status not in {"toRemove", "removing", "removed"} and _is_of(machine, instance_id)
        ]

    def ever(self, instance_id: str) -> list[Machine]:
        """Every machine that was ever made for an instance."""
        return [machine for machine in self.novita.stage.world.ever() if _is_of(machine, instance_id)]

    def made(self, *verbs: str, instance_id: str = "", since: float = 0.0) -> list[Call]:
        """Calls that were to change something (all, or these verbs), in order of arrival."""
        wanted = set(verbs) or CHANGING
        return [
            call
            for call in self.novita.posts
            if call.received_at >= since
            and call.path.rpartition("/")[2] in wanted
            and (not instance_id or self.owner(call) == instance_id)
        ]

    def owner(self, call: Call) -> str:
        """Whose machine a call is about."""
        body: Any = call.body
        if "name" in body:
            return _owner(body["name"])
        world = self.novita.stage.world
        machine = world.machines.get(body["instanceId"]) or world.gone.get(body["instanceId"])
        return _owner(machine.name) if machine is not None else ""

    def told(self, instance_id: str = "", kind: str = "") -> list[dict[str, Any]]:
        """Events that arrived, each once, in order."""
        seen: dict[str, dict[str, Any]] = {}
        for one in self.receivers.received:
            seen.setdefault(one.id, {**one.event, "arrivedAt": one.at})
        return [
            event
            for event in seen.values()
            if instance_id in {"", event["instanceId"]} and kind in {"", event["type"].removeprefix("instance.")}
        ]

    def perform(self, action: str, **fields: object) -> None:
        """Change something about Novita, as under `/_sim/`."""
        self.novita.stage.perform(action, fields, self.clock.now())


def _is_of(machine: Machine, instance_id: str) -> bool:
    return not instance_id or _owner(machine.name) == instance_id


def _owner(name: str) -> str:
    marker = marker_of(name)
    return marker.instance_id if marker is not None else ""


@contextmanager
def hushed() -> Iterator[None]:
    """Nothing is logged meanwhile: months of polling say much."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    try:
        yield
    finally:
        structlog.configure(**before)
