"""What callers hand to the operations: plain values, already well-formed, in domain words."""

from collections.abc import Callable

import msgspec

from novitai.domain.budget import InstanceBudget
from novitai.domain.explanation import Explanation
from novitai.domain.idle import AutoStop
from novitai.domain.instance import Instance
from novitai.domain.keys import Actor
from novitai.domain.machine import Port
from novitai.domain.migration import Migration
from novitai.domain.money import Usd
from novitai.domain.offers import BillingChoice, Offer, Placement, Ranked
from novitai.domain.schedule import Schedule
from novitai.operations.receipts import Answer, Draft
from novitai.ports.store import Check, Lease, Put


class CheckRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A health check as asked; None: the setting."""

    type: str | None = None
    port: int | None = None
    path: str | None = None
    expect_status: tuple[int, ...] = ()
    expect_body: str = ""
    timeout_ms: int | None = None
    retry_attempts: int | None = None
    retry_delay_ms: int | None = None
    max_wait_time_ms: int | None = None


class CreateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A create as asked. None: not said; the template's or the settings' value holds."""

    name: str
    product_name: str | None = None
    product_id: str | None = None
    template_id: str | None = None
    image_url: str | None = None
    ports: tuple[Port, ...] | None = None
    envs: tuple[tuple[str, str], ...] | None = None
    command: str | None = None
    entrypoint: str | None = None
    image_auth_id: str | None = None
    gpu_num: int = 1
    rootfs_gb: int | None = None
    regions: tuple[str, ...] = ()
    billing: BillingChoice = BillingChoice.SPOT
    placement: Placement | None = None
    max_price_per_hour: Usd | None = None
    network_storages: tuple[tuple[str, str], ...] = ()
    webhook_url: str | None = None
    webhook_secret: str | None = None
    labels: dict[str, str] = {}
    health_check: CheckRequest = CheckRequest()
    wait_for_capacity_seconds: float | None = None
    protect: bool = False
    auto_stop: AutoStop | None = None
    migration: Migration | None = None
    ttl_seconds: float | None = None
    schedule: Schedule | None = None
    budget: InstanceBudget | None = None


class VerbRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A start, stop, restart or delete as asked. `until`: how long a stop holds.

    A policy says why (`explanation`) and from which moment it speaks (`spoken_at`; None: now).
    """

    reason: str = ""
    health_check: CheckRequest | None = None
    webhook_url: str | None = None
    webhook_secret: str | None = None
    until: float | None = None
    spoken_at: float | None = None
    explanation: Explanation | None = None


class Amendment(msgspec.Struct, frozen=True, kw_only=True):
    """What a PATCH changes. UNSET: left as it is; None: cleared. `labels` are merged, one that is None is removed."""

    labels: dict[str, str | None] | msgspec.UnsetType | None = msgspec.UNSET
    ttl_seconds: float | msgspec.UnsetType | None = msgspec.UNSET
    schedule: Schedule | msgspec.UnsetType | None = msgspec.UNSET
    auto_stop: AutoStop | msgspec.UnsetType | None = msgspec.UNSET
    migration: Migration | msgspec.UnsetType | None = msgspec.UNSET
    budget: InstanceBudget | msgspec.UnsetType | None = msgspec.UNSET
    webhook_url: str | msgspec.UnsetType | None = msgspec.UNSET
    webhook_secret: str | None = None


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Around every request: who asks, under which ids and from which address, and the idempotency draft if a key was sent."""

    actor: Actor
    correlation_id: str
    request_id: str = ""
    address: str = ""
    draft: Draft | None = None


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """What an operation did: `changed` False when it was under way (`under_way`) or so already."""

    instance: Instance
    changed: bool
    under_way: bool


class Created(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted create: the instance, its offer's place among the candidates, and all of them in order."""

    instance: Instance
    ranked: tuple[Ranked, ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a create would do (`dryRun`)."""

    offer: Offer
    ranked: tuple[Ranked, ...]


class Rider(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy's decision rests on beside the instance (`checks`), and what is to be written with it (`puts`), under its lease."""

    checks: tuple[Check, ...] = ()
    puts: tuple[Put, ...] = ()
    lease: Lease | None = None


NOTHING_MORE = Rider()

AnswerTo = Callable[[Accepted], Answer]
AnswerToCreate = Callable[[Created], Answer]
