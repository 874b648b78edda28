"""What can be bought now (offers), and what a request requires of them."""

from enum import StrEnum

import msgspec

from novitai.domain.machine import BillingMode
from novitai.domain.money import Usd


class Inventory(StrEnum):
    """How much of a product Novita says is left (novita-wire.md 3.2)."""

    NONE = "none"
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    UNKNOWN = "unknown"


class Region(msgspec.Struct, frozen=True):
    """One of Novita's clusters. `code` is the part of its name before the blank, such as `US-CA-06`; ids look like
    `us-ca-6`.
    """

    cluster_id: str
    name: str
    network_storage: bool = False

    @property
    def code(self) -> str:
        return self.name.split(" ", 1)[0]

    def answers_to(self, word: str) -> bool:
        """Whether a person means this region by `word`: its id, code or name, letter case aside."""
        return word.strip().lower() in {self.cluster_id.lower(), self.code.lower(), self.name.lower()}


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """A machine type in the catalogue, read for one billing mode. Prices are per GPU and hour; `regions` empty means
    every region.
    """

    id: str
    name: str
    billing_mode: BillingMode
    price_per_gpu: Usd
    regions: tuple[str, ...]
    deployable: bool
    inventory: Inventory = Inventory.UNKNOWN
    cpu_per_gpu: int = 0
    memory_per_gpu: int = 0
    min_rootfs: int = 0
    max_rootfs: int = 0


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """Products and regions as read from Novita at one time."""

    products: tuple[Product, ...]
    regions: tuple[Region, ...]
    read_at: float

    def region(self, word: str) -> Region | None:
        """The region a person means, or None."""
        return next((region for region in self.regions if region.answers_to(word)), None)


class OfferKey(msgspec.Struct, frozen=True):
    """What makes an offer the same offer: product, region and billing mode."""

    product_id: str
    cluster_id: str
    billing_mode: BillingMode


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A product in a region under a billing mode, at a price per hour for the whole instance."""

    product_id: str
    product_name: str
    cluster_id: str
    region: str
    billing_mode: BillingMode
    gpu_num: int
    price_per_hour: Usd
    spot_price_per_hour: Usd | None = None
    inventory: Inventory = Inventory.UNKNOWN

    @property
    def key(self) -> OfferKey:
        return OfferKey(self.product_id, self.cluster_id, self.billing_mode)


class Placement(StrEnum):
    """How offers compete: by price alone, or the preferred region first."""

    CHEAPEST = "cheapest"
    REGION_FIRST = "region-first"


class BillingChoice(StrEnum):
    """What a request allows: one mode, or whichever is cheaper."""

    SPOT = "spot"
    ON_DEMAND = "onDemand"
    AUTO = "auto"

    @property
    def modes(self) -> tuple[BillingMode, ...]:
        if self is BillingChoice.SPOT:
            return (BillingMode.SPOT,)
        if self is BillingChoice.ON_DEMAND:
            return (BillingMode.ON_DEMAND,)
        return (BillingMode.SPOT, BillingMode.ON_DEMAND)


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """What an offer must satisfy. `regions` are cluster ids, empty for all; `preferred` wins ties (or leads, see
    Placement).
    """

    product_name: str | None = None
    product_id: str | None = None
    gpu_num: int = 1
    rootfs_gb: int = 60
    billing: BillingChoice = BillingChoice.SPOT
    regions: tuple[str, ...] = ()
    preferred: str | None = None
    placement: Placement = Placement.CHEAPEST
    max_price_per_hour: Usd | None = None


class Objection(StrEnum):
    """The first rule that an offer breaks."""

    REGION = "region"
    NOT_OFFERED = "notOffered"
    PRICE = "price"
    DISK = "disk"
    CAPACITY = "capacity"
    REFUSED = "refused"
    COOLING = "cooling"

    @property
    def passes(self) -> bool:
        """Whether waiting may help: only capacity comes and goes by itself."""
        return self in {Objection.CAPACITY, Objection.REFUSED, Objection.COOLING}


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """An offer in its place. `rank` counts from 1 among those that fit; 0 for those that do not. `reason` says why
    it stands there.
    """

    rank: int
    offer: Offer
    reason: str
    objection: Objection | None = None

    @property
    def fits(self) -> bool:
        return self.objection is None
