"""What products cost and cost before: the price history, from memory."""

from collections.abc import Iterable
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from novitai.api.access import Parts
from novitai.api.paging import slice_of
from novitai.api.routing import Routes, json_answer
from novitai.api.schemas.prices import (
    CheapestPrice,
    PriceAnswer,
    PriceAt,
    PriceChange,
    PriceNow,
    PricePage,
    PriceQuery,
)
from novitai.domain.keys import Scope
from novitai.domain.machine import BillingMode
from novitai.domain.money import dollars
from novitai.domain.times import iso
from novitai.operations.prices import PriceFilter, PriceRow
from novitai.policies.prices import Cheapest, Step, thinned

ROUTES = Routes("account")

MOST_CHANGES = 500
MOST_IN_ALL = 2_500
"""Changes of one history, and of all on a page together: more is no use to a chart, and delays everybody else."""
FEWEST_CHANGES = 10


@ROUTES.add(
    "GET", "/api/prices", needs=Scope.READ, answer=PricePage, others={404: "No history of such a product or region"}
)
async def list_prices(parts: Parts, query: Annotated[PriceQuery, Query()]) -> Response:
    """Prices and availability over the last `days`, by product, region and billing mode: every change that a reading of the catalogue
    showed.

    Long histories are thinned out for the answer, so that the cheapest of each stretch stays; with few rows up to 500
    changes of each are given.
    """
    await parts.prices.follow()
    until = parts.clock.now()
    since = until - query.days * 86_400.0
    wanted = PriceFilter(
        product_name=query.product_name,
        product_id=query.product_id,
        region=query.region,
        billing_mode=BillingMode(query.billing_mode) if query.billing_mode else None,
    )
    rows = await parts.prices.rows(wanted, since=since, until=until)
    page, cursor = slice_of(rows, "prices", cursor=query.cursor, limit=query.limit)
    most = max(FEWEST_CHANGES, min(MOST_CHANGES, MOST_IN_ALL // max(1, len(page))))
    changes = {row.history: [_change(step) for step in thinned(row.history(), most)] for row in _unlike(page)}
    return json_answer(
        PricePage(
            prices=[_answer(row, changes[row.history]) for row in page],
            since=iso(since),
            until=iso(until),
            cheapest_now=_least((row, _had_now(row)) for row in rows[:1]),
            cheapest_in_window=_least((row, row.summary.cheapest) for row in rows),
            total=len(rows),
            next_cursor=cursor,
        )
    )


def _unlike(rows: Iterable[PriceRow]) -> Iterable[PriceRow]:
    """One row for each history: regions of a product mostly share theirs."""
    return {row.history: row for row in rows}.values()


def _answer(row: PriceRow, changes: list[PriceChange]) -> PriceAnswer:
    summary, cheapest, history = row.summary, row.summary.cheapest, row.history()
    return PriceAnswer(
        product_id=row.key.product_id,
        product_name=row.product_name,
        region=row.region,
        cluster_id=row.cluster_id,
        billing_mode=str(row.key.billing_mode),
        now=_now(history[-1]),
        cheapest=PriceAt(price_per_gpu_hour=dollars(cheapest.price), at=iso(cheapest.at)) if cheapest else None,
        average=dollars(summary.average),
        median=dollars(summary.median),
        available_fraction=round(summary.available, 4),
        change_count=len(history),
        changes=changes,
    )


def _now(step: Step) -> PriceNow | None:
    at, offered = step
    if offered is None:
        return None
    return PriceNow(price_per_gpu_hour=dollars(offered.price), inventory=str(offered.inventory), since=iso(at))


def _change(step: Step) -> PriceChange:
    at, offered = step
    if offered is None:
        return PriceChange(at=iso(at), price_per_gpu_hour=None, inventory=None, available=False)
    return PriceChange(
        at=iso(at),
        price_per_gpu_hour=dollars(offered.price),
        inventory=str(offered.inventory),
        available=offered.available,
    )


def _had_now(row: PriceRow) -> Cheapest | None:
    """The price at which it can be had now. Rows that can be had stand first, so the first row tells for all."""
    return Cheapest(row.now.price, row.history()[-1][0]) if row.now is not None and row.available else None


def _least(found: Iterable[tuple[PriceRow, Cheapest | None]]) -> CheapestPrice | None:
    """The lowest of these prices; of equal ones the first."""
    had = [(cheapest, row) for row, cheapest in found if cheapest is not None]
    if not had:
        return None
    cheapest, row = min(had, key=lambda one: one[0].price)
    return CheapestPrice(
        product_id=row.key.product_id,
        product_name=row.product_name,
        region=row.region,
        cluster_id=row.cluster_id,
        billing_mode=str(row.key.billing_mode),
        price_per_gpu_hour=dollars(cheapest.price),
        at=iso(cheapest.at),
    )
