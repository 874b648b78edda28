"""Calls about budgets. Reading them needs any key, changing them an admin key."""

from collections.abc import Sequence
from typing import Any

from novitai_client._answers import Paged
from novitai_client._async.connection import Connection
from novitai_client._calls import given, path
from novitai_client.models import Budget


class _Budgets(Paged, frozen=True, kw_only=True):
    budgets: tuple[Budget, ...]


class BudgetCalls(Connection):
    """Calls about budgets."""

    async def budgets(self) -> tuple[Budget, ...]:
        """Every budget as it stands now, oldest first."""
        pages = self._pages(_Budgets, path("budgets"))
        return tuple([one async for page in pages for one in page.budgets])

    async def budget(self, budget_id: str) -> Budget:
        """One budget as it stands now. Raises NotFound."""
        return await self._get(Budget, path("budgets", budget_id))

    async def create_budget(
        self,
        name: str,
        *,
        limit: float,
        period: str = "month",
        label: str | None = None,
        key: str | None = None,
        hard_stop: bool = False,
        thresholds: Sequence[int] | None = None,
    ) -> Budget:
        """Make a budget of so many USD per `period` (day, week or month, in UTC). `label` (`k=v`) and `key` (an id) say whose money
        counts; without them everything does. With `hard_stop` what it covers is stopped when it is used up.
        """
        body: dict[str, Any] = {"name": name, "limitUsd": limit, "period": period, "hardStop": hard_stop}
        scope = given({"label": label, "key": key})
        body |= given({"scope": scope or None, "thresholds": None if thresholds is None else list(thresholds)})
        return await self._change(Budget, "POST", path("budgets"), body)

    async def update_budget(
        self,
        budget_id: str,
        *,
        name: str | None = None,
        limit: float | None = None,
        period: str | None = None,
        label: str | None = None,
        key: str | None = None,
        total: bool = False,
        hard_stop: bool | None = None,
        thresholds: Sequence[int] | None = None,
    ) -> Budget:
        """Change a budget; what is left out stays. `label` and `key` together take the place of the present scope, and `total` clears it.
        Raises NotFound.
        """
        body = given(
            {
                "name": name,
                "limitUsd": limit,
                "period": period,
                "scope": "total" if total else given({"label": label, "key": key}) or None,
                "hardStop": hard_stop,
                "thresholds": None if thresholds is None else list(thresholds),
            }
        )
        return await self._change(Budget, "PATCH", path("budgets", budget_id), body)

    async def delete_budget(self, budget_id: str) -> Budget:
        """Take a budget away; it is given as it was. Raises NotFound."""
        return await self._change(Budget, "DELETE", path("budgets", budget_id))
