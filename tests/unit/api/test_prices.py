"""`GET /api/prices`: the history as callers see it."""

from typing import Any

import jsonschema_rs
import pytest

from novitai.api.event_schemas import schemas_by_type
from novitai.domain.machine import BillingMode
from novitai.domain.money import Usd
from novitai.domain.offers import Inventory
from novitai.domain.prices import PriceEntry, PricePoint, Quote, SeriesKey
from novitai.operations import records
from novitai.ports.store import Commit
from support import builders
from support.api_house import House

DAY = 86_400.0
REGIONS = {region.cluster_id: region.name for region in (builders.CALIFORNIA, builders.INDIA)}


async def keep(house: House, *points: PricePoint) -> None:
    """Let these have been seen."""
    made = [PriceEntry(at=point.at, points=(point,), regions=REGIONS) for point in points]
    appends = [records.append_prices(entry, entry_id=house.parts.ids.new("prc")) for entry in made]
    await house.parts.store.commit(Commit(appends=tuple(appends)))


def seen(house: House, days_ago: float, price: int | None, product: str = "4090", **fields: Any) -> PricePoint:
    mode = fields.pop("mode", BillingMode.SPOT)
    usual: dict[str, Any] = {"inventory": Inventory.HIGH, "deployable": True, "clusters": tuple(sorted(REGIONS))}
    return PricePoint(
        at=house.clock.now() - days_ago * DAY,
        key=SeriesKey(product, mode),
        product_name=f"RTX {product} 24GB",
        quote=None if price is None else Quote(price=Usd(price), **(usual | fields)),
    )


async def test_a_history_says_what_holds_what_was_and_what_it_comes_to(house: House, admin):
    """Now, the cheapest moment, the average, and every change with its time."""
    await keep(house, seen(house, 40, 30_000), seen(house, 20, 20_000), seen(house, 10, 40_000))

    page = (await admin.get("/api/prices?days=30&region=US-CA-06")).json()

    [row] = page["prices"]
    assert (row["region"], row["billingMode"], row["now"]["pricePerGpuHour"]) == (builders.CALIFORNIA.name, "spot", 0.4)
    assert [change["pricePerGpuHour"] for change in row["changes"]] == [0.3, 0.2, 0.4]
    assert (row["cheapest"]["pricePerGpuHour"], row["average"], row["availableFraction"]) == (0.2, 0.3, 1.0)
    assert (row["now"]["since"], row["changeCount"]) == (row["changes"][2]["at"], 3)
    assert page["cheapestNow"]["pricePerGpuHour"] == 0.4
    assert (page["cheapestInWindow"]["pricePerGpuHour"], page["cheapestInWindow"]["at"]) == (
        0.2,
        row["changes"][1]["at"],
    )


async def test_what_can_be_had_now_comes_first_and_what_is_gone_has_no_price(house: House, admin):
    """Sold out behind, gone last, and neither is the cheapest now."""
    await keep(
        house,
        seen(house, 5, 50_000, "dear"),
        seen(house, 5, 10_000, "soldout", inventory=Inventory.NONE),
        seen(house, 5, 5_000, "gone"),
        seen(house, 1, None, "gone"),
    )

    page = (await admin.get("/api/prices?region=as-in-1")).json()

    assert [row["productId"] for row in page["prices"]] == ["dear", "soldout", "gone"]
    assert page["prices"][2]["now"] is None
    assert page["prices"][2]["changes"][-1] == {
        "at": page["prices"][2]["changes"][-1]["at"],
        "pricePerGpuHour": None,
        "inventory": None,
        "available": False,
    }
    assert (page["cheapestNow"]["productId"], page["cheapestInWindow"]["productId"]) == ("dear", "gone")
    assert page["prices"][1]["cheapest"] is None


async def test_filters_and_pages_hold_together(house: House, admin):
    """The cursor of a page leads to the next, and the total counts all that match."""
    await keep(
        house, seen(house, 5, 1_000), seen(house, 5, 2_000, mode=BillingMode.ON_DEMAND), seen(house, 5, 3_000, "l40s")
    )

    first = (await admin.get("/api/prices?productName=4090&limit=3")).json()
    rest = (await admin.get(f"/api/prices?productName=4090&limit=3&cursor={first['nextCursor']}")).json()
    spot = (await admin.get("/api/prices?productId=4090&billingMode=spot")).json()

    assert [len(first["prices"]), len(rest["prices"]), first["total"], spot["total"]] == [3, 1, 4, 2]
    assert rest["nextCursor"] is None
    assert rest["cheapestNow"] == first["cheapestNow"]


async def test_a_long_history_is_thinned_and_keeps_its_cheapest_moment(house: House, admin):
    """At most 500 changes, with the true number beside them."""
    points = [seen(house, 20 - n / 100, 10_000 + (n * 7919) % 1_000 - (n == 700) * 5_000) for n in range(1_500)]
    await keep(house, *points)

    [row] = (await admin.get("/api/prices?region=AS-IN-01")).json()["prices"]

    assert (len(row["changes"]) <= 500, row["changeCount"]) == (True, 1_500)
    assert row["cheapest"]["pricePerGpuHour"] in {change["pricePerGpuHour"] for change in row["changes"]}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("productName=H900", 404, "PRODUCT_NOT_FOUND"),
        ("productId=nothing", 404, "PRODUCT_NOT_FOUND"),
        ("region=XX-99", 404, "REGION_NOT_FOUND"),
        ("days=401", 422, "VALIDATION_ERROR"),
        ("days=0", 422, "VALIDATION_ERROR"),
        ("billingMode=auto", 422, "VALIDATION_ERROR"),
        ("cursor=zzz", 422, "VALIDATION_ERROR"),
        ("product=4090", 422, "VALIDATION_ERROR"),
    ],
)
async def test_names_and_values_that_mean_nothing_are_refused(house: House, admin, query, status, code):
    """A typing error must not look like an empty history."""
    await keep(house, seen(house, 5, 1_000))

    answer = await admin.get(f"/api/prices?{query}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_before_the_first_reading_there_is_an_empty_page(house: House, admin):
    """Nothing is known yet, so no name is wrong yet."""
    page = (await admin.get("/api/prices?productName=RTX 4090")).json()

    assert (page["prices"], page["total"], page["cheapestNow"], page["cheapestInWindow"]) == ([], 0, None, None)


async def test_a_billing_mode_that_a_known_product_lacks_is_an_empty_page(house: House, admin):
    """The product exists; it was just never sold that way."""
    await keep(house, seen(house, 5, 1_000))

    assert (await admin.get("/api/prices?productName=4090&billingMode=onDemand")).json()["total"] == 0


def test_the_alert_has_a_schema_of_its_own():
    """Receivers can check what they get."""
    schema = schemas_by_type()["price.below"]

    jsonschema_rs.meta.validate(schema)
    assert schema["properties"]["data"]["properties"]["pricePerGpuHour"] == {"type": "number"}
