"""Where another machine is looked for in the place of one that is being replaced, for how long, and when no more.

The search goes on for as long as the former machine serves, and a while longer. It ends early when Novita moves the
machine itself, so that there are never two moves at once, or takes its notice back.
"""

from collections.abc import Iterable, Mapping

import msgspec

from novitai.domain.errors import Code
from novitai.domain.instance import Instance, Refusal
from novitai.domain.machine import MachineStatus
from novitai.domain.migration import Cause
from novitai.domain.offers import BillingChoice, Catalogue, OfferKey, Ranked, Requirement
from novitai.policies import placement

SEARCH_SECONDS = 1800.0
"""How long another machine is looked for when none can be had, once the former one does not serve any more."""


def ranked(
    catalogue: Catalogue, instance: Instance, *, now: float, cooling: Mapping[OfferKey, float]
) -> tuple[Ranked, ...]:
    """The offers for a replacement, best first: as for a create, and on demand too when there is a cap on the price. The
    offer that is being taken back comes last, when nothing else fits.
    """
    former = instance.former
    taken = former.offer.key if former is not None else instance.offer.key
    requirement = _within_the_cap(instance.spec.requirement)
    refused = [refusal.key for refusal in instance.refusals]
    elsewhere = placement.rank(catalogue, requirement, now=now, cooling=cooling, refused=[*refused, taken])
    if (elsewhere and elsewhere[0].fits) or taken in refused:
        return elsewhere
    return placement.rank(catalogue, requirement, now=now, cooling=cooling, refused=refused)


def _within_the_cap(requirement: Requirement) -> Requirement:
    """Without a cap a spot machine is never replaced by one that may cost a multiple."""
    if requirement.billing is not BillingChoice.SPOT or requirement.max_price_per_hour is None:
        return requirement
    return msgspec.structs.replace(requirement, billing=BillingChoice.AUTO)


def search_ends(instance: Instance) -> float | None:
    """Until when another machine is looked for; None while the former one serves."""
    current, former = instance.move, instance.former
    if former is not None and former.serves:
        return None
    begun = instance.operation.requested_at if current is None else current.began_at
    fallen = begun if former is None else max(begun, former.machine.since)
    return fallen + max(SEARCH_SECONDS, instance.spec.wait_for_capacity_seconds or 0.0)


def refusals(ranked: Iterable[Ranked], *, known: Iterable[Refusal], at: float) -> tuple[Refusal, ...]:
    """Why no offer was taken: what Novita refused, and then what did not fit, best first."""
    said = tuple(known)
    seen = {refusal.key for refusal in said}
    unfit = (
        Refusal(key=one.offer.key, code=Code.NO_CAPACITY, message=one.reason, at=at)
        for one in ranked
        if not one.fits and one.offer.key not in seen
    )
    return (*said, *list(unfit)[:20])


def refusal_view(refusal: Refusal) -> dict[str, str]:
    """An offer that was not taken, under the names of the API."""
    key = refusal.key
    return {
        "productId": key.product_id,
        "clusterId": key.cluster_id,
        "billingMode": str(key.billing_mode),
        "code": str(refusal.code),
        "reason": refusal.message,
    }


def pointless(instance: Instance) -> str | None:
    """Why a replacement for which nothing was bought yet is not needed any more: Novita moves the former machine itself,
    or has taken its notice back. None: it goes on.
    """
    former, current = instance.former, instance.move
    if former is None or current is None or current.cause is Cause.REPAIR:
        return None
    if former.machine.status is MachineStatus.MIGRATING:
        return "Novita moves the machine itself"
    if former.serves and not former.machine.spot_status.taken:
        return "Novita took its notice back"
    return None
