"""A placement that compares the price of one GPU with the cap, and not that of the whole instance."""

import msgspec

from novitai.domain.money import Usd
from novitai.domain.offers import Catalogue, Ranked, Requirement
from novitai.policies import placement


def rank(catalogue: Catalogue, requirement: Requirement, **world: object) -> tuple[Ranked, ...]:
    """In place of placement.rank."""
    cap = requirement.max_price_per_hour
    loose = None if cap is None else Usd(cap * requirement.gpu_num)
    return placement.rank(catalogue, msgspec.structs.replace(requirement, max_price_per_hour=loose), **world)
