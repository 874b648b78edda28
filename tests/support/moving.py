"""A `Rehearsal` in which Novita takes spot machines back and the instance moves, as its rule says.

The loop begins a move as soon as the rule says so, asks Novita for its own move, looks for a successor for as long as that makes
sense, and reads the machine that is being replaced like any other. What must hold at every step is checked on the way: nobody's wish
is changed by a move, and there is never a third machine beside the one that serves and the one that is bought for it.
"""

import random
from dataclasses import dataclass, field

from novitai.domain.change import Change
from novitai.domain.errors import Code, Rejected
from novitai.domain.ids import MachineId
from novitai.domain.instance import Verb
from novitai.domain.machine import MachineStatus, SpotStatus
from novitai.domain.migration import Cause, MoveRule, Strategy
from novitai.policies import migration, moves, observed, outcomes, successors
from novitai.policies.steps import Act, Action
from support import builders
from support.rehearsal import DOWN, MadeUpMachine, Path, Rehearsal
from support.trouble import MOVE

ROUND_PAUSE = 30.0
STUCK: Path = ((0.0, MachineStatus.MIGRATING),)


@dataclass
class MovingRehearsal(Rehearsal):
    """See the module's text. `rule` may be changed at any time."""

    rule: MoveRule = field(default_factory=MoveRule)
    moving: Path = MOVE

    def notice(self) -> None:
        """Novita announces that it takes the present machine back, unless there is none that could be."""
        if self.instance.machine is not None and self.machine.status is MachineStatus.RUNNING:
            self.machine.spot = SpotStatus.NOTIFIED

    def fall(self) -> None:
        """Novita takes back every machine that it announced."""
        for machine in self.machines.values():
            if machine.spot is SpotStatus.NOTIFIED and machine.status is MachineStatus.RUNNING:
                machine.spot = SpotStatus.TERMINATED
                machine.follow(DOWN, now=self.now)

    def take(self, change: Change) -> None:
        before = self.instance
        super().take(change)
        assert not change.instance.desired.by.startswith("migration"), "a move changed what is wanted"
        if change.instance.former is not None and before.former is None:
            assert before.former is None, "a second replacement began"

    def _work(self) -> None:
        super()._work()
        verdict = migration.judge(self.instance, self.rule, now=self.now)
        if not verdict.step.acts:
            return
        assert verdict.cause is not None
        operation = builders.operation(
            Verb.MIGRATE, id=self._fresh("op"), by="migration", requested_at=self.now, reason=verdict.because
        )
        self.take(
            moves.begin(
                self.instance,
                way=verdict.way,
                cause=Cause(verdict.cause),
                since=verdict.since,
                operation=operation,
                at=self.now,
            )
        )
        super()._work()

    def sweep(self) -> None:
        super().sweep()
        former = self.instance.former
        present = {one.id for one in self.machines.values() if one.status is not MachineStatus.REMOVED}
        if former is not None and former.machine.id not in present and not former.ended:
            self._look(former.machine.id)

    def _sight(self, machine: MadeUpMachine) -> None:
        if not moves.is_former(self.instance, machine.id):
            super()._sight(machine)
            return
        seen = observed.see(self.instance, self._sighting(machine), now=self.now, operation_id=self._fresh("op"))
        if seen.look:
            self._look(machine.id)
        else:
            self.take(seen.change)

    def _not_found(self, machine_id: MachineId) -> None:
        if moves.is_former(self.instance, machine_id) and machine_id not in dict(self.instance.delete_sent):
            self.take(observed.former_missing(self.instance, machine_id, at=self.now))
        else:
            super()._not_found(machine_id)

    def _buy(self) -> None:
        refused = {refusal.key for refusal in self.instance.refusals}
        if not self.instance.replacing or any(offer.key not in refused for offer in self.offers):
            super()._buy()
            return
        ends = successors.search_ends(self.instance)
        if ends is not None and self.now >= ends:
            self.take(outcomes.create_failed(self.instance, code=Code.NO_CAPACITY, message="nothing", at=self.now))
            return
        self.instance = outcomes.with_fields(self.instance, refusals=())
        self._due = self.now + ROUND_PAUSE

    def _act(self, act: Act) -> None:
        answers = self.answers.get("migrate", [])
        refused = act.action is Action.MIGRATE and answers[:1] in (["no capacity"], ["refused"])
        if not refused:
            super()._act(act)
            return
        answer = self._answer("migrate")
        if answer == "no capacity":
            self.take(moves.turned(self.instance, operation_id=self.instance.operation.id, at=self.now))
        else:
            failure = Rejected("refused")
            self.take(moves.in_vain(self.instance, code=failure.code, message=failure.message, at=self.now))

    def _path(self, action: Action) -> Path:
        return self.moving if action is Action.MIGRATE else super()._path(action)


def taken_back(chance: random.Random, rehearsal: MovingRehearsal) -> None:
    """One thing that Novita may do to a spot machine, or that may be said about its rule."""
    match chance.randrange(6):
        case 0 | 1:
            rehearsal.notice()
        case 2 | 3:
            rehearsal.fall()
        case 4:
            rehearsal.answers["migrate"] = [
                chance.choice(("ok", "unclear", "vanished", "no capacity", "refused", "invalid state"))
                for _ in range(chance.randrange(3))
            ]
        case _:
            rehearsal.rule = MoveRule(strategy=chance.choice(tuple(Strategy)))
            rehearsal.moving = chance.choice((MOVE, MOVE, STUCK))
