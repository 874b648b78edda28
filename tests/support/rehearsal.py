"""One instance's whole life without a server: the pure decisions driven against a small made-up Novita, in virtual time.

The loop does what the reconciler and the observer do: it asks for the next step, carries it out, takes the answer as a fact, reads the list
every few seconds and asks the application whether it answers. Nothing sleeps. `list_lag` keeps new machines out of the list, `stale_list` lets it
show what was so that many seconds ago; single reads tell the truth. On the way it checks what must hold at every step: a wait never lies
in the past, a decision without a call changes something, nothing is bought twice, and there is no end to neither steps nor calls at one moment.

`answers` scripts what calls come to: one word per call, `ok` when there is none left. `unclear` has been done and lost its answer, `vanished` has
not been done and lost its answer.
"""

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from novitai.domain.change import Change
from novitai.domain.errors import Code, InvalidState, NoCapacity
from novitai.domain.events import Fact, FactType
from novitai.domain.ids import MachineId
from novitai.domain.instance import EndpointHealth, Instance, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus, PortMapping, SpotStatus
from novitai.domain.offers import Offer
from novitai.policies import observed, outcomes, startup, unclear
from novitai.policies.observed import Sighting
from novitai.policies.requests import Same, ask
from novitai.policies.steps import Act, Action, Apply, Buy, Limits, Wait, next_step
from support import builders

Answer = Literal["ok", "refused", "unclear", "vanished", "no capacity", "invalid state"]
Path = tuple[tuple[float, MachineStatus], ...]

SWEEP_SECONDS = 5.0
QUIET_SECONDS = 120.0
ROUND_SECONDS = 2.0
MOST_STEPS = 40

UP: Path = ((0.0, MachineStatus.PENDING), (5.0, MachineStatus.STARTING), (20.0, MachineStatus.RUNNING))
RESTART: Path = ((0.0, MachineStatus.RESTARTING), (10.0, MachineStatus.RUNNING))
DOWN: Path = ((0.0, MachineStatus.STOPPING), (10.0, MachineStatus.STOPPED))
GONE: Path = ((0.0, MachineStatus.REMOVING), (6.0, MachineStatus.REMOVED))


@dataclass
class MadeUpMachine:
    """A machine of the made-up Novita: `coming` holds what it will be and when."""

    id: MachineId
    name: str
    status: MachineStatus
    coming: list[tuple[float, MachineStatus]] = field(default_factory=list)
    spot: SpotStatus = SpotStatus.RUNNING
    was: list[tuple[float, MachineStatus]] = field(default_factory=list)

    def follow(self, path: Path, *, now: float) -> None:
        self.coming = [(now + after, status) for after, status in path]
        self.progress(now)

    def progress(self, now: float) -> None:
        while self.coming and self.coming[0][0] <= now:
            at, status = self.coming.pop(0)
            self.was.append((at, self.status))
            self.status = status

    def status_at(self, moment: float) -> MachineStatus:
        """What it was at an earlier time."""
        return next((status for changed, status in self.was if changed > moment), self.status)


