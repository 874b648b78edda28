"""Which offer fits, in which order to try, at what price: a pure ranking with stated ties and a reason for every place.

Order among fitting offers: price per hour of the whole instance; then the preferred region; then more memory per GPU,
more CPU per GPU; then product id, cluster id and billing mode, so that equal inputs always give equal answers. With
`region-first` the preferred region leads and price follows. Offers that do not fit come after, each with the first rule
that it breaks.

A product is named when its name holds every word of the request, in any order: `4090 24GB`, `rtx4090` and `RTX 4090 24
GB` mean the same, `L4` does not mean `L40S`, and `A100` does not mean `A1000`.
"""

import re
from collections.abc import Iterable, Mapping

from novitai.domain.machine import BillingMode
from novitai.domain.money import Usd, dollars
from novitai.domain.offers import (
    Catalogue,
    Inventory,
    Objection,
    Offer,
    OfferKey,
    Placement,
    Product,
    Ranked,
    Region,
    Requirement,
)


def rank(
    catalogue: Catalogue,
    requirement: Requirement,
    *,
    now: float,
    cooling: Mapping[OfferKey, float] | None = None,
    refused: Iterable[OfferKey] = (),
) -> tuple[Ranked, ...]:
    """Every offer of the named product, best first.

    `cooling`: until when (Unix seconds) an offer that answered "no capacity" is skipped. `refused`: offers that already
    refused this very request.
    """
    cooling = cooling or {}
    refused = frozenset(refused)
    judged = [
        (offer, product, _objection(offer, product, requirement, now=now, cooling=cooling, refused=refused))
        for product in catalogue.products
        if _named(product, requirement) and product.billing_mode in requirement.billing.modes
        for offer in _offers(product, catalogue.regions, requirement.gpu_num)
    ]
    fitting = sorted(
        ((offer, product) for offer, product, objection in judged if objection is None),
        key=lambda pair: _order(pair[0], pair[1], requirement),
    )
    losing = sorted(
        ((offer, objection) for offer, _, objection in judged if objection is not None),
        key=lambda pair: (pair[0].price_per_hour, pair[0].product_id, pair[0].cluster_id, pair[0].billing_mode),
    )
    best = fitting[0][0] if fitting else None
    placed = [
        Ranked(rank=place, offer=offer, reason=_praise(offer, place, best=best, requirement=requirement))
        for place, (offer, _) in enumerate(fitting, start=1)
    ]
    lost = (Ranked(rank=0, offer=offer, objection=objection, reason=why) for offer, (objection, why) in losing)
    return (*placed, *lost)


def known_product(catalogue: Catalogue, requirement: Requirement) -> bool:
    """Whether the catalogue has the named product at all, under any billing mode."""
    return any(_named(product, requirement) for product in catalogue.products)


def _named(product: Product, requirement: Requirement) -> bool:
    if requirement.product_id is not None:
        return product.id == requirement.product_id
    if requirement.product_name is None:
        return True
    return means(requirement.product_name, product.name)


def means(asked: str, name: str) -> bool:
    """Whether a person who asks for a product by these words means the one of this name."""
    wanted = _words(asked)
    return bool(wanted) and wanted <= _words(name)


def served_regions(product: Product, regions: Iterable[Region]) -> Iterable[Region]:
    """Where a product can be had: the regions it names, by id, code or name, or all when it names none."""
    served = set(product.regions)
    return (
        region
        for region in regions
        if not served or region.name in served or region.cluster_id in served or region.code in served
    )


def _words(name: str) -> frozenset[str]:
    """Runs of letters and runs of digits, so that blanks between a number and its unit do not matter."""
    return frozenset(re.findall(r"\d+|[^\W\d_]+", name.lower()))


def _offers(product: Product, regions: Iterable[Region], gpu_num: int) -> Iterable[Offer]:
    for region in served_regions(product, regions):
        price = Usd(product.price_per_gpu * gpu_num)
        yield Offer(
            product_id=product.id,
            product_name=product.name,
            cluster_id=region.cluster_id,
            region=region.name,
            billing_mode=product.billing_mode,
            gpu_num=gpu_num,
            price_per_hour=price,
            spot_price_per_hour=price if product.billing_mode is BillingMode.SPOT else None,
            inventory=product.inventory,
        )


def _objection(
    offer: Offer,
    product: Product,
    requirement: Requirement,
    *,
    now: float,
    cooling: Mapping[OfferKey, float],
    refused: frozenset[OfferKey],
) -> tuple[Objection, str] | None:
    cap = requirement.max_price_per_hour
    if requirement.regions and offer.cluster_id not in requirement.regions:
        return Objection.REGION, "region not asked for"
    if product.price_per_gpu <= 0:
        return Objection.NOT_OFFERED, f"not offered as {offer.billing_mode}"
    if cap is not None and offer.price_per_hour > cap:
        return Objection.PRICE, f"${dollars(offer.price_per_hour):g} an hour is above the cap of ${dollars(cap):g}"
    if product.min_rootfs and requirement.rootfs_gb < product.min_rootfs:
        return Objection.DISK, f"needs a disk of at least {product.min_rootfs} GB"
    if product.max_rootfs and requirement.rootfs_gb > product.max_rootfs:
        return Objection.DISK, f"has room for a disk of at most {product.max_rootfs} GB"
    if not product.deployable or product.inventory is Inventory.NONE:
        return Objection.CAPACITY, "no capacity now, says the catalogue"
    if offer.key in refused:
        return Objection.REFUSED, "refused this request: no capacity"
    until = cooling.get(offer.key, 0.0)
    if until > now:
        return Objection.COOLING, f"answered 'no capacity' a moment ago; skipped for {round(until - now)} s more"
    return None


def _order(offer: Offer, product: Product, requirement: Requirement) -> tuple[int, int, int, int, int, str, str, str]:
    elsewhere = int(offer.cluster_id != requirement.preferred)
    leading = elsewhere if requirement.placement is Placement.REGION_FIRST else 0
    return (
        leading,
        offer.price_per_hour,
        elsewhere,
        -product.memory_per_gpu,
        -product.cpu_per_gpu,
        offer.product_id,
        offer.cluster_id,
        offer.billing_mode,
    )


def _praise(offer: Offer, place: int, *, best: Offer | None, requirement: Requirement) -> str:
    price = f"${dollars(offer.price_per_hour):g} an hour"
    preferred = offer.cluster_id == requirement.preferred
    if place == 1:
        why = (
            "the preferred region" if preferred and requirement.placement is Placement.REGION_FIRST else "the cheapest"
        )
        return f"{price}: {why} that fits"
    if best is None or offer.price_per_hour < best.price_per_hour:
        return f"{price}: cheaper, but outside the preferred region"
    if offer.price_per_hour > best.price_per_hour:
        return f"{price}: ${dollars(Usd(offer.price_per_hour - best.price_per_hour)):g} more than the first"
    return f"{price}: the same price as the first; {_tie(offer, best, requirement)}"


def _tie(offer: Offer, best: Offer, requirement: Requirement) -> str:
    if best.cluster_id == requirement.preferred and offer.cluster_id != requirement.preferred:
        return "the first is in the preferred region"
    return "the first has more memory or CPU, or comes first by name"
