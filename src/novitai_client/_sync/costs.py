# Generated from src/novitai_client/_async/costs.py
# by scripts/generate_sync_client.py: change that file, then run the script.

"""Calls about money: what was spent, what is to come, the month for a spreadsheet."""

from datetime import datetime

from novitai_client._calls import Call, moment, params, path
from novitai_client._sync.connection import Connection
from novitai_client.models import CostPage, InstanceCost


class CostCalls(Connection):
    """Calls about money."""

    def costs(
        self,
        *,
        group_by: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        label: str | None = None,
        key: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> CostPage:
        """What was spent between two times (this month until now), by `instance`, `label`, `key` or `day`; with the disks of stopped
        machines.

        `label` (`k=v`) and `key` (an id) narrow it down. One page; `cursor` is `next_cursor` of the page before.
        """
        query = {
            "groupBy": group_by,
            "from": moment(since),
            "to": moment(until),
            "label": label,
            "key": key,
            "limit": limit,
            "cursor": cursor,
        }
        return self._get(CostPage, path("cost"), query)

    def instance_cost(self, instance: str, *, limit: int | None = None, cursor: str | None = None) -> InstanceCost:
        """Everything an instance has cost, with each rate that was paid. Raises NotFound."""
        return self._get(InstanceCost, path("instances", instance, "cost"), {"limit": limit, "cursor": cursor})

    def monthly_costs(self, month: str | None = None) -> str:
        """A month (`2026-11`; the present one when left out) as CSV by key and label."""
        call = Call(method="GET", path=path("cost", "monthly.csv"), params=params({"month": month}))
        return (self._send(call)).body.decode()
