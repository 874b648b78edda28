"""Prices over time: what each product costs and cost in each region, and when it could be had. USD per GPU and hour."""

from typing import Literal

from pydantic import Field

from novitai.api.schemas.common import MOST_IN_A_PAGE, Answer, Page, PageQuery, Time
from novitai.domain.prices import PRICES_DAYS


class PriceQuery(PageQuery):
    """Which histories, and how far back."""

    product_name: str | None = Field(default=None, min_length=1, max_length=200)
    product_id: str | None = Field(default=None, min_length=1, max_length=200)
    region: str | None = Field(default=None, min_length=1, max_length=200)
    billing_mode: Literal["spot", "onDemand"] | None = None
    days: int = Field(default=30, ge=1, le=PRICES_DAYS)
    limit: int = Field(default=50, ge=1, le=MOST_IN_A_PAGE)


class PriceNow(Answer):
    """What holds now, and since when."""

    price_per_gpu_hour: float
    inventory: str
    since: Time


class PriceAt(Answer):
    """A price, and when it began to hold in the window."""

    price_per_gpu_hour: float
    at: Time


class PriceChange(Answer):
    """From `at` on. `pricePerGpuHour` null: not offered any more. `available`: it could be had."""

    at: Time
    price_per_gpu_hour: float | None
    inventory: str | None
    available: bool


class PriceAnswer(Answer):
    """A product in a region under a billing mode. `cheapest`: the lowest price at which it could be had; `average` and `median` are over
    the time in which it was offered; `availableFraction`: the part of the window (or of the time since it first appeared) in which it could
    be had. `changes` begin with what held when the window began; `changeCount` says how many there are when some are left out.
    """

    product_id: str
    product_name: str
    region: str
    cluster_id: str
    billing_mode: str
    now: PriceNow | None
    cheapest: PriceAt | None
    average: float
    median: float
    available_fraction: float
    change_count: int
    changes: list[PriceChange]


class CheapestPrice(Answer):
    """Where and when what was asked for could be had for the least."""

    product_id: str
    product_name: str
    region: str
    cluster_id: str
    billing_mode: str
    price_per_gpu_hour: float
    at: Time


class PricePage(Page):
    """Histories between `since` and `until`, what can be had now first, from the cheapest up. `cheapestNow` and `cheapestInWindow` are over
    all that matches, not over the page.
    """

    prices: list[PriceAnswer]
    since: Time
    until: Time
    cheapest_now: CheapestPrice | None
    cheapest_in_window: CheapestPrice | None
