"""Prices over time, in USD per GPU and hour."""

from novitai_client.models.base import Shape, Time


class PriceNow(Shape, frozen=True, kw_only=True):
    """What holds now, and since when."""

    price_per_gpu_hour: float
    inventory: str
    since: Time


class PriceAt(Shape, frozen=True, kw_only=True):
    """A price, and when it began to hold in the window."""

    price_per_gpu_hour: float
    at: Time


class PriceChange(Shape, frozen=True, kw_only=True):
    """From `at` on; a price of None: not offered any more. `available`: it could be had."""

    at: Time
    price_per_gpu_hour: float | None = None
    inventory: str | None = None
    available: bool = False


class PriceHistory(Shape, frozen=True, kw_only=True):
    """A product in a region under a billing mode. `now` is None when it is not offered, `cheapest` when it could never be had. `changes`
    begin with what held when the window began; `change_count` says how many there are when the server left some out.
    """

    product_id: str
    product_name: str
    region: str
    cluster_id: str
    billing_mode: str
    now: PriceNow | None = None
    cheapest: PriceAt | None = None
    average: float | None = None
    median: float | None = None
    available_fraction: float = 0.0
    change_count: int = 0
    changes: tuple[PriceChange, ...] = ()


class CheapestPrice(Shape, frozen=True, kw_only=True):
    """Where and when what was asked for could be had for the least."""

    product_id: str
    product_name: str
    region: str
    cluster_id: str
    billing_mode: str
    price_per_gpu_hour: float
    at: Time


class PricePage(Shape, frozen=True, kw_only=True):
    """Histories between `since` and `until`, what can be had now first; the two cheapest are over all that matches."""

    prices: tuple[PriceHistory, ...]
    total: int = 0
    next_cursor: str | None = None
    since: Time | None = None
    until: Time | None = None
    cheapest_now: CheapestPrice | None = None
    cheapest_in_window: CheapestPrice | None = None
