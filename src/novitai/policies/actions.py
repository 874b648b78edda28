"""The steps there are, and how a call about a machine is made once: send, and look before sending again.

`Moment` is what steps are decided with beside the instance: the time, the limits, and when each machine was last read
singly.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from novitai.domain.change import Change
from novitai.domain.ids import MachineId
from novitai.domain.instance import AttemptOutcome, Instance, SeenMachine
from novitai.policies import outcomes

LOOK_AGAIN_SECONDS = 15.0


@dataclass(frozen=True)
class Limits:
    """Times that bound a start (seconds)."""

    startup_timeout: float = 600.0
    pull_timeout: float = 1800.0
    settle_time: float = 60.0


@dataclass(frozen=True)
class Wait:
    """Nothing to do before `until` (None: before something changes)."""

    until: float | None = None


@dataclass(frozen=True)
class Apply:
    """A decision that needs no call. `attempt` closes an attempt record in the same commit."""

    change: Change
    attempt: tuple[int, AttemptOutcome] | None = None


@dataclass(frozen=True)
class Buy:
    """Choose an offer and create a machine."""


class Action(StrEnum):
    """What can be asked of an existing machine; `LOOK` reads it."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    DELETE = "delete"
    MIGRATE = "migrate"
    LOOK = "look"


@dataclass(frozen=True)
class Act:
    """Call Novita about one machine."""

    action: Action
    machine_id: MachineId
    patient: bool = False  # nobody waits for it: make the call only when there is room


Step = Wait | Apply | Buy | Act


@dataclass(frozen=True)
class Moment:
    """What the steps of one instance are decided with, beside the instance."""

    now: float
    limits: Limits
    looks: float | Mapping[MachineId, float] | None
    crowded: bool

    def looked_at(self, machine_id: MachineId) -> float | None:
        if isinstance(self.looks, Mapping):
            return self.looks.get(machine_id)
        return self.looks


def watch(machine: SeenMachine, due: float, moment: Moment) -> Step | None:
    """Wait until an effect is due, then look; None when it was looked at just now."""
    if moment.now < due:
        return Wait(until=due)
    looked = moment.looked_at(machine.id)
    if looked is None or moment.now - looked >= LOOK_AGAIN_SECONDS:
        return Act(Action.LOOK, machine.id)
    return None


def look_later(machine: SeenMachine, moment: Moment) -> Wait:
    looked = moment.looked_at(machine.id)
    return Wait(until=(moment.now if looked is None else looked) + LOOK_AGAIN_SECONDS)


def ask_once(instance: Instance, machine: SeenMachine, action: Action, moment: Moment, *, visible: bool) -> Step:
    """Send once; what shows its effect was accepted; after an unclear answer look before sending again."""
    operation = instance.operation
    if visible:
        return Apply(outcomes.action_accepted(instance, operation_id=operation.id, at=moment.now))
    if operation.sent_at is None:
        return Act(action, machine.id)
    looked = moment.looked_at(machine.id)
    if looked is None or looked <= operation.sent_at:
        return Act(Action.LOOK, machine.id)
    return Apply(Change(instance=outcomes.action_not_seen(instance, operation_id=operation.id)))
