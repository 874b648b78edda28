"""Ranked offers as callers see them."""

from novitai.api.schemas.offers import OfferAnswer
from novitai.domain.money import dollars
from novitai.domain.offers import Ranked


def offer_answer(place: Ranked) -> OfferAnswer:
    """An offer in its place."""
    offer = place.offer
    return OfferAnswer(
        rank=place.rank if place.fits else None,
        product_id=offer.product_id,
        product_name=offer.product_name,
        region=offer.region,
        cluster_id=offer.cluster_id,
        billing_mode=str(offer.billing_mode),
        gpu_num=offer.gpu_num,
        price_per_hour=dollars(offer.price_per_hour),
        inventory=str(offer.inventory),
        fits=place.fits,
        reason=place.reason,
    )
