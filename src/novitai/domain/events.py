"""Facts worth telling. Each commit that changes an instance carries the facts of the change; webhooks, the event log
and the stream are three ways of reading the same facts. A fact is told once: the type says what happened, `sequence`
in which order for this instance.
"""

from enum import StrEnum
from typing import Any

import msgspec

from novitai.domain.ids import InstanceId, MachineId
from novitai.domain.lifecycle import State


class FactType(StrEnum):
    """The catalogue of webhook and event types, each with the moment it stands for in `MEANING`."""

    CREATING = "instance.creating"
    CREATED = "instance.created"
    STARTUP_INITIATED = "instance.startup_initiated"
    STARTUP_PROGRESS = "instance.startup_progress"
    RUNNING = "instance.running"
    HEALTH_CHECK_STARTED = "instance.health_check_started"
    READY = "instance.ready"
    STARTUP_FAILED = "instance.startup_failed"
    FAILED = "instance.failed"
    IDLE_WARNING = "instance.idle_warning"
    STOPPING = "instance.stopping"
    STOPPED = "instance.stopped"
    SPOT_NOTICE = "instance.spot_notice"
    RECLAIMED = "instance.reclaimed"
    MIGRATING = "instance.migrating"
    MIGRATED = "instance.migrated"
    MIGRATION_FAILED = "instance.migration_failed"
    LOST = "instance.lost"
    DELETED = "instance.deleted"
    ORPHAN_FOUND = "instance.orphan_found"
    BUDGET_THRESHOLD = "budget.threshold"
    BUDGET_EXCEEDED = "budget.exceeded"
    AUTH_FAILED = "upstream.auth_failed"
    BALANCE_EXHAUSTED = "upstream.balance_exhausted"
    CIRCUIT_OPENED = "upstream.circuit_opened"
    CIRCUIT_CLOSED = "upstream.circuit_closed"
    PRICE_BELOW = "price.below"
    BALANCE_LOW = "account.balance_low"
    COST_DIFFERENCE = "cost.difference"


MEANING: dict[FactType, str] = {
    FactType.CREATING: "The request was accepted and is durable; Novita has not been asked yet. "
    "While capacity is awaited, once more per round.",
    FactType.CREATED: "Novita accepted the create; the machine has an id and a price.",
    FactType.STARTUP_INITIATED: "A start or restart was accepted.",
    FactType.STARTUP_PROGRESS: "One phase of a create or start was reached; once per phase.",
    FactType.RUNNING: "Novita says that the machine runs. The application may not answer yet.",
    FactType.HEALTH_CHECK_STARTED: "The application is being asked whether it answers.",
    FactType.READY: "The health checks passed: the application answers.",
    FactType.STARTUP_FAILED: "Novita accepted a create or start, but it did not become ready in time. "
    "A machine that runs is kept and still probed.",
    FactType.FAILED: "A create or start ended without being accepted by Novita, or a machine broke.",
    FactType.IDLE_WARNING: "Nobody uses the instance: it will be stopped (or, long stopped, deleted) unless it is used, "
    "or the link is followed that postpones it.",
    FactType.STOPPING: "A stop was accepted, or seen.",
    FactType.STOPPED: "The machine has stopped, or there is none.",
    FactType.SPOT_NOTICE: "Novita announced that it will take the spot machine back.",
    FactType.RECLAIMED: "Novita took the spot machine back.",
    FactType.MIGRATING: "The instance is moving: Novita moves its machine, or another one is bought in its place. "
    "`data.way` says which, when it was our doing.",
    FactType.MIGRATED: "The move is over and the application answers; a machine that was replaced is being deleted.",
    FactType.MIGRATION_FAILED: "A move did not succeed, or was not made; `data.error` says why, and `data.offers` what refused.",
    FactType.LOST: "The machine vanished without a trace, on two pieces of evidence.",
    FactType.DELETED: "Everything of the instance on Novita is gone, confirmed by reading.",
    FactType.ORPHAN_FOUND: "The account has a machine that no record knows of, or one that bears an instance's marker "
    "and is not its present one. `data.action` says what became of it.",
    FactType.BUDGET_THRESHOLD: "A threshold of a budget was reached; told once in each of its periods.",
    FactType.BUDGET_EXCEEDED: "A budget is used up; told once in each of its periods. With a hard stop, what it covers is stopped.",
    FactType.AUTH_FAILED: "Novita refuses the API key; changes wait until it is accepted again.",
    FactType.BALANCE_EXHAUSTED: "Novita refused a create or a start because the account cannot pay. Until that ends, others are "
    "refused at once (402) and one is tried every few minutes.",
    FactType.CIRCUIT_OPENED: "Novita failed several times in a row; calls pause.",
    FactType.CIRCUIT_CLOSED: "Novita answers again.",
    FactType.BALANCE_LOW: "The account's balance pays for fewer hours of what runs than `BALANCE_ALERT_HOURS`. Told again only after it "
    "was higher.",
    FactType.COST_DIFFERENCE: "Novita's bill of a day differs from our figures by more than 1 %. Our figures of that day were adjusted "
    "to the bill; told once for each day.",
    FactType.PRICE_BELOW: "A product can be had below the price of a `PRICE_ALERTS`. Told again only after it has been dearer.",
}


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, before it has an id. `data` is what the webhook carries; it must hold no secret."""

    type: FactType
    at: float
    actor: str
    reason: str = ""
    before: State | None = None
    after: State | None = None
    data: dict[str, Any] = {}


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact as it is kept in the event log. System events have no instance, and sequence 0."""

    id: str
    sequence: int
    type: FactType
    instance_id: InstanceId | None
    machine_id: MachineId | None
    at: float
    actor: str
    reason: str
    before: State | None
    after: State | None
    correlation_id: str
    elapsed_ms: int
    data: dict[str, Any]
