"""How the service is, as a rule over what was last observed; nothing is called to find out.

The rule (api.md, `GET /health`): the store away, a timer more than 60 s late, or Novita out of reach for more than 3 polls or its breaker
open is `unhealthy` (503); anything else that is away is `degraded` (200). Containers ask `/healthz`, so that an outage of Novita does not
restart us.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from novitai.ports.provider import ClientName, UpstreamView

LATE_SECONDS = 60.0
STALLED_SECONDS = 5.0
LOST_POLLS = 3


class Service(StrEnum):
    """How one part is."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    DISABLED = "disabled"


class Overall(StrEnum):
    """How the whole is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


class SystemHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What the process knows of itself.

    `timer_late_seconds`: how long the most overdue job or loop has been due. `store_fallback`: the store is away, but work
    goes on in memory. `loop_lag_seconds`: how late the event loop was last measured. `unsigned_webhooks`: some deliveries
    have no secret to be signed with.
    """

    started: bool = True
    store_ok: bool = True
    store_fallback: bool = False
    timer_late_seconds: float = 0.0
    loop_lag_seconds: float = 0.0
    webhooks: Service = Service.UP
    unsigned_webhooks: bool = False
    observe: bool = False
    paused: tuple[str, ...] = ()


class Polling(msgspec.Struct, frozen=True, kw_only=True):
    """How the reading of Novita's list goes."""

    failures_in_a_row: int
    stale: bool


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of the rule: the whole, its parts, and what is worth a warning, in sentences."""

    status: Overall
    services: Mapping[str, Service]
    warnings: tuple[str, ...]


def judge(system: SystemHealth, upstream: Sequence[UpstreamView], polling: Polling) -> Verdict:
    """The rule of the module's text."""
    views = {view.client: view for view in upstream}
    services = {
        "novitaApi": _public(views.get(ClientName.PUBLIC), polling),
        "novitaInternalApi": _internal(views.get(ClientName.INTERNAL)),
        "store": _store(system),
        "jobQueue": Service.DOWN if system.timer_late_seconds > LATE_SECONDS else Service.UP,
        "webhooks": system.webhooks,
        "sync": Service.DEGRADED if polling.stale else Service.UP,
    }
    return Verdict(status=_overall(services), services=services, warnings=_warnings(system))


def accepts_traffic(system: SystemHealth, *, shutting_down: bool) -> bool:
    """Whether `/readyz` may send requests here."""
    stalled = system.loop_lag_seconds > STALLED_SECONDS
    return system.started and not shutting_down and not stalled and (system.store_ok or system.store_fallback)


def _overall(services: Mapping[str, Service]) -> Overall:
    if any(services[name] is Service.DOWN for name in ("store", "jobQueue", "novitaApi")):
        return Overall.UNHEALTHY
    away = any(service in {Service.DOWN, Service.DEGRADED} for service in services.values())
    return Overall.DEGRADED if away else Overall.HEALTHY


def _public(view: UpstreamView | None, polling: Polling) -> Service:
    breakers = view.breakers if view is not None else {}
    gpu = breakers.get("gpu")
    if polling.failures_in_a_row > LOST_POLLS or (gpu is not None and gpu.state == "OPEN"):
        return Service.DOWN
    unwell = view is not None and (view.auth_failed or any(breaker.state != "CLOSED" for breaker in breakers.values()))
    return Service.DEGRADED if unwell or polling.failures_in_a_row > 0 else Service.UP


def _internal(view: UpstreamView | None) -> Service:
    if view is None or not view.enabled:
        return Service.DISABLED
    if view.auth_failed or any(breaker.state != "CLOSED" for breaker in view.breakers.values()):
        return Service.DEGRADED
    return Service.DEGRADED if view.reachable is False else Service.UP


def _store(system: SystemHealth) -> Service:
    if system.store_ok:
        return Service.UP
    return Service.DEGRADED if system.store_fallback else Service.DOWN


def _warnings(system: SystemHealth) -> tuple[str, ...]:
    found = []
    if system.unsigned_webhooks:
        found.append("webhooks go out unsigned: set WEBHOOK_SECRET, or give a secret with the address")
    if system.observe:
        found.append("observe mode: nothing is changed on Novita")
    found += [f"automation is paused: {scope}" for scope in system.paused]
    return tuple(found)
