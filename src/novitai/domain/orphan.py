"""A machine on the account that we have no record of: shown with its age and price, never touched unless a person says so."""

from enum import StrEnum

import msgspec

from novitai.domain.ids import MachineId
from novitai.domain.machine import BillingMode, Machine, MachineStatus
from novitai.domain.money import Usd


class Standing(StrEnum):
    """What people said about an orphan."""

    OPEN = "open"
    IGNORED = "ignored"


class Orphan(msgspec.Struct, frozen=True, kw_only=True):
    """A machine as it was when it was first seen. What changes by itself (its status, its cost) is read from the last sweep.

    `ours`: its name bears the marker of this installation, so that it is adopted by itself once it is confirmed.
    """

    id: MachineId
    name: str
    status: MachineStatus
    product_id: str
    product_name: str
    cluster_id: str
    region: str
    gpu_num: int
    billing_mode: BillingMode | None
    price_per_hour: Usd | None
    created_at: float
    first_seen_at: float
    ours: bool
    standing: Standing = Standing.OPEN
    by: str = ""
    said_at: float | None = None


def orphan_of(machine: Machine, *, price: Usd | None, ours: bool, at: float) -> Orphan:
    """A machine that nobody knows of, first seen at a time."""
    return Orphan(
        id=machine.id,
        name=machine.name,
        status=machine.status,
        product_id=machine.product_id,
        product_name=machine.product_name,
        cluster_id=machine.cluster_id,
        region=machine.region,
        gpu_num=machine.gpu_num,
        billing_mode=machine.billing_mode,
        price_per_hour=price,
        created_at=machine.created_at,
        first_seen_at=at,
        ours=ours,
    )
