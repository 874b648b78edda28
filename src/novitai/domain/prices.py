"""What products cost and whether they could be had, over time.

Novita sells a product under a billing mode at one price in all of its regions, so that is what has a history: a
*quote*, which holds until the next *point*. What a single region's history is follows from the regions of the quotes.
"""

import msgspec

from novitai.domain.machine import BillingMode
from novitai.domain.money import Usd
from novitai.domain.offers import Inventory

PRICES_DAYS = 400
"""How long prices are kept: a year, and the month that it is compared with."""


class SeriesKey(msgspec.Struct, frozen=True, order=True):
    """Whose history it is: a product under a billing mode."""

    product_id: str
    billing_mode: BillingMode


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """What the catalogue said of a product: its price per GPU and hour, its stock, and its clusters' ids in order."""

    price: Usd
    inventory: Inventory
    deployable: bool
    clusters: tuple[str, ...]

    @property
    def available(self) -> bool:
        """Whether a create would try it: stock that Novita does not tell is no reason not to (see `Inventory`)."""
        return self.deployable and self.inventory is not Inventory.NONE


class PricePoint(msgspec.Struct, frozen=True, kw_only=True):
    """From `at` on this quote holds; None: the product is no longer in the catalogue."""

    at: float
    key: SeriesKey
    product_name: str
    quote: Quote | None


class PriceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What one reading of the catalogue changed, as it is kept. `whole`: it repeats every quote that holds, so that whoever
    begins to read here knows the state. `regions`: names by cluster id, of the clusters in these points.
    """

    at: float
    points: tuple[PricePoint, ...]
    regions: dict[str, str] = {}
    whole: bool = False


class PriceAlert(msgspec.Struct, frozen=True, kw_only=True):
    """Tell when a product can be had below a price per GPU and hour. `text` is the alert as its owner wrote it."""

    text: str
    product_name: str
    billing_mode: BillingMode | None
    below: Usd
