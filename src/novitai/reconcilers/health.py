"""Asks applications whether they answer, until they do.

Every instance that is being checked (and every failed one whose machine runs: a late answer is welcome) has a task here
that asks its endpoints round after round. A round is a few tries; what it sees is committed when it passes, or when the
picture changed, never per round. The step to `ready` is the lifecycle's: this loop only wakes it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog

from novitai.domain.change import Change
from novitai.domain.ids import InstanceId
from novitai.domain.instance import EndpointHealth, HealthCheck, Instance
from novitai.domain.machine import PortMapping
from novitai.egress.client import EgressClient
from novitai.egress.errors import EgressError, InvalidUrl
from novitai.operations.ledger import Ledger, Snapshot
from novitai.operations.reads import ReadModel
from novitai.policies import startup

log = structlog.get_logger("novitai.health")

GATEWAY_WORDS = ("bad gateway", "gateway error", "upstream error", "proxy error", "service unavailable")
"""What gateways write on a page that answers 200 although nothing stands behind it."""
BODY_LIMIT = 65_536
TELL_UNHEALTHY_SECONDS = 15.0


@dataclass(frozen=True)
class ProbeSettings:
    """Seconds between rounds, and how many probes may be under way at once."""

    interval: float = 2.0
    at_once: int = 128


class HealthChecks:
    """Runs the checks of all instances that need them."""

    def __init__(self, *, ledger: Ledger, reads: ReadModel, egress: EgressClient, settings: ProbeSettings) -> None:
        self._ledger = ledger
        self._reads = reads
        self._egress = egress
        self._settings = settings
        self._clock = ledger.clock
        self._places = asyncio.Semaphore(settings.at_once)
        self._tasks: dict[InstanceId, asyncio.Task[None]] = {}
        self._unlisten: Callable[[], None] = _nothing
        self._stopping = False

    def start(self) -> None:
        """Begin with what is to be checked now, and follow what comes."""
        self._unlisten = self._reads.listen(self._consider)
        for snapshot in self._reads.all():
            self._consider(snapshot)

    async def stop(self) -> None:
        """End every check."""
        self._stopping = True  # what ends now is not begun again
        self._unlisten()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def under_way(self) -> int:
        """How many instances are being asked."""
        return len(self._tasks)

    def _consider(self, snapshot: Snapshot) -> None:
        instance = snapshot.instance
        if self._stopping or not startup.probed(instance) or instance.id in self._tasks:
            return
        task = asyncio.create_task(self._ask_for_ever(instance.id), name=f"health check {instance.id}")
        self._tasks[instance.id] = task
        task.add_done_callback(lambda _: self._ended(instance.id))

    def _ended(self, instance_id: InstanceId) -> None:
        self._tasks.pop(instance_id, None)
        latest = self._reads.get(instance_id)
        if latest is not None:
            self._consider(latest)

    async def _ask_for_ever(self, instance_id: InstanceId) -> None:
        """A fault in one check must neither end it nor make it spin."""
        while True:
            try:
                return await self._ask_until_healthy(instance_id)
            except Exception:
                log.exception("health_check_failed", instanceId=instance_id)
                await self._clock.sleep(self._settings.interval)

    async def _ask_until_healthy(self, instance_id: InstanceId) -> None:
        told_at = self._clock.now()
        while True:
            snapshot = self._reads.get(instance_id)
            if snapshot is None or not startup.probed(snapshot.instance):
                return
            instance = snapshot.instance
            results = await self._round(instance)
            at = self._clock.now()
            healthy = bool(results) and all(result.healthy for result in results)
            if healthy or (at - told_at >= TELL_UNHEALTHY_SECONDS and _differs(instance, results)):
                await self._commit(instance, results, at, wake=healthy)
                told_at = at
            if healthy:
                return
            await self._clock.sleep(self._settings.interval)

    async def _round(self, instance: Instance) -> tuple[EndpointHealth, ...]:
        """Ask every endpoint, each with its tries; an endpoint that Novita has not told is unhealthy."""
        check, machine = instance.health_check, instance.machine
        if machine is None:
            return ()
        ports = startup.ports_to_check(check, machine.ports)
        return tuple(await asyncio.gather(*(self._endpoint(port, check) for port in ports)))

    async def _endpoint(self, port: PortMapping, check: HealthCheck) -> EndpointHealth:
        tries = max(1, check.retry_attempts)
        for number in range(1, tries + 1):
            async with self._places:
                result = await self._try(port, check)
            if result.healthy or number == tries:
                return result
            await self._clock.sleep(check.retry_delay_ms / 1000)
        raise AssertionError("unreachable: the last try returns")

    async def _try(self, port: PortMapping, check: HealthCheck) -> EndpointHealth:
        seconds = check.timeout_ms / 1000
        began = self._clock.now()
        try:
            if port.type == "tcp":
                await self._connect(port.endpoint, seconds)
                error = ""
            else:
                error = await self._get(port.endpoint, check, seconds)
        except EgressError as failure:
            error = str(failure)
        elapsed = round((self._clock.now() - began) * 1000, 3)
        return EndpointHealth(
            port=port.port,
            endpoint=port.endpoint,
            type=port.type,
            healthy=not error,
            response_ms=elapsed if not error else None,
            error=error,
        )

    async def _get(self, endpoint: str, check: HealthCheck, seconds: float) -> str:
        url = endpoint.rstrip("/") + "/" + check.path.lstrip("/")
        answer = await self._egress.get(
            url,
            headers={"User-Agent": "novitai-health-check/1", "X-Health-Check": "true"},
            deadline_seconds=seconds,
            max_body=BODY_LIMIT,
        )
        expected = answer.status in check.expect_status if check.expect_status else 200 <= answer.status < 400
        if not expected:
            return f"answered {answer.status}"
        text = answer.body_prefix.decode("utf-8", "replace")
        if check.expect_body and check.expect_body not in text:
            return "the body does not hold the expected text"
        head = text[:2_048].lower()
        word = next((word for word in GATEWAY_WORDS if word in head), None)
        return f"the page says {word!r}" if word and not check.expect_body else ""

    async def _connect(self, endpoint: str, seconds: float) -> None:
        try:
            parts = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
            host, port = parts.hostname or "", parts.port or 0
        except ValueError as error:
            raise InvalidUrl(f"not an address: {endpoint!r}") from error
        await self._egress.connect_tcp(host, port, deadline_seconds=seconds)

    async def _commit(self, instance: Instance, results: tuple[EndpointHealth, ...], at: float, *, wake: bool) -> None:
        started = instance.health.started_at if instance.health else None

        def note(now: Instance) -> Change:
            same_run = now.health is not None and now.health.started_at == started
            if not same_run or not startup.probed(now):
                return Change(instance=now)
            return Change(instance=startup.checked(now, results, at=at))

        if wake:
            log.info("application_answers", instanceId=instance.id)
        await self._ledger.apply(instance.id, note, wake=wake)


def _nothing() -> None:
    """Before start there is nothing to stop listening to."""


def _differs(instance: Instance, results: tuple[EndpointHealth, ...]) -> bool:
    known = instance.health.endpoints if instance.health else ()
    return [(e.port, e.healthy, e.error) for e in known] != [(e.port, e.healthy, e.error) for e in results]
