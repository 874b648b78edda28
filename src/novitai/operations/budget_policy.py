"""Budgets as an instance's explanation sees them: the same figures as everywhere, but read at most every few seconds.

A budget of everything sums up every instance; asked anew for each row of a long list, that would be as many sums as rows.
"""

from collections.abc import Sequence

from novitai.domain.automation import Part
from novitai.domain.budget import Hold
from novitai.domain.explanation import PolicyView
from novitai.domain.instance import Instance
from novitai.operations.budget import Budgets
from novitai.operations.explanation import Policy
from novitai.operations.ledger import Ledger, Snapshot
from novitai.policies import budget_verdict
from novitai.policies.budget import View

FRESH_SECONDS = 5.0
"""How old a figure may be. Budgets are for days and months; who holds what down is told anew whenever a budget changes."""


class BudgetPolicy:
    """See the module's text."""

    def __init__(self, *, budgets: Budgets, ledger: Ledger) -> None:
        self._budgets = budgets
        self._clock = ledger.clock
        self._seen: dict[str, View] = {}
        self._read_at = 0.0
        self._version = -1

    def policy(self) -> Policy:
        """The rule as it is explained."""
        return Policy(view=self._view, part=Part.BUDGET, mark=self._mark)

    def hold(self, instance: Instance) -> Hold | None:
        """The used-up budget that holds an instance down."""
        return budget_verdict.held(self._of(instance))

    def _view(self, snapshot: Snapshot, now: float) -> PolicyView:
        return budget_verdict.explained(snapshot.instance, self._of(snapshot.instance), now=now)

    def _mark(self, instance: Instance) -> object:
        return self._budgets.changes if self._budgets.covering(instance) else None

    def _of(self, instance: Instance) -> Sequence[View]:
        now = self._clock.now()
        if self._version != self._budgets.changes or not self._read_at <= now < self._read_at + FRESH_SECONDS:
            self._seen, self._read_at, self._version = {}, now, self._budgets.changes
        for budget in self._budgets.covering(instance):
            if budget.id not in self._seen:
                self._seen[budget.id] = self._budgets.view(budget)
        return [self._seen[budget.id] for budget in self._budgets.covering(instance)]