@dataclass
class Rehearsal:
    """See the module's text. The paths and switches may be changed at any time."""

    instance: Instance = field(default_factory=lambda: builders.instance(State.CREATING))
    now: float = builders.NOW
    offers: tuple[Offer, ...] = (builders.offer(builders.CALIFORNIA), builders.offer(builders.INDIA))
    limits: Limits = field(default_factory=Limits)
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    up: Path = UP
    restarting: Path = RESTART
    down: Path = DOWN
    gone: Path = GONE
    ssh: bool = True
    app_answers_after: float | None = 4.0
    settle_time: float = 60.0
    list_lag: float = 0.0
    stale_list: float = 0.0

    def __post_init__(self) -> None:
        self.machines: dict[MachineId, MadeUpMachine] = {}
        self.facts: list[FactType] = []
        self.told: list[Fact] = []
        self.calls: list[tuple[float, str]] = []
        self.bought = 0
        self._looked: dict[MachineId, float] = {}
        self._made: dict[MachineId, float] = {}
        self._due: float | None = self.now
        self._failures = 0
        self._next_sweep = self.now + SWEEP_SECONDS
        self._next_round = self.now + ROUND_SECONDS
        self._ids = 0
        machine = self.instance.machine
        if machine is not None and machine.status is not MachineStatus.REMOVED:
            self.machines[machine.id] = MadeUpMachine(machine.id, machine.name, machine.status)

    # ── what people and the world do ──

    def ask(self, verb: Verb) -> Change | Same:
        """Somebody asks for something, and the loop is woken."""
        decided = ask(self.instance, builders.wish(verb, operation_id=self._fresh("op"), at=self.now))
        if isinstance(decided, Change):
            self.take(decided)
        return decided

    def take(self, change: Change) -> None:
        """Commit a change."""
        if change.instance is not self.instance or change.facts:
            self.instance = change.instance
            self.facts += [fact.type for fact in change.facts]
            self.told += change.facts
            self._due = self.now

    @property
    def machine(self) -> MadeUpMachine:
        """The instance's present machine in the made-up world."""
        assert self.instance.machine is not None
        return self.machines[self.instance.machine.id]

    @property
    def billing(self) -> list[MachineId]:
        """Machines that exist and are not stopped."""
        off = {MachineStatus.STOPPED, MachineStatus.REMOVED}
        return [machine.id for machine in self.machines.values() if machine.status not in off]

    @property
    def quiet(self) -> bool:
        """Nothing is to be done before something changes."""
        return self._due is None

    def calls_of(self, action: str) -> list[float]:
        """When a call was made."""
        return [at for at, name in self.calls if name == action]

    # ── time ──

    def run(self, seconds: float) -> "Rehearsal":
        """Let that much time pass."""
        end = self.now + seconds
        while True:
            self._work()
            self.now = min(end, self._next_event())
            self._let_happen()
            if self.now >= end:
                self._work()
                return self

    def run_until(self, state: State, *, within: float = 7200.0) -> "Rehearsal":
        """Let time pass until the instance is in a state."""
        end = self.now + within
        self._work()
        while self.instance.state is not state:
            assert self.now < end, f"still {self.instance.state} after {within:g} s; facts {self.facts}"
            self.now = min(end, self._next_event())
            self._let_happen()
            self._work()
        return self

    def settle(self, *, within: float = 86_400.0) -> "Rehearsal":
        """Let time pass until the loop is quiet and everything that could still be noticed has been."""
        end = self.now + within
        while True:
            before, coming = self.instance, any(machine.coming for machine in self.machines.values())
            self.run(QUIET_SECONDS)
            if self.quiet and not coming and self.instance is before:
                return self
            assert self.now < end, f"not quiet after {within:g} s: {self.instance.state}, {self.instance.desired.state}"

    def _next_event(self) -> float:
        coming = [machine.coming[0][0] for machine in self.machines.values() if machine.coming]
        due = [] if self._due is None else [max(self._due, self.now)]
        return min(self._next_sweep, self._next_round, *coming, *due)

    def _let_happen(self) -> None:
        for machine in self.machines.values():
            machine.progress(self.now)
        if self.now >= self._next_sweep:
            self._next_sweep = self.now + SWEEP_SECONDS
            self.sweep()
        if self.now >= self._next_round:
            self._next_round = self.now + ROUND_SECONDS
            self._check_health()

    # ── the observer ──

    def sweep(self) -> None:
        """Read the whole list, as the observer does."""
        listed = [m for m in self.machines.values() if self.now >= self._made.get(m.id, 0.0) + self.list_lag]
        present = {m.id for m in listed if m.status is not MachineStatus.REMOVED}
        for machine in listed:
            if machine.id in present:
                self._sight(machine)
        mine = self.instance.machine
        watched = self.instance.state not in {State.LOST, State.DELETING, State.DELETED}
        if watched and mine is not None and mine.id not in present and self.now >= mine.since + self.settle_time:
            self._look(mine.id)
        attempt = self.instance.open_attempt
        if attempt is not None and attempt.disproved_at is None and self.now >= attempt.sent_at + self.settle_time:
            proven = msgspec.structs.replace(attempt, disproved_at=self.now)
            self.take(Change(instance=msgspec.structs.replace(self.instance, open_attempt=proven)))

    def _sight(self, machine: MadeUpMachine) -> None:
        if self.instance.machine is None or self.instance.machine.id != machine.id:
            self._adopt(machine)
            return
        seen = observed.see(self.instance, self._sighting(machine), now=self.now, operation_id=self._fresh("op"))
        if seen.look:
            self._look(machine.id)
        else:
            self.take(seen.change)

    def _adopt(self, machine: MadeUpMachine) -> None:
        attempt = self.instance.open_attempt
        if attempt is None or machine.name != f"demo-{attempt.number}":
            self.take(outcomes.stray_found(self.instance, machine.id, at=self.now))
            return
        self.take(
            outcomes.create_accepted(
                self.instance,
                number=attempt.number,
                offer=attempt.offer,
                machine_id=machine.id,
                machine_name=machine.name,
                at=self.now,
            )
        )

    def _sighting(self, machine: MadeUpMachine, *, confirmed: bool = False) -> Sighting:
        make = builders.detailed_machine if confirmed and self.ssh else builders.machine
        status = machine.status if confirmed else machine.status_at(self.now - self.stale_list)
        served = f"https://{machine.id}.example.test" if status is MachineStatus.RUNNING else ""
        ports = tuple(PortMapping(port=p.port, type=p.type, endpoint=served) for p in self.instance.spec.ports)
        read = make(status, id=machine.id, name=machine.name, spot_status=machine.spot, ports=ports)
        return Sighting(machine=read, at=self.now, confirmed=confirmed)

    def _check_health(self) -> None:
        if not startup.probed(self.instance) or self.instance.machine is None or self.instance.running_at is None:
            return
        after = self.app_answers_after
        healthy = after is not None and self.now >= self.instance.running_at + after
        endpoints = tuple(
            EndpointHealth(port=port.port, endpoint=port.endpoint, type=port.type, healthy=healthy)
            for port in startup.ports_to_check(self.instance.health_check, self.instance.machine.ports)
        )
        if healthy or self.instance.health is None or self.instance.health.endpoints != endpoints:
            self.take(Change(instance=startup.checked(self.instance, endpoints, at=self.now)))

    # ── the reconciler ──

    def _work(self) -> None:
        for _ in range(MOST_STEPS):
            if self._due is None or self._due > self.now:
                return
            step = next_step(self.instance, now=self.now, limits=self.limits, looked_at=self._looked)
            match step:
                case Wait(until=until):
                    assert until is None or until > self.now, f"a wait in the past: {until} at {self.now}"
                    self._due = until
                case Apply(change=change):
                    assert change.instance != self.instance or change.facts, f"changes nothing: {self.instance}"
                    self.take(change)
                case Buy():
                    self._buy()
                case Act(action=Action.LOOK, machine_id=machine_id):
                    self._look(machine_id)
                case Act():
                    self._act(step)
        raise AssertionError(f"no end of steps in {self.instance.state}: {self.instance}")

    def _answer(self, action: str) -> Answer:
        self.calls.append((self.now, action))
        left = self.answers.get(action)
        return left.pop(0) if left else "ok"

    def _put_off(self, *, later: bool = False) -> None:
        self._failures = 0 if later else self._failures + 1
        self._due = self.now + (2.0 if later else min(60.0, 2.0**self._failures))

    def _buy(self) -> None:
        assert self.instance.open_attempt is None, "bought while an attempt is open"
        assert self.instance.machine is None, "bought while there is a machine"
        assert self.instance.wants == "running", "bought although not wanted"
        refused = {refusal.key for refusal in self.instance.refusals}
        offer = next((offer for offer in self.offers if offer.key not in refused), None)
        if offer is None:
            self.take(outcomes.create_failed(self.instance, code=Code.NO_CAPACITY, message="no capacity", at=self.now))
            return
        number = self.instance.attempts + 1
        self.take(Change(instance=outcomes.create_sent(self.instance, number=number, offer=offer, at=self.now)))
        answer = self._answer("create")
        if answer == "unclear":
            self._make(f"demo-{number}")
        if answer == "ok":
            machine_id = self._make(f"demo-{number}")
            change = outcomes.create_accepted(
                self.instance,
                number=number,
                offer=offer,
                machine_id=machine_id,
                machine_name=f"demo-{number}",
                at=self.now,
            )
            self.take(change)
        elif answer == "no capacity":
            refusal = NoCapacity("no GPU")
            self.take(
                Change(
                    instance=outcomes.create_refused(
                        self.instance, number=number, offer=offer, failure=refusal, at=self.now
                    )
                )
            )
        elif answer in {"unclear", "vanished"}:
            searched = unclear.search_from(self.instance, number=number, at=self.now, answered=True)
            self.take(Change(instance=searched))
            self._put_off()
        else:
            self.take(Change(instance=outcomes.create_not_made(self.instance, number=number)))
            self._put_off()

    def _make(self, name: str) -> MachineId:
        self.bought += 1
        machine = MadeUpMachine(MachineId(f"machine{self.bought:09d}"), name, MachineStatus.PENDING)
        machine.follow(self.up, now=self.now)
        self.machines[machine.id] = machine
        self._made[machine.id] = self.now
        return machine.id

    def _look(self, machine_id: MachineId) -> None:
        self.calls.append((self.now, "look"))
        self._looked[machine_id] = self.now
        machine = self.machines.get(machine_id)
        if machine is None or machine.status is MachineStatus.REMOVED:
            self._not_found(machine_id)
        elif machine_id not in (*self.instance.discarded, *self.instance.strays):
            sighting = self._sighting(machine, confirmed=True)
            self.take(observed.see(self.instance, sighting, now=self.now, operation_id=self._fresh("op")).change)

    def _not_found(self, machine_id: MachineId) -> None:
        known = (*self.instance.discarded, *self.instance.strays, *dict(self.instance.delete_sent))
        if machine_id in known:
            self.take(Change(instance=outcomes.machine_removed(self.instance, machine_id)))
        else:
            self.take(observed.missing(self.instance, at=self.now))

    def _act(self, act: Act) -> None:
        answer = self._answer(str(act.action))
        machine = self.machines.get(act.machine_id)
        if machine is None or machine.status is MachineStatus.REMOVED:
            self._not_found(act.machine_id)
            self._due = self.now + observed.EVIDENCE_APART_SECONDS + 1.0
            return
        if act.action is Action.DELETE:
            self._delete(machine, answer)
            return
        operation_id = self.instance.operation.id
        self.take(Change(instance=outcomes.action_sent(self.instance, at=self.now)))
        if answer in {"ok", "unclear"}:
            machine.follow(self._path(act.action), now=self.now)
        if answer == "ok":
            self._failures = 0
            self.take(outcomes.action_accepted(self.instance, operation_id=operation_id, at=self.now))
        elif answer == "invalid state":
            failure = InvalidState("invalid state change")
            told = outcomes.action_impossible(self.instance, operation_id=operation_id, failure=failure, at=self.now)
            self.take(Change(instance=told))
            self._put_off()
        elif answer in {"unclear", "vanished"}:
            self._put_off(later=True)
        elif answer == "no capacity" and act.action is not Action.STOP:
            failure = NoCapacity("no GPU")
            self.take(outcomes.start_refused(self.instance, operation_id=operation_id, failure=failure, at=self.now))
        else:
            self.take(Change(instance=outcomes.action_unsent(self.instance, operation_id=operation_id)))
            self._put_off()

    def _path(self, action: Action) -> Path:
        return {Action.START: self.up, Action.STOP: self.down, Action.RESTART: self.restarting}[action]

    def _delete(self, machine: MadeUpMachine, answer: Answer) -> None:
        if answer in {"ok", "unclear"}:
            machine.follow(self.gone, now=self.now)
        if answer == "ok":
            self.take(Change(instance=outcomes.delete_accepted(self.instance, machine.id, at=self.now)))
        else:
            self._put_off()

    def _fresh(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}_{self._ids + 100}"
