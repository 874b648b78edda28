"""Offers: what can be bought, in which order it would be tried, and why."""

from typing import Literal

from pydantic import Field

from novitai.api.schemas.common import Answer, Page, PageQuery


class OfferAnswer(Answer):
    """A product in a region under a billing mode. `rank` counts from 1 among those that fit, null for those that do not."""

    rank: int | None
    product_id: str
    product_name: str
    region: str
    cluster_id: str
    billing_mode: str
    gpu_num: int
    price_per_hour: float
    inventory: str
    fits: bool
    reason: str


class OfferPage(Page):
    """Offers, best first. `catalogueAgeSeconds` says how old prices and stock are."""

    offers: list[OfferAnswer]
    catalogue_age_seconds: float | None


class OfferQuery(PageQuery):
    """Which offers; the same words and defaults as in a create."""

    product_name: str | None = Field(default=None, min_length=1, max_length=200)
    product_id: str | None = Field(default=None, min_length=1, max_length=200)
    gpu_num: int = Field(default=1, ge=1, le=8)
    rootfs_size: int | None = Field(default=None, ge=10, le=6144)
    region: list[str] = Field(default=[], max_length=50)
    billing_mode: Literal["spot", "onDemand", "auto"] = "spot"
    placement: Literal["cheapest", "region-first"] | None = None
    max_price_per_hour: float | None = Field(default=None, gt=0, le=1_000_000)
