"""Telling one endpoint of one event: the delivery, its attempts, and the body that stays the same to the byte."""

from enum import StrEnum

import msgspec

from novitai.domain.ids import InstanceId
from novitai.domain.secrets import Sealed

GLOBAL_ENDPOINT = "global"
"""Id of the endpoint named by `WEBHOOK_URL`; its address and secret are read from the settings when an attempt is
made.
"""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where events are sent. `secret` None: the global secret, if there is one."""

    id: str
    url: str
    secret: Sealed | None = None


class DeliveryStatus(StrEnum):
    """`dead` deliveries have ended without success and can be replayed."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class DeliveryAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One POST. `status` None when no answer came; `error` says why, in words."""

    at: float
    duration_ms: float
    status: int | None = None
    error: str = ""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one endpoint. `body` is what is sent, the same on every attempt, retry, replay and after a
    crash.
    """

    id: str
    event_id: str
    event_type: str
    endpoint: Endpoint
    body: str
    correlation_id: str
    created_at: float
    instance_id: InstanceId | None = None
    status: DeliveryStatus = DeliveryStatus.PENDING
    failures: int = 0
    attempts: tuple[DeliveryAttempt, ...] = ()  # the latest 20
    next_at: float | None = None
    ended_at: float | None = None


KEPT_ATTEMPTS = 20
