"""Budgets in memory as they are stored: made, changed, asked how they stand, and asked whether one more machine fits.

Beside those that people make, each instance that was given a budget of its own has one for its whole life, under the instance's id.
What has been told of a budget is a record of its own, so that a restart neither forgets nor repeats it. Budgets are judged anew from the
ledger and the read model whenever somebody asks; only what is asked of them and what was told is kept.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import msgspec

from novitai.domain.budget import USUAL_THRESHOLDS, Budget, BudgetMemory, Hold, Period, Scope, window
from novitai.domain.errors import Code, Refusal
from novitai.domain.events import Fact
from novitai.domain.ids import InstanceId
from novitai.domain.instance import Instance
from novitai.domain.money import Usd, dollars
from novitai.operations import records
from novitai.operations.keys import ENVIRONMENT_KEY_ID, Keys
from novitai.operations.ledger import Ledger
from novitai.operations.optimism import until_committed
from novitai.operations.reads import ReadModel
from novitai.operations.receipts import Answer
from novitai.operations.requests import Context
from novitai.policies import budget as rule
from novitai.policies.budget import Spent, View
from novitai.ports.store import Commit, Committed, Delete, Lease, Put

POLICY = "budget"
"""The word for `desired.by`."""
KEPT_SECONDS = 400 * 86_400.0
"""How long it is remembered what was told of an instance's own budget."""

AnswerToBudget = Callable[[View], Answer]


class Spending(Protocol):
    """What the cost ledger is asked. Times are Unix seconds; what is not said is no limit."""

    def spent(
        self, *, since: float, until: float, label: tuple[str, str] | None = None, owner: str | None = None
    ) -> Usd:
        """What was spent between two moments."""
        ...

    def burn_per_hour(self, *, label: tuple[str, str] | None = None, owner: str | None = None) -> Usd:
        """What is billed per hour now."""
        ...

    def adjusted(self, instance_id: InstanceId) -> Usd:
        """What Novita's bills had more, or less, than our figures for an instance."""
        ...


class BudgetRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A budget as asked."""

    name: str
    limit: Usd
    period: Period
    scope: Scope = Scope()
    hard_stop: bool = False
    thresholds: tuple[int, ...] = USUAL_THRESHOLDS


class Budgets:
    """See the module's text."""

    def __init__(self, *, ledger: Ledger, reads: ReadModel, keys: Keys, spending: Spending) -> None:
        self._ledger = ledger
        self._reads = reads
        self._keys = keys
        self._spending = spending
        self._budgets: dict[str, Budget] = {}
        self._memories: dict[str, tuple[BudgetMemory, int]] = {}
        self.changes = 0
        """Grows with every budget that is made, changed or removed, and with every threshold that is told."""

    async def load(self) -> None:
        """Read everything once; later changes come by `committed`."""
        for name in (records.BUDGETS, records.BUDGET_MEMORIES):
            cursor: str | None = None
            while True:
                page = await self._ledger.store.list(name, "all", cursor=cursor, limit=500)
                self._take(page.records)
                cursor = page.next_cursor
                if cursor is None:
                    break

    def committed(self, _commit: Commit, result: Committed) -> None:
        """Take in a commit of this process."""
        self._take(result.records)

    def _take(self, changed: Iterable[Any]) -> None:
        for record in changed:
            if record.kind == records.BUDGET:
                self.changes += 1
                self._budgets.pop(record.id, None)
                if not record.deleted:
                    self._budgets[record.id] = records.read_budget(record)
            elif record.kind == records.BUDGET_MEMORY:
                self.changes += 1
                self._memories.pop(record.id, None)
                if not record.deleted:
                    self._memories[record.id] = (records.read_budget_memory(record), record.version)

    # ── how they stand ────────────────────────────────────────────────────────────────────────────────────────────────

    def all(self) -> Sequence[View]:
        """The budgets that people made, oldest first, as they stand now."""
        made = sorted(self._budgets.values(), key=lambda one: (one.created_at, one.id))
        return [self._view(one) for one in made]

    def one(self, budget_id: str) -> View:
        """One of them. Raises Refusal BUDGET_NOT_FOUND."""
        found = self._budgets.get(budget_id)
        if found is None:
            raise _not_found(budget_id)
        return self._view(found)

    def every(self) -> Sequence[View]:
        """The same, and each instance's own."""
        own = (own_budget(snapshot.instance) for snapshot in self._reads.all())
        return [*self.all(), *(self._view(one) for one in own if one is not None)]

    def hold(self, instance: Instance) -> Hold | None:
        """The used-up budget that holds an instance down, if there is one."""
        stopping = (one for one in self.covering(instance) if one.hard_stop and self._amount(one) >= one.limit)
        return next((held for one in stopping if (held := rule.hold(self._view(one))) is not None), None)

    def check(self, wanted: Instance, others: Iterable[Instance]) -> None:
        """Raises Refusal BUDGET_EXCEEDED when one more machine would burst a budget that covers it, or when that is used up. `others`: all
        that is live or on its way but this one. An instance's own budget does not judge its future: it is there to end it.
        """
        shared = [one for one in self._budgets.values() if rule.covers(one.scope, wanted)]
        if not shared:
            return
        known, now = list(others), self._ledger.clock.now()
        for budget in shared:
            burst = rule.too_much(self._view(budget, known), wanted, now=now)
            if burst is not None:
                raise exceeded(burst)

    def covering(self, instance: Instance) -> Sequence[Budget]:
        """The budgets in which an instance's money counts, its own one last."""
        own = own_budget(instance)
        shared = [one for one in self._budgets.values() if rule.covers(one.scope, instance)]
        return [*shared, *((own,) if own is not None else ())]

    def view(self, budget: Budget) -> View:
        """A budget as it stands now."""
        return self._view(budget)

    def covered(self, scope: Scope) -> Sequence[Instance]:
        """The live instances whose money counts in a scope."""
        if scope.instance is not None:
            found = self._reads.get(scope.instance)
            return [found.instance] if found is not None else []
        return [one.instance for one in self._reads.all() if rule.covers(scope, one.instance)]

    def _view(self, budget: Budget, among: Sequence[Instance] | None = None) -> View:
        covered = self.covered(budget.scope) if among is None else [o for o in among if rule.covers(budget.scope, o)]
        return rule.view(budget, self._spent(budget), covered, now=self._ledger.clock.now())

    def _spent(self, budget: Budget) -> Spent:
        scope = budget.scope
        if scope.instance is not None:
            return self._spent_by(scope.instance)
        burn = self._spending.burn_per_hour(label=scope.label, owner=scope.owner)
        return Spent(amount=self._amount(budget), per_hour=burn)

    def _amount(self, budget: Budget) -> Usd:
        """What is spent of a budget; the ledger has it at hand."""
        now, scope = self._ledger.clock.now(), budget.scope
        if scope.instance is not None:
            return self._spent_by(scope.instance).amount
        since = window(budget.period, now=now).since
        return self._spending.spent(since=since, until=now, label=scope.label, owner=scope.owner)

    def _spent_by(self, instance_id: InstanceId) -> Spent:
        found = self._reads.get(instance_id)
        if found is None:
            return Spent()
        adjusted = self._spending.adjusted(instance_id)
        return rule.spent_by(found.instance, adjusted=adjusted, now=self._ledger.clock.now())

    # ── changes ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def make(self, request: BudgetRequest, context: Context, answer: AnswerToBudget) -> View:
        """A new budget. Raises Refusal KEY_NOT_FOUND for the budget of a key that does not exist."""
        self._check_key(request.scope.owner)
        budget = Budget(
            id=self._ledger.ids.new("bud"),
            name=request.name,
            limit=request.limit,
            period=request.period,
            scope=request.scope,
            created_at=self._ledger.clock.now(),
            hard_stop=request.hard_stop,
            thresholds=request.thresholds,
        )
        await self._write(budget, 0, context, "budget.create", answer)
        return self._view(budget)

    async def amend(self, budget_id: str, changes: dict[str, Any], context: Context, answer: AnswerToBudget) -> View:
        """Change fields of a budget, by their names in `Budget`. Raises Refusal BUDGET_NOT_FOUND."""
        scope: Scope | None = changes.get("scope")
        self._check_key(scope.owner if scope is not None else None)

        async def decide() -> View:
            budget, version = await self._load(budget_id)
            changed = msgspec.structs.replace(budget, **changes)
            await self._write(changed, version, context, "budget.change", answer, before=budget)
            return self._view(changed)

        return await until_committed(decide, subject=f"budget {budget_id}")

    async def remove(self, budget_id: str, context: Context, answer: AnswerToBudget) -> View:
        """Take a budget away; what it held down may be started again. Raises Refusal BUDGET_NOT_FOUND."""

        async def decide() -> View:
            budget, version = await self._load(budget_id)
            seen = self._view(budget)
            deletes = (
                Delete(kind=records.BUDGET, id=budget_id, expect=version),
                Delete(kind=records.BUDGET_MEMORY, id=budget_id),
            )
            noted = self._ledger.note(context, "budget.delete", target=budget_id, **told(budget))
            puts = self._receipt(context, answer, seen)
            await self._ledger.store.commit(Commit(deletes=deletes, puts=puts, appends=(noted,)))
            return seen

        return await until_committed(decide, subject=f"budget {budget_id}")

    async def tell(self, seen: View, facts: Sequence[Fact], lease: Lease) -> None:
        """Tell of thresholds, and write down that it was done, in one commit. Raises Conflict when somebody else did."""
        memory, version = self._memories.get(seen.budget.id, (None, 0))
        after = rule.remembered(seen, memory)
        if after is None:
            return
        own = seen.budget.scope.instance is not None
        expires_at = self._ledger.clock.now() + KEPT_SECONDS if own else None
        put = records.put_budget_memory(after, expect=version, expires_at=expires_at)
        await self._ledger.tell(facts, puts=(put,), lease=lease)

    def untold(self, seen: View) -> tuple[int, ...]:
        """The thresholds that have to be told now."""
        memory, _ = self._memories.get(seen.budget.id, (None, 0))
        return rule.untold(seen, memory)

    async def _write(
        self,
        budget: Budget,
        version: int,
        context: Context,
        action: str,
        answer: AnswerToBudget,
        before: Budget | None = None,
    ) -> None:
        puts = self._receipt(context, answer, self._view(budget))
        if budget != before:
            detail = told(budget) if before is None else changed(before, budget)
            noted = self._ledger.note(context, action, target=budget.id, **detail)
            puts = (records.put_budget(budget, expect=version), *puts)
            await self._ledger.store.commit(Commit(puts=puts, appends=(noted,)))
        elif puts:
            await self._ledger.store.commit(Commit(puts=puts))

    def _receipt(self, context: Context, answer: AnswerToBudget, seen: View) -> tuple[Put, ...]:
        if context.draft is None:
            return ()
        return (context.draft.put(answer(seen), now=self._ledger.clock.now()),)

    async def _load(self, budget_id: str) -> tuple[Budget, int]:
        record = await self._ledger.store.get(records.BUDGET, budget_id)
        if record is None:
            raise _not_found(budget_id)
        return records.read_budget(record), record.version

    def _check_key(self, owner: str | None) -> None:
        known = {key.id for key in self._keys.all()} | {ENVIRONMENT_KEY_ID}
        if owner is not None and owner not in known:
            raise Refusal(Code.KEY_NOT_FOUND, f"there is no key {owner[:100]!r}")


