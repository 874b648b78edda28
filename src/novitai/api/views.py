"""An instance as callers see it (api.md, "Instance"): what stands in its record, under the contract's names.

What changes by itself (cost so far, last use, last sync, staleness) is not here but spliced in by `rendering`. Never here: environment
values, passwords, webhook secrets.
"""

from typing import Any

import msgspec

from novitai.api.next_action import NextAction
from novitai.domain.instance import EndpointHealth, HealthCheck, Instance, LastError, Refusal
from novitai.domain.machine import BillingMode
from novitai.domain.migration import Migration, MoveRule, resolved
from novitai.domain.money import dollars
from novitai.domain.times import iso, iso_or_none
from novitai.policies.budget import budget_value
from novitai.policies.schedule_verdict import schedule_value, ttl_value
from novitai.policies.startup import health_view
from novitai.policies.verdicts import check_value, source


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


def view_of(
    instance: Instance, *, usual_check: HealthCheck, policies: dict[str, dict[str, Any]], coming: NextAction | None
) -> InstanceView:
    """The instance as it is recorded. `usual_check`: the setting that holds where nothing was said; `policies`: those of its policies
    that are several values, each with its source; `coming`: what comes next.

    While its machine is being replaced, the machine shown is the one that users reach.
    """
    offer, machine = instance.offer, instance.serving
    return InstanceView(
        id=instance.id,
        novita_instance_id=machine.id if machine else None,
        name=instance.name,
        status=str(instance.state),
        desired=desired_of(instance),
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
        policies=_policies(instance, usual_check) | policies,
        next_action=coming,
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
    return {"self": here, "events": f"{here}/events", "explain": f"{here}/explain", "deliveries": f"{here}/deliveries"}


def desired_of(instance: Instance) -> DesiredView:
    """What is wanted of an instance, and who said so."""
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
    served = instance.serving.ports if instance.serving else ()
    if served:
        return [PortView(port=port.port, endpoint=port.endpoint or None, type=port.type) for port in served]
    return [PortView(port=port.port, endpoint=None, type=port.type) for port in instance.spec.ports]


def _connection(instance: Instance) -> ConnectionView | None:
    connection = instance.serving.connection if instance.serving else None
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
    machine = instance.serving
    mode = instance.offer.billing_mode if machine is None else machine.billing_mode or instance.offer.billing_mode
    if mode is not BillingMode.SPOT or machine is None:
        return None
    return SpotView(status=str(machine.spot_status), reclaim_at=iso_or_none(machine.reclaim_at))


def migration_of(asked: Migration | None, usual: MoveRule) -> dict[str, dict[str, Any]]:
    """Every value of the rule of migration that holds, and whether the request or the settings said it."""
    rule = resolved(asked, usual)
    said_enabled = asked is not None and asked.enabled is not None
    said_strategy = asked is not None and asked.strategy is not None
    return {
        "enabled": {"value": rule.enabled, "source": source(said=said_enabled)},
        "strategy": {"value": str(rule.strategy), "source": source(said=said_strategy)},
        "dryRun": {"value": rule.dry_run, "source": source(said=False)},
    }


def _policies(instance: Instance, usual: HealthCheck) -> dict[str, dict[str, Any]]:
    """What holds for this instance without anybody asking again, each with where it comes from: the request or the settings."""
    spec, check = instance.spec, instance.health_check
    cap, wait = spec.requirement.max_price_per_hour, spec.wait_for_capacity_seconds
    return {
        "healthCheck": {"value": check_value(check), "source": source(said=check != usual)},
        "protect": {"value": spec.protect, "source": source(said=spec.protect)},
        "maxPricePerHour": {"value": None if cap is None else dollars(cap), "source": source(said=cap is not None)},
        "waitForCapacitySeconds": {"value": wait, "source": source(said=wait is not None)},
        "ttl": {"value": ttl_value(instance), "source": source(said=spec.ttl is not None)},
        "schedule": {"value": schedule_value(spec.schedule), "source": source(said=spec.schedule is not None)},
        "budget": {"value": budget_value(spec.budget), "source": source(said=spec.budget is not None)},
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
