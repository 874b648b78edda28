"""An instance as callers see it (api.md, "Instance"): what stands in its record, under the contract's names.

What changes by itself (cost so far, last use, last sync, staleness) is not here but spliced in by `rendering`. Never here: environment
values, passwords, webhook secrets.
"""

from typing import Any

import msgspec

from novitai.api.next_action import NextAction, next_action
from novitai.domain.instance import EndpointHealth, HealthCheck, Instance, LastError, Refusal
from novitai.domain.machine import BillingMode
from novitai.domain.money import dollars
from novitai.domain.schedule import Schedule
from novitai.domain.times import iso, iso_or_none
from novitai.policies.startup import health_view
from novitai.policies.steps import Limits


class View(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Root of what msgspec writes."""


class DesiredView(View, frozen=True, kw_only=True):
    """What is wanted, who said so, why, since and until when."""

    state: str
    by: str
    reason: str
    at: str
    until: str | None


class OperationView(View, frozen=True, kw_only=True):
    """The latest thing asked, and how far it is."""

    id: str
    verb: str
    status: str
    requested_at: str
    accepted_at: str | None
    completed_at: str | None
    estimated_ready_time: str | None


class PortView(View, frozen=True, kw_only=True):
    """A port; `endpoint` is null until Novita has told it."""

    port: int
    endpoint: str | None
    type: str


class ConnectionView(View, frozen=True, kw_only=True):
    """How to get in, without the password."""

    host: str | None
    port: int | None
    username: str | None
    ssh: str | None
    jupyter: str | None
    web_terminal: str | None


class EndpointView(View, frozen=True, kw_only=True):
    """The last answer of one endpoint; `response_time` in milliseconds."""

    port: int
    endpoint: str
    type: str
    status: str
    response_time: float | None
    error: str | None


class HealthView(View, frozen=True, kw_only=True):
    """What the checks saw in this run of the machine: `healthy`, `partial`, `unhealthy`, or `pending` before the first round."""

    status: str
    checked_at: str | None
    endpoints: list[EndpointView]


class SpotView(View, frozen=True, kw_only=True):
    """What Novita says about taking a spot machine back."""

    status: str
    reclaim_at: str | None


class RefusedOfferView(View, frozen=True, kw_only=True):
    """An offer that refused this instance, and how."""

    product_id: str
    cluster_id: str
    billing_mode: str
    code: str
    reason: str
    at: str


class LastErrorView(View, frozen=True, kw_only=True):
    """Why the last thing failed."""

    code: str
    message: str
    at: str
    offers: list[RefusedOfferView]


class InstanceView(View, frozen=True, kw_only=True):
    """The part of an instance that changes only when its record does. Prices are USD per hour for the whole instance."""

    id: str
    novita_instance_id: str | None
    name: str
    status: str
    desired: DesiredView
    operation: OperationView
    gpu_num: int
    product_name: str
    product_id: str
    region: str
    cluster_id: str
    billing_mode: str
    price_per_hour: float
    image_url: str
    template_id: str | None
    labels: dict[str, str]
    port_mappings: list[PortView]
    connection_details: ConnectionView | None
    health_check: HealthView | None
    spot: SpotView | None
    policies: dict[str, dict[str, Any]]
    next_action: NextAction | None
    created_at: str
    started_at: str | None
    ready_at: str | None
    stopped_at: str | None
    deleted_at: str | None
    last_started_at: str | None
    last_stopped_at: str | None
    last_error: LastErrorView | None
    links: dict[str, str]


class IdlePart(msgspec.Struct, frozen=True, kw_only=True):
    """The idle stop of an instance: its rule, each value with its source, and what it would do next."""

    policy: dict[str, dict[str, Any]]
    action: NextAction | None


def view_of(
    instance: Instance, *, usual_check: HealthCheck, limits: Limits, idle: IdlePart, now: float
) -> InstanceView:
    """The instance as it is recorded, and what comes next as of now. `usual_check` and `limits` are the settings that hold where
    nothing was said.
    """
    offer, machine = instance.offer, instance.machine
    return InstanceView(
        id=instance.id,
        novita_instance_id=machine.id if machine else None,
        name=instance.name,
        status=str(instance.state),
        desired=_desired(instance),
        operation=_operation(instance),
        gpu_num=offer.gpu_num,
        product_name=offer.product_name,
        product_id=offer.product_id,
        region=(machine.region if machine else "") or offer.region,
        cluster_id=(machine.cluster_id if machine else "") or offer.cluster_id,
        billing_mode=str(offer.billing_mode),
        price_per_hour=dollars(instance.price_per_hour),
        image_url=instance.spec.image_url,
        template_id=instance.spec.template_id,
        labels=instance.spec.labels,
        port_mappings=_ports(instance),
        connection_details=_connection(instance),
        health_check=_health(instance),
        spot=_spot(instance),
        policies=_policies(instance, usual_check) | {"autoStop": idle.policy},
        next_action=next_action(instance, limits, idle=idle.action, now=now),
        created_at=iso(instance.created_at),
        started_at=iso_or_none(instance.started_at),
        ready_at=iso_or_none(instance.ready_at),
        stopped_at=iso_or_none(instance.stopped_at),
        deleted_at=iso_or_none(instance.deleted_at),
        last_started_at=iso_or_none(instance.started_at),
        last_stopped_at=iso_or_none(instance.stopped_at),
        last_error=_last_error(instance.last_error),
        links=links_of(instance.id),
    )


def links_of(instance_id: str) -> dict[str, str]:
    """Where to go on from an instance."""
    here = f"/api/instances/{instance_id}"
    return {"self": here, "events": f"{here}/events", "deliveries": f"{here}/deliveries"}


def _desired(instance: Instance) -> DesiredView:
    desired = instance.desired
    return DesiredView(
        state=str(desired.state),
        by=desired.by,
        reason=desired.reason,
        at=iso(desired.at),
        until=iso_or_none(desired.until),
    )


def _operation(instance: Instance) -> OperationView:
    operation = instance.operation
    return OperationView(
        id=operation.id,
        verb=str(operation.verb),
        status=str(operation.status),
        requested_at=iso(operation.requested_at),
        accepted_at=iso_or_none(operation.accepted_at),
        completed_at=iso_or_none(operation.completed_at),
        estimated_ready_time=iso_or_none(operation.estimated_ready_at),
    )


def _ports(instance: Instance) -> list[PortView]:
    served = instance.machine.ports if instance.machine else ()
    if served:
        return [PortView(port=port.port, endpoint=port.endpoint or None, type=port.type) for port in served]
    return [PortView(port=port.port, endpoint=None, type=port.type) for port in instance.spec.ports]


def _connection(instance: Instance) -> ConnectionView | None:
    connection = instance.machine.connection if instance.machine else None
    if connection is None:
        return None
    return ConnectionView(
        host=connection.host or None,
        port=connection.port or None,
        username=connection.username or None,
        ssh=connection.ssh or None,
        jupyter=connection.jupyter or None,
        web_terminal=connection.web_terminal or None,
    )


def _health(instance: Instance) -> HealthView | None:
    health, seen = instance.health, health_view(instance)
    if health is None or seen is None:
        return None
    asked = health.checked_at is not None
    return HealthView(
        status=seen["overallStatus"] if asked else "pending",
        checked_at=iso_or_none(health.checked_at),
        endpoints=[_endpoint(endpoint) for endpoint in health.endpoints],
    )


def _endpoint(endpoint: EndpointHealth) -> EndpointView:
    return EndpointView(
        port=endpoint.port,
        endpoint=endpoint.endpoint,
        type=endpoint.type,
        status="healthy" if endpoint.healthy else "unhealthy",
        response_time=endpoint.response_ms,
        error=endpoint.error or None,
    )


def _spot(instance: Instance) -> SpotView | None:
    machine = instance.machine
    if instance.offer.billing_mode is not BillingMode.SPOT or machine is None:
        return None
    return SpotView(status=str(machine.spot_status), reclaim_at=iso_or_none(machine.reclaim_at))


def _policies(instance: Instance, usual: HealthCheck) -> dict[str, dict[str, Any]]:
    """What holds for this instance without anybody asking again, each with where it comes from: the request or the settings."""
    spec, check = instance.spec, instance.health_check
    cap, wait = spec.requirement.max_price_per_hour, spec.wait_for_capacity_seconds
    return {
        "healthCheck": {"value": _check(check), "source": _source(said=check != usual)},
        "protect": {"value": spec.protect, "source": _source(said=spec.protect)},
        "maxPricePerHour": {"value": None if cap is None else dollars(cap), "source": _source(said=cap is not None)},
        "waitForCapacitySeconds": {"value": wait, "source": _source(said=wait is not None)},
        "ttl": {"value": _ttl(instance), "source": _source(said=spec.ttl is not None)},
        "schedule": {"value": _schedule(spec.schedule), "source": _source(said=spec.schedule is not None)},
    }


def _ttl(instance: Instance) -> dict[str, Any] | None:
    ttl = instance.spec.ttl
    return None if ttl is None else {"seconds": ttl.seconds, "endsAt": iso_or_none(instance.ttl_ends_at)}


def _schedule(schedule: Schedule | None) -> dict[str, Any] | None:
    if schedule is None:
        return None
    return {"start": schedule.start, "stop": schedule.stop, "timezone": schedule.timezone}


def _source(*, said: bool) -> str:
    return "request" if said else "default"


def _check(check: HealthCheck) -> dict[str, Any]:
    return {
        "type": str(check.type) if check.type else None,
        "port": check.port,
        "path": check.path,
        "expectStatus": list(check.expect_status),
        "expectBody": check.expect_body,
        "timeoutMs": check.timeout_ms,
        "retryAttempts": check.retry_attempts,
        "retryDelayMs": check.retry_delay_ms,
        "maxWaitTimeMs": check.max_wait_time_ms,
    }


def _last_error(error: LastError | None) -> LastErrorView | None:
    if error is None:
        return None
    return LastErrorView(
        code=str(error.code),
        message=error.message,
        at=iso(error.at),
        offers=[_refused(refusal) for refusal in error.offers],
    )


def _refused(refusal: Refusal) -> RefusedOfferView:
    return RefusedOfferView(
        product_id=refusal.key.product_id,
        cluster_id=refusal.key.cluster_id,
        billing_mode=str(refusal.key.billing_mode),
        code=str(refusal.code),
        reason=refusal.message,
        at=iso(refusal.at),
    )


def refused_offers(error: LastError) -> list[dict[str, Any]]:
    """The offers that refused, as plain values for the `details` of an error."""
    found: list[dict[str, Any]] = msgspec.to_builtins([_refused(refusal) for refusal in error.offers])
    return found
