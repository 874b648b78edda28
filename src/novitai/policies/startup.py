"""From running to ready: when checks begin, when they count as passed, and when waiting for them ends."""

from typing import Any

import msgspec

from novitai.domain.change import Change, completed, fact, move, reach, with_fields
from novitai.domain.events import FactType
from novitai.domain.instance import CheckType, EndpointHealth, Health, HealthCheck, Instance, Phase
from novitai.domain.lifecycle import Observation, State
from novitai.domain.machine import PortMapping
from novitai.domain.times import iso, iso_or_none
from novitai.policies import moves

DETAILS_WAIT_SECONDS = 5.0
"""`ready` waits at most this long for SSH details after the checks passed."""


def ports_to_check(check: HealthCheck, ports: tuple[PortMapping, ...]) -> tuple[PortMapping, ...]:
    """Which ports must answer: the named one, else all http ports (or, with type tcp, all tcp ports). Empty: nothing
    to ask.
    """
    if check.type is CheckType.NONE:
        return ()
    if check.port is not None:
        return tuple(port for port in ports if port.port == check.port)
    wanted = "tcp" if check.type is CheckType.TCP else "http"
    return tuple(port for port in ports if port.type == wanted)


def expects_endpoints(instance: Instance) -> bool:
    """Whether ports were asked for whose endpoints Novita has not told yet."""
    machine = instance.machine
    if machine is None:
        return False
    known = {port.port for port in machine.ports if port.endpoint}
    return any(port.port not in known for port in _asked_ports(instance))


def nothing_to_ask(instance: Instance) -> bool:
    """Whether there is no port to ask: none was wanted, and none that would count is served. A named port is always
    asked for.
    """
    served = instance.machine.ports if instance.machine is not None else ()
    check = instance.health_check
    if check.type is CheckType.NONE:
        return True
    return check.port is None and not _asked_ports(instance) and not ports_to_check(check, served)


def _asked_ports(instance: Instance) -> tuple[PortMapping, ...]:
    asked = tuple(PortMapping(port=port.port, type=port.type, endpoint="") for port in instance.spec.ports)
    return ports_to_check(instance.health_check, asked)


def begin_checks(instance: Instance, *, at: float) -> Change:
    """The machine runs and its endpoints are known: begin to ask them. With nothing to ask the checks have passed."""
    if nothing_to_ask(instance):
        passed = with_fields(instance, health=Health(started_at=at, passed_at=at, checked_at=at))
        return ready(passed, at=at) if may_be_ready(passed, now=at) else Change(instance=passed)
    started = with_fields(instance, health=Health(started_at=at))
    checking = move(started, Observation.CHECKS_BEGAN, at=at)
    reached = reach(checking, Phase.HEALTH_CHECK_STARTED, at=at)
    told = fact(FactType.HEALTH_CHECK_STARTED, reached.instance, before=instance, at=at, actor=instance.operation.by)
    return Change(instance=reached.instance, facts=(told, *reached.facts))


def checked(instance: Instance, endpoints: tuple[EndpointHealth, ...], *, at: float) -> Instance:
    """The instance with the result of a round of checks. A round that asked nobody passes nothing; one that comes
    too late is ignored.
    """
    health = instance.health
    if health is None or not probed(instance):
        return instance
    passed = bool(endpoints) and all(endpoint.healthy for endpoint in endpoints)
    return with_fields(
        instance,
        health=msgspec.structs.replace(health, checked_at=at, endpoints=endpoints, passed_at=at if passed else None),
    )


def ready(instance: Instance, *, at: float) -> Change:
    """The application answers."""
    operation = instance.operation
    reached = reach(instance, Phase.HEALTH_CHECK_COMPLETED, at=at)
    last = reached.instance
    if operation.makes_ready and operation.under_way:
        done = completed(last.operation, at=at)
        phases = (*done.phases, (Phase.READY, at))
        last = with_fields(last, operation=msgspec.structs.replace(done, phases=phases))
    last = with_fields(move(last, Observation.CHECKS_PASSED, at=at), ready_at=at, last_error=None)
    told = fact(
        FactType.READY,
        last,
        before=instance,
        at=at,
        actor=operation.by,
        reason="the health checks passed" if last.health and last.health.endpoints else "there is nothing to check",
        data={"healthCheckResult": health_view(last), "connectionDetails": connection_view(last)},
    )
    moved = moves.done(last, before=instance, at=at)
    return Change(instance=moved.instance, facts=(*reached.facts, told, *moved.facts), decision=moved.decision)


def may_be_ready(instance: Instance, *, now: float) -> bool:
    """Checks passed, and SSH details are known or were waited for long enough."""
    health, machine = instance.health, instance.machine
    if health is None or health.passed_at is None or machine is None:
        return False
    return machine.connection is not None or now >= health.passed_at + DETAILS_WAIT_SECONDS


def health_deadline(instance: Instance) -> float:
    """Until when the application may take to answer before the start counts as failed."""
    began = instance.running_at or instance.state_since
    return began + instance.health_check.max_wait_time_ms / 1000


def health_view(instance: Instance) -> dict[str, Any] | None:
    """`data.healthCheckResult` of the contract."""
    health = instance.health
    if health is None:
        return None
    passed = health.passed_at is not None
    status = "healthy" if passed else "partial" if any(e.healthy for e in health.endpoints) else "unhealthy"
    return {
        "overallStatus": status,
        "endpoints": [
            {
                "port": endpoint.port,
                "endpoint": endpoint.endpoint,
                "type": endpoint.type,
                "status": "healthy" if endpoint.healthy else "unhealthy",
                "responseTime": endpoint.response_ms,
                "error": endpoint.error or None,
            }
            for endpoint in health.endpoints
        ],
        "startedAt": iso(health.started_at),
        "completedAt": iso_or_none(health.passed_at),
        "totalResponseTime": round(sum(endpoint.response_ms or 0.0 for endpoint in health.endpoints), 3),
    }


def connection_view(instance: Instance) -> dict[str, Any]:
    """`connectionDetails` of the contract, without any password."""
    machine = instance.machine
    connection = machine.connection if machine else None
    return {
        "host": connection.host if connection else None,
        "port": connection.port or None if connection else None,
        "username": connection.username or None if connection else None,
        "ssh": connection.ssh or None if connection else None,
        "jupyter": connection.jupyter or None if connection else None,
        "webTerminal": connection.web_terminal or None if connection else None,
        "portMappings": [
            {"port": port.port, "endpoint": port.endpoint, "type": port.type}
            for port in (machine.ports if machine else ())
        ],
    }


def probed(instance: Instance) -> bool:
    """Whether the application should be asked now: while checking, and after a failed start that left a running
    machine.
    """
    machine = instance.machine
    if machine is None or instance.health is None or instance.health.passed_at is not None:
        return False
    return instance.state is State.HEALTH_CHECKING or (
        instance.state is State.FAILED and instance.running_at is not None
    )
