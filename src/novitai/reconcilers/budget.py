"""Keeps spending within its budgets: tells of each threshold once, and stops what a used-up budget with a hard stop covers.

The loop wakes when the next threshold is due at the present rate or a period ends, and every minute at the latest. It asks for stops as
people do, in the policy's name and with its figures; a decision on an instance that changed meanwhile is thrown away and made anew at the
next look. Nothing is started here when a budget begins anew: whoever pays decides that, or a schedule that was set for it.
"""

from collections.abc import Sequence

import structlog

from novitai.domain.automation import Part
from novitai.domain.budget import FULL, Hold
from novitai.domain.errors import Code, Refusal
from novitai.domain.events import Fact, FactType
from novitai.domain.instance import DesiredState, Instance, Verb
from novitai.domain.keys import Actor, Scope
from novitai.domain.lifecycle import State
from novitai.domain.money import dollars
from novitai.domain.times import iso_or_none
from novitai.operations.automation import Automation
from novitai.operations.budget import POLICY, Budgets, told
from novitai.operations.instances import Verbs
from novitai.operations.ledger import Ledger, Snapshot
from novitai.operations.optimism import TRIES
from novitai.operations.reads import ReadModel
from novitai.operations.receipts import Answer
from novitai.operations.requests import Context, VerbRequest
from novitai.policies.budget import View, explained, hold
from novitai.ports.store import Conflict, Lease

LONGEST_PAUSE = 60.0
SHORTEST_PAUSE = 0.5

log = structlog.get_logger("novitai.budget")


class BudgetKeeper:
    """Work of the loop `budget`. `observe`: only say what would be done."""

    def __init__(
        self,
        *,
        budgets: Budgets,
        verbs: Verbs,
        reads: ReadModel,
        automation: Automation,
        ledger: Ledger,
        observe: bool,
    ) -> None:
        self._budgets = budgets
        self._verbs = verbs
        self._reads = reads
        self._automation = automation
        self._ledger = ledger
        self._observe = observe
        self._holding = False
        self._said: set[tuple[str, str]] = set()

    async def run(self, lease: Lease) -> float:
        """Judge every budget once and do what is due; gives the seconds until the next deadline."""
        seen = self._budgets.every()
        for one in seen:
            await self._tell(one, lease)
        holds = [(one, held) for one in seen if (held := hold(one)) is not None]
        self._holding = bool(holds)
        if not holds:
            self._said.clear()
        if not self._automation.paused(Part.BUDGET):
            for one, held in holds:
                await self._stop_all(one, held)
        return self._pause(seen)

    def sooner(self, snapshot: Snapshot) -> bool:
        """Whether a change of an instance asks for a look now: something runs that a budget holds down."""
        return self._holding and _stoppable(snapshot.instance) and self._budgets.hold(snapshot.instance) is not None

    def _pause(self, seen: Sequence[View]) -> float:
        now = self._ledger.clock.now()
        dues = [at for one in seen for at in (one.next_at, one.resets_at) if at is not None]
        return max(SHORTEST_PAUSE, min([LONGEST_PAUSE, *(at - now for at in dues)]))

    async def _tell(self, seen: View, lease: Lease) -> None:
        facts = [self._fact(seen, threshold) for threshold in self._budgets.untold(seen)]
        try:
            await self._budgets.tell(seen, facts, lease)
        except Conflict as conflict:
            if type(conflict) is not Conflict:
                raise  # LeaseLost: another process leads
            log.info("budget_told_elsewhere", budgetId=seen.budget.id)

    def _fact(self, seen: View, threshold: int) -> Fact:
        budget = seen.budget
        spent, limit = dollars(seen.spent), dollars(budget.limit)
        data = told(budget) | {
            "budgetId": budget.id,
            "instanceId": budget.scope.instance,
            "threshold": threshold,
            "percent": seen.percent,
            "spentUsd": spent,
            "forecastUsd": None if seen.forecast is None else dollars(seen.forecast),
            "usdPerHour": dollars(seen.per_hour),
            "resetsAt": iso_or_none(seen.resets_at),
        }
        reason = f"budget '{budget.name}': ${spent:.2f} of ${limit:.2f} are spent ({threshold} % reached)"
        log.warning("budget_threshold", budgetId=budget.id, threshold=threshold, spentUsd=spent, limitUsd=limit)
        kind = FactType.BUDGET_EXCEEDED if threshold == FULL else FactType.BUDGET_THRESHOLD
        return Fact(type=kind, at=self._ledger.clock.now(), actor=POLICY, reason=reason, data=data)

    async def _stop_all(self, seen: View, held: Hold) -> None:
        for instance in self._budgets.covered(seen.budget.scope):
            if _stoppable(instance):
                await self._stop(instance.id, held)

    async def _stop(self, instance_id: str, held: Hold) -> None:
        """Ask for a stop, of what the instance is by now."""
        for _ in range(TRIES):
            snapshot = self._reads.get(instance_id)
            if snapshot is None or not _stoppable(snapshot.instance):
                return
            if self._observe:
                self._say_once("would_act", snapshot.instance, held)
                return
            why = explained(held)
            request = VerbRequest(reason=why.because, explanation=why)
            actor = Actor(owner=POLICY, scope=Scope.ADMIN, policy=POLICY)
            context = Context(actor=actor, correlation_id=self._ledger.ids.new("corr"))
            try:
                await self._verbs.perform(
                    instance_id,
                    Verb.STOP,
                    request,
                    context,
                    lambda _: Answer(status=202, body=""),
                    judged=snapshot.version,
                )
            except Refusal as refusal:
                if refusal.code is Code.CONFLICT:
                    continue
                self._say_once("automatic_action_refused", snapshot.instance, held, error=refusal.message)
                return
            log.info("automatic_action", instanceId=instance_id, action="stop", by=POLICY, reason=why.because)
            return

    def _say_once(self, event: str, instance: Instance, held: Hold, **fields: str) -> None:
        if (instance.id, held.budget_id) not in self._said:
            self._said.add((instance.id, held.budget_id))
            log.warning(
                event, instanceId=instance.id, action="stop", by=POLICY, reason=explained(held).because, **fields
            )


def _stoppable(instance: Instance) -> bool:
    """Whether there is anything to stop: it is to run, or something of it may be running or come up."""
    return instance.wants is DesiredState.RUNNING and instance.state not in {State.DELETING, State.DELETED}
