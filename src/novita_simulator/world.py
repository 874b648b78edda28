"""The simulated Novita: one account, its machines, the stock and the prices, driven by a passed-in time.

Every method takes `now` in Unix seconds; nothing here reads a clock, opens a socket or draws a number that the given generator
did not make. `advance(now)` brings everything up to that moment, visiting only what has something due. What an account holder can
ask for is in `actions` and `moves`, what Novita does on its own in `spot`; this module is the state and how machines move through it.
"""

import random
import uuid
from collections.abc import Iterator
from functools import partial

from novita_simulator.account import Account, default_account
from novita_simulator.agenda import Agenda
from novita_simulator.billing import Ledger, container_disk_rate, gpu_rate
from novita_simulator.catalogue import Catalogue, default_catalogue
from novita_simulator.errors import Refusal, invalid_state_change
from novita_simulator.jobs import JobBook
from novita_simulator.lifecycle import EXITED, MIGRATING, PULLING, REMOVED, RUNNING, TO_REMOVE, Path
from novita_simulator.machine import Machine
from novita_simulator.settings import Settings
from novita_simulator.stock import Stock

DEFAULT_BALANCE_USD = 100.0
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"


class World:
    """`machines` are those that Novita still shows, `gone` those it has forgotten (their bill remains)."""

    def __init__(
        self,
        *,
        settings: Settings,
        rng: random.Random,
        now: float,
        catalogue: Catalogue | None = None,
        account: Account | None = None,
        balance_usd: float = DEFAULT_BALANCE_USD,
    ) -> None:
        self.settings = settings
        self.rng = rng
        self.now = now
        self.began_at = now
        self.catalogue = catalogue or default_catalogue()
        self.account = account or default_account()
        self.stock = Stock(self.catalogue)
        self.ledger = Ledger(balance_usd=balance_usd, now=now)
        self.jobs = JobBook(self.new_job_id)
        self.machines: dict[str, Machine] = {}
        self.gone: dict[str, Machine] = {}
        self.agenda = Agenda()
        self._touched: set[str] = set()

    # Time

    def advance(self, now: float) -> None:
        """Let everything happen that is due by now. A clock that steps back is waited for, not followed."""
        self.agenda.run_until(now)
        self.now = max(self.now, now)

    def next_due(self) -> float | None:
        return self.agenda.next_at()

    def take_touched(self) -> set[str]:
        """The machines whose ports may have to be opened or closed since the last time this was asked."""
        touched, self._touched = self._touched, set()
        return touched

    def touch(self, machine: Machine) -> None:
        self._touched.add(machine.id)

    # Looking things up

    def machine(self, instance_id: str) -> Machine:
        """The machine of that id as a single GET sees it."""
        machine = self.machines.get(instance_id)
        if machine is None or (self.settings.switches.lag_hides_get and not self.is_listed(machine)):
            raise self.missing("RESOURCE_NOT_FOUND")
        return machine

    def listed(self) -> Iterator[Machine]:
        """What the list shows, the newest first."""
        return (machine for machine in reversed(self.machines.values()) if self.is_listed(machine))

    def is_listed(self, machine: Machine) -> bool:
        return self.now >= machine.created_at + self.settings.real(self.settings.switches.list_lag_seconds)

    def ever(self) -> Iterator[Machine]:
        """All machines there ever were."""
        yield from self.gone.values()
        yield from self.machines.values()

    def missing(self, reason: str) -> Refusal:
        """Not found, with the status that the world is set to use; 200 is the single GET's own way to say it."""
        status = 404 if self.settings.switches.not_found_status == 404 else 400
        return Refusal(status, reason, reason.replace("_", " ").lower())

    def wrong_state(self) -> Refusal:
        """An action that the machine's status does not allow, with the reason that the world is set to use."""
        return invalid_state_change(self.settings.switches.state_change_reason)

    def app_phase(self, machine: Machine, now: float) -> str:
        """What a caller of the machine's ports meets: refuse, 502, ok or hang."""
        delay = self.settings.delay
        return machine.app_phase(now, refuse=delay("app_refuse"), warmup=delay("app_warmup"))

    # Fresh ids

    def new_instance_id(self) -> str:
        return f"{self.rng.getrandbits(64):016x}"

    def new_job_id(self) -> str:
        return "".join(self.rng.choices(_BASE36, k=16))

    def new_uuid(self) -> str:
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    # Motion

    def send(self, machine: Machine, path: Path, now: float) -> None:
        """Set a machine on a path; whatever path it was on ends here."""
        machine.motion += 1
        self._step(machine, path, 0, machine.motion, now)

    def rest(self, machine: Machine, status: str, now: float) -> None:
        """Put a machine in a status where it stays until something new is asked."""
        machine.motion += 1
        self._enter(machine, status, now)

    def hold_gpus(self, machine: Machine) -> None:
        if not machine.holds_gpus:
            machine.holds_gpus = True
            self.stock.hold(machine.pool, machine.units)

    def release_gpus(self, machine: Machine) -> None:
        if machine.holds_gpus:
            machine.holds_gpus = False
            self.stock.release(machine.pool, machine.units)

    def start_charges(self, machine: Machine, now: float) -> None:
        machine.last_started_at = now
        self.ledger.start(machine.meter, "gpu", rate=gpu_rate(machine.price, machine.units), now=now)
        self.ledger.start(machine.meter, "disk", rate=container_disk_rate(machine.rootfs_size), now=now)

    def forget(self, machine: Machine, now: float) -> None:
        """Novita shows it no more. Its bill stays."""
        self._end_charges(machine, now)
        self.release_gpus(machine)
        machine.motion += 1
        machine.running_since = None
        self.gone[machine.id] = self.machines.pop(machine.id)
        self.touch(machine)

    def _step(self, machine: Machine, path: Path, index: int, motion: int, now: float) -> None:
        if machine.motion != motion:
            return
        if index == len(path.steps):
            self._enter(machine, path.end, now)
            return
        status, delay = path.steps[index]
        self._enter(machine, status, now)
        following = partial(self._step, machine, path, index + 1, motion)
        self.agenda.add(now + self.settings.delay(delay), following)

    def _enter(self, machine: Machine, status: str, now: float) -> None:
        if status != RUNNING and machine.running_since is not None:
            machine.running_since = None
            machine.load.stop(now)
        machine.status = status
        machine.history.append((now, status))
        self.touch(machine)
        self._arrive(machine, status, now)

    def _arrive(self, machine: Machine, status: str, now: float) -> None:
        if status == PULLING:
            self.start_charges(machine, now)
        elif status == RUNNING:
            self._come_up(machine, now)
        elif status == EXITED:
            self._come_down(machine, now)
        elif status == MIGRATING:
            self.ledger.stop(machine.meter, "gpu", now=now)
        elif status == TO_REMOVE:
            self._end_charges(machine, now)
            self.release_gpus(machine)
        elif status == REMOVED:
            self._bury(machine, now)

    def _come_up(self, machine: Machine, now: float) -> None:
        machine.running_since = now
        machine.ssh_port = self.rng.randint(30_000, 39_999)
        machine.ssh_password = f"{self.rng.getrandbits(48):012x}"
        machine.load.start(now)
        self.agenda.add(now + self.settings.delay("app_refuse"), lambda _at: self.touch(machine))
        if machine.is_spot:
            machine.spot.status = machine.spot.status or "running"

    def _come_down(self, machine: Machine, now: float) -> None:
        machine.last_stopped_at = now
        self.ledger.stop(machine.meter, "gpu", now=now)
        self.release_gpus(machine)
        if machine.spot.status == "reclaiming":
            machine.spot.status = "terminated"

    def _end_charges(self, machine: Machine, now: float) -> None:
        self.ledger.stop(machine.meter, "gpu", now=now)
        self.ledger.stop(machine.meter, "disk", now=now)

    def _bury(self, machine: Machine, now: float) -> None:
        machine.removed_at = now
        shown = self.settings.real(self.settings.switches.removed_listed_seconds)
        if shown:
            self.agenda.add(now + shown, partial(self.forget, machine))
        else:
            self.forget(machine, now)
