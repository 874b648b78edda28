"""Money: what was spent by instance, label, key and day, what is to come, and how our figures compare with Novita's bill."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from novitai.api.access import Parts
from novitai.api.cost_csv import written
from novitai.api.paging import number, pack, slice_of, unpack
from novitai.api.parts import ApiParts
from novitai.api.routing import Routes, json_answer
from novitai.api.schemas.common import PageQuery
from novitai.api.schemas.costs import (
    BalanceAnswer,
    CostAnswer,
    CostQuery,
    DayCost,
    DifferenceAnswer,
    ForecastAnswer,
    InstanceCost,
    InstanceCostAnswer,
    KeyCost,
    LabelCost,
    MonthQuery,
    ReconciledDay,
    ReconciliationAnswer,
    SavingsAnswer,
    SegmentAnswer,
)
from novitai.api.schemas.verbs import unix
from novitai.domain.costs import DAY, DaySums, Reconciled, amount, hourly
from novitai.domain.errors import invalid
from novitai.domain.keys import Scope
from novitai.domain.money import Usd, dollars
from novitai.domain.times import date, iso
from novitai.operations import records
from novitai.operations.costs import DAYS_KEPT_SECONDS, Label
from novitai.policies.cost_days import Used, used, using
from novitai.policies.cost_report import (
    Dated,
    Forecast,
    GroupBy,
    Grouping,
    Total,
    by_key_and_label,
    forecast,
    month_after,
    month_of,
)

ROUTES = Routes("costs")
_NOT_FOUND = {404: "There is no such instance"}


@ROUTES.add("GET", "/api/cost", needs=Scope.READ, answer=CostAnswer)
async def get_costs(parts: Parts, query: Annotated[CostQuery, Query()]) -> Response:
    """What was spent between two times, disks of stopped machines included: by instance, label, key or day.

    It comes from our own ledger, to the second; days that are over are adjusted to Novita's bill when that has come. Of such a day that is
    cut by `from` or `to` a part in proportion is counted.
    """
    now = parts.clock.now()
    since, until = _window(query, now=now)
    label = _label(query.label)
    by = GroupBy(query.group_by)
    grouping = Grouping(by)
    async for rows in parts.costs.rows(since=since, until=until):
        grouping.add(one for one in rows if _wanted(one, label=label, owner=query.key))
    totals = grouping.totals()
    page, cursor = slice_of(totals, f"cost:{by}", cursor=query.cursor, limit=query.limit)
    burn = parts.costs.burn_per_hour(label=label, owner=query.key)
    answer = CostAnswer.model_validate(
        {
            "from": iso(since),
            "to": iso(until),
            "group_by": query.group_by,
            **_sums(grouping.whole()),
            f"{by}s": _groups(parts, by, page),
            "count": len(totals),
            "next_cursor": cursor,
            "forecast": _forecast(forecast(burn, now=now)),
            "balance": _balance(parts),
            "reconciliation": _reconciliation(parts.costs.days(), since=since, until=until),
        }
    )
    return Response(answer.model_dump_json(by_alias=True, exclude_unset=True), media_type="application/json")


@ROUTES.add("GET", "/api/cost/monthly.csv", needs=Scope.READ, media="text/csv")
async def get_monthly_costs(parts: Parts, query: Annotated[MonthQuery, Query()]) -> Response:
    """A month (UTC) as CSV by key and label, for a spreadsheet: one line with an empty label for everything of a key, then one for each of
    its labels. Texts that a spreadsheet would take for a formula have an apostrophe in front.
    """
    now = parts.clock.now()
    since = (
        month_of(now)
        if query.month is None
        else datetime.strptime(query.month, "%Y-%m").replace(tzinfo=UTC).timestamp()
    )
    rows: list[Dated] = []
    if since < now:
        async for some in parts.costs.rows(since=since, until=min(now, month_after(since))):
            rows += some
    month = date(since)[:7]
    text = written(month, by_key_and_label(rows), names=_key_names(parts))
    headers = {"Content-Disposition": f'attachment; filename="novitai-cost-{month}.csv"'}
    return Response(text, media_type="text/csv", headers=headers)


@ROUTES.add(
    "GET",
    "/api/instances/{instance_id:reference}/cost",
    needs=Scope.READ,
    answer=InstanceCostAnswer,
    others=_NOT_FOUND,
)
async def get_instance_cost(instance_id: str, parts: Parts, query: Annotated[PageQuery, Query()]) -> Response:
    """Everything an instance has cost, over all its runs and machines, with each rate that was paid."""
    instance = (await parts.verbs.resolve(instance_id)).instance
    now = parts.clock.now()
    scope = f"cost:{instance.id}"
    after = number(unpack(scope, query.cursor, length=1)[0]) if query.cursor is not None else None
    entries, following = await parts.costs.segments(instance.id, limit=query.limit, after=after)
    running = using(instance) if after is None else ()
    ended = [used(records.read_cost(entry.body)) for entry in entries]
    sums, adjustment = instance.meter.until(now), parts.costs.adjusted(instance.id)
    burn = Usd(sum(hourly(charge.rate) for charge in instance.meter.running))
    return json_answer(
        InstanceCostAnswer(
            instance_id=instance.id,
            name=instance.name,
            total=dollars(Usd(sums.total + adjustment)),
            gpu=dollars(sums.gpu),
            disk=dollars(sums.disk),
            adjustment=dollars(adjustment),
            forecast=_forecast(forecast(burn, now=now)),
            savings=_savings(Usd(sums.on_demand - sums.gpu), Usd(sums.dearest - sums.gpu)),
            segments=[_segment(one, now=now) for one in (*running, *ended)],
            next_cursor=None if following is None else pack(scope, following),
        )
    )


def _window(query: CostQuery, *, now: float) -> tuple[float, float]:
    until = now if query.to is None else min(now, unix(query.to))
    since = month_of(until) if query.from_ is None else unix(query.from_)
    if since > until:
        raise invalid("from", "must not be after 'to', nor in the future")
    if until - since > DAYS_KEPT_SECONDS:
        raise invalid(
            "from", f"must be at most {DAYS_KEPT_SECONDS / DAY:g} days before 'to': days are kept for so long"
        )
    return since, until


def _label(text: str | None) -> Label | None:
    if text is None:
        return None
    key, _, value = text.partition("=")
    return key, value


def _wanted(one: Dated, *, label: Label | None, owner: str | None) -> bool:
    row = one[2]
    return (owner is None or row.owner == owner) and (label is None or row.labels.get(label[0]) == label[1])


def _groups(parts: ApiParts, by: GroupBy, totals: Sequence[Total]) -> list[Any]:
    match by:
        case GroupBy.INSTANCE:
            return [_of_instance(one) for one in totals]
        case GroupBy.LABEL:
            return [LabelCost(label=one.word or None, instances=one.instances, **_sums(one)) for one in totals]
        case GroupBy.KEY:
            names = _key_names(parts)
            return [
                KeyCost(key=one.word, name=names.get(one.word), instances=one.instances, **_sums(one)) for one in totals
            ]
        case GroupBy.DAY:
            return [DayCost(date=one.word, instances=one.instances, **_sums(one)) for one in totals]


def _of_instance(one: Total) -> InstanceCost:
    row = one.example
    assert row is not None
    return InstanceCost(instance_id=row.instance, name=row.name, key=row.owner, labels=row.labels, **_sums(one))


def _key_names(parts: ApiParts) -> dict[str, str]:
    return {key.id: key.name for key in parts.keys.all()}


def _sums(one: Total) -> dict[str, Any]:
    return {
        "total": dollars(one.total),
        "gpu": dollars(one.gpu),
        "disk": dollars(one.disk),
        "adjustment": dollars(one.adjustment),
        "gpu_hours": round(one.gpu_seconds / 3600, 4),
        "savings": _savings(one.saved_on_demand, one.saved_dearest),
    }


def _savings(on_demand: Usd, dearest: Usd) -> SavingsAnswer:
    return SavingsAnswer(against_on_demand=dollars(on_demand), against_dearest=dollars(dearest))


def _forecast(found: Forecast) -> ForecastAnswer:
    return ForecastAnswer(
        per_hour=dollars(found.per_hour),
        rest_of_day=dollars(found.rest_of_day),
        rest_of_month=dollars(found.rest_of_month),
    )


def _balance(parts: ApiParts) -> BalanceAnswer | None:
    seen, burn = parts.costs.balance, parts.costs.burn_per_hour()
    if seen is None:
        return None
    hours = round(max(0.0, seen.amount / burn), 2) if burn else None
    return BalanceAnswer(amount=dollars(seen.amount), at=iso(seen.at), hours_left=hours)


def _reconciliation(days: Sequence[DaySums], *, since: float, until: float) -> ReconciliationAnswer:
    within = [day for day in reversed(days) if since < day.start + DAY and day.start < until]
    return ReconciliationAnswer(
        days=[_reconciled(day.start, day.reconciled) for day in within if day.reconciled is not None],
        waiting=sum(day.reconciled is None and bool(day.by) for day in within),
    )


def _reconciled(start: int, found: Reconciled) -> ReconciledDay:
    return ReconciledDay(
        date=date(start),
        at=iso(found.at),
        ours=dollars(found.ours),
        billed=dollars(found.billed),
        difference_percent=round(100 * found.share, 3),
        machines=found.machines,
        elsewhere=dollars(found.elsewhere),
        final=found.final,
        differences=[
            DifferenceAnswer(
                instance_id=one.instance,
                novita_instance_id=one.machine,
                ours=dollars(one.ours),
                billed=None if one.billed is None else dollars(one.billed),
            )
            for one in found.differences
        ],
    )


def _segment(one: Used, *, now: float) -> SegmentAnswer:
    charge = one.charge
    end = now if one.until is None else one.until
    return SegmentAnswer(
        kind=charge.kind.value,
        novita_instance_id=charge.machine,
        per_hour=dollars(hourly(charge.rate)),
        since=iso(charge.since),
        until=None if one.until is None else iso(one.until),
        cost=dollars(amount(charge.rate, since=charge.since, start=charge.since, end=end)),
        labels=dict(one.labels),
    )
