"""Budgets: made, listed, changed, taken away.

Everybody may read them. To change one needs an admin key: a budget holds down machines of everybody it covers, and a key that could
change its own budget would have none.
"""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from novitai.api.access import Here, Parts
from novitai.api.paging import slice_of
from novitai.api.queries import take
from novitai.api.routing import Routes, json_answer
from novitai.api.schemas.budgets import BudgetAnswer, BudgetBody, BudgetChangeBody, BudgetPage
from novitai.api.schemas.common import PageQuery
from novitai.domain.keys import Scope
from novitai.domain.money import dollars
from novitai.domain.times import iso, iso_or_none
from novitai.operations.budget import told
from novitai.operations.receipts import Answer
from novitai.policies.budget import View

ROUTES = Routes("budgets")

_MISSING = {404: "There is no such budget, or no such key"}


@ROUTES.add("GET", "/api/budgets", needs=Scope.READ, answer=BudgetPage)
async def list_budgets(parts: Parts, query: Annotated[PageQuery, Query()]) -> Response:
    """Budgets with what is spent of each, oldest first. An instance's own budget is shown with the instance."""
    found = parts.budgets.all()
    page, cursor = slice_of(found, "budgets", cursor=query.cursor, limit=query.limit)
    return json_answer(BudgetPage(budgets=[shown(one) for one in page], total=len(found), next_cursor=cursor))


@ROUTES.add(
    "POST", "/api/budgets", needs=Scope.ADMIN, answer=BudgetAnswer, status=201, others=_MISSING, commits_receipt=True
)
async def create_budget(body: BudgetBody, parts: Parts, visit: Here) -> Response:
    """Make a budget. It counts what was spent since its period began, and is told of at its thresholds once in each period."""
    made = await parts.budgets.make(body.request(), visit.context(), lambda seen: _receipt(seen, status=201))
    return json_answer(shown(made), status=201)


@ROUTES.add("GET", "/api/budgets/{budget_id}", needs=Scope.READ, answer=BudgetAnswer, others=_MISSING)
async def show_budget(budget_id: str, parts: Parts) -> Response:
    """One budget as it stands now."""
    return json_answer(shown(parts.budgets.one(budget_id)))


@ROUTES.add(
    "PATCH", "/api/budgets/{budget_id}", needs=Scope.ADMIN, answer=BudgetAnswer, others=_MISSING, commits_receipt=True
)
async def change_budget(budget_id: str, body: BudgetChangeBody, parts: Parts, visit: Here) -> Response:
    """Change a budget; what is left out stays. A raised limit lets go of what it held down; nothing is started by that alone."""
    changed = await parts.budgets.amend(budget_id, body.changes(), visit.context(), _receipt)
    return json_answer(shown(changed))


@ROUTES.add(
    "DELETE", "/api/budgets/{budget_id}", needs=Scope.ADMIN, answer=BudgetAnswer, others=_MISSING, commits_receipt=True
)
async def delete_budget(budget_id: str, parts: Parts, visit: Here) -> Response:
    """Take a budget away; the answer shows it as it was."""
    return json_answer(shown(await parts.budgets.remove(budget_id, visit.context(), _receipt)))


def shown(seen: View) -> BudgetAnswer:
    """A budget as readers see it."""
    budget = seen.budget
    return BudgetAnswer.model_validate(
        told(budget)
        | {
            "id": budget.id,
            "state": str(seen.state),
            "spentUsd": dollars(seen.spent),
            "forecastUsd": dollars(seen.spent if seen.forecast is None else seen.forecast),
            "percent": seen.percent,
            "usdPerHour": dollars(seen.per_hour),
            "periodStartedAt": iso(seen.since),
            "resetsAt": iso_or_none(seen.resets_at),
            "exceedsAt": iso_or_none(seen.exceeds_at),
            "createdAt": iso(budget.created_at),
        }
    )


def _receipt(seen: View, *, status: int = 200) -> Answer:
    return Answer(status=status, body=take(shown(seen)))