def own_budget(instance: Instance) -> Budget | None:
    """The budget of its own that an instance was given, under the instance's id."""
    asked = instance.spec.budget
    if asked is None:
        return None
    return Budget(
        id=instance.id,
        name=f"of {instance.name}",
        limit=asked.limit,
        period=None,
        scope=Scope(instance=instance.id),
        created_at=instance.created_at,
        hard_stop=asked.hard_stop,
    )


def told(budget: Budget) -> dict[str, Any]:
    """A budget under the names of the API."""
    scope = budget.scope
    label = None if scope.label is None else f"{scope.label[0]}={scope.label[1]}"
    return {
        "name": budget.name,
        "limitUsd": dollars(budget.limit),
        "period": None if budget.period is None else str(budget.period),
        "scope": {"label": label, "key": scope.owner},
        "hardStop": budget.hard_stop,
        "thresholds": list(budget.thresholds),
    }


def changed(before: Budget, after: Budget) -> dict[str, Any]:
    """What a change changed: its new values."""
    was = told(before)
    return {name: value for name, value in told(after).items() if value != was[name]}


def exceeded(burst: Hold) -> Refusal:
    """The refusal of what a budget does not allow, with its figures."""
    return Refusal(Code.BUDGET_EXCEEDED, rule.refusal_words(burst), details=rule.facts(burst))


def _not_found(budget_id: str) -> Refusal:
    return Refusal(Code.BUDGET_NOT_FOUND, f"there is no budget {budget_id[:100]!r}")
