"""The Provider port, kept by Novita: what the rest of the program sees of this folder.

It chooses the call and the client for each verb; how calls are made is `transport.py`'s business, what they look like
`v1.py`'s and `jobs.py`'s.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

import msgspec
import structlog

from novitai.domain.errors import ProviderFailure
from novitai.domain.ids import MachineId
from novitai.domain.machine import BillingMode, Machine
from novitai.domain.offers import Catalogue
from novitai.domain.templates import NetworkStorage, RegistryAuth, Template
from novitai.novita import jobs, translate, v1, wire
from novitai.novita.calls import BreakerName, Request
from novitai.novita.credentials import Credentials
from novitai.novita.journal import Journal, NoTelemetry, Telemetry
from novitai.novita.settings import NovitaSettings
from novitai.novita.transport import Chance, HttpSender, Transport
from novitai.ports.coordination import Coordination
from novitai.ports.provider import (
    Call,
    ClientName,
    MachineOrder,
    MachinePage,
    ProviderJobQuery,
    ProviderJobs,
    UpstreamView,
)
from novitai.ports.world import Clock

PAGE_SIZE = 100
# Beyond this the list is taken for one that repeats itself.
MOST_PAGES = 50

_log = structlog.get_logger()


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=_HasId)


class NovitaProvider:
    """Keeps `ports.provider.Provider`. Make it anywhere, use it inside one event loop, close it at the end."""

    def __init__(
        self,
        settings: NovitaSettings,
        *,
        coordination: Coordination,
        clock: Clock,
        chance: Chance,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._clock = clock
        self._credentials = Credentials(clock.now)
        client = partial(
            _transport,
            settings=settings,
            coordination=coordination,
            clock=clock,
            chance=chance,
            telemetry=telemetry or NoTelemetry(),
        )
        self._public = client(
            ClientName.PUBLIC,
            base_url=settings.api_base_url,
            api_key=settings.api_key,
            rate_limit=settings.rate_limit,
            breakers=(BreakerName.GPU, BreakerName.ACCOUNT),
        )
        self._internal: Transport | None = None
        if settings.internal_api_key:
            self._internal = client(
                ClientName.INTERNAL,
                base_url=settings.internal_api_base_url,
                api_key=settings.internal_api_key,
                rate_limit=settings.internal_rate_limit,
                breakers=(BreakerName.INTERNAL,),
            )

    # ── machines ──────────────────────────────────────────────────────────────────────────────────────────────

    async def machines(self, page: int, page_size: int, call: Call) -> MachinePage:
        """One page of the list, counted from 1. Whether Novita honours paging is for the caller to judge."""
        return await self._public.call(v1.machines(page, page_size), call)

    async def machine(self, machine_id: MachineId, call: Call) -> Machine:
        """One machine with its details. Raises Gone when Novita says that it does not exist."""
        return await self._public.call(v1.machine(machine_id), call)

    async def create(self, order: MachineOrder, call: Call) -> MachineId:
        """Buy a machine. The registry credential is looked up first, by a call of its own without `before_send`."""
        image_auth = ""
        if order.image_auth_id:
            quiet = msgspec.structs.replace(call, before_send=None)
            image_auth = await self._credentials.content(order.image_auth_id, lambda: self._registry_auths(quiet))
        return await self._public.call(v1.create(order, image_auth), call)

    async def start(self, machine_id: MachineId, call: Call) -> None:
        """Start a stopped machine."""
        await self._public.call(v1.action("start", machine_id), call)

    async def stop(self, machine_id: MachineId, call: Call) -> None:
        """Stop a machine."""
        await self._public.call(v1.action("stop", machine_id), call)

    async def restart(self, machine_id: MachineId, call: Call) -> None:
        """Restart a running machine."""
        await self._public.call(v1.action("restart", machine_id), call)

    async def delete(self, machine_id: MachineId, call: Call) -> None:
        """Delete a machine for good."""
        await self._public.call(v1.action("delete", machine_id), call)

    # ── what can be bought, and what the account has ──────────────────────────────────────────────────────────

    async def catalogue(self, call: Call) -> Catalogue:
        """Products for spot and on demand, and regions: three requests at once."""
        read_at = self._clock.now()
        try:
            async with asyncio.TaskGroup() as group:
                spot = group.create_task(self._public.call(v1.products(BillingMode.SPOT), call))
                on_demand = group.create_task(self._public.call(v1.products(BillingMode.ON_DEMAND), call))
                regions = group.create_task(self._public.call(v1.clusters(), call))
        except BaseExceptionGroup as failures:
            raise _first(failures) from None
        return Catalogue(products=spot.result() + on_demand.result(), regions=regions.result(), read_at=read_at)

    async def templates(self, call: Call) -> tuple[Template, ...]:
        """The account's private templates."""
        return await self._all_pages(v1.templates, call)

    async def template(self, template_id: str, call: Call) -> Template:
        """One template, of any channel. Raises Gone."""
        return await self._public.call(v1.template(template_id), call)

    async def registry_auths(self, call: Call) -> tuple[RegistryAuth, ...]:
        """Registry credentials, without their passwords."""
        return tuple(translate.registry_auth(one) for one in await self._registry_auths(call))

    async def network_storages(self, call: Call) -> tuple[NetworkStorage, ...]:
        """The account's network volumes."""
        return await self._all_pages(v1.network_storages, call)

    async def jobs(self, query: ProviderJobQuery, call: Call) -> ProviderJobs:
        """Novita's jobs: from the internal API when its key is set, else (or when that fails) from the public one."""
        if self._internal is not None:
            try:
                return await self._internal.call(jobs.internal_jobs(query), call)
            except ProviderFailure as failure:
                _log.warning("novita_internal_jobs_failed", client=ClientName.INTERNAL.value, error=failure.message)
        return await self._public.call(jobs.public_jobs(query), call)

    # ── the clients themselves ────────────────────────────────────────────────────────────────────────────────

    async def upstream(self) -> tuple[UpstreamView, ...]:
        """The state of both clients; never calls Novita."""
        internal = await self._internal.view() if self._internal else _DISABLED
        return (await self._public.view(), internal)

    async def close(self) -> None:
        """Give up connections; closing twice is fine."""
        for transport in filter(None, (self._public, self._internal)):
            await transport.close()

    async def _registry_auths(self, call: Call) -> tuple[wire.RegistryAuth, ...]:
        return await self._public.call(v1.registry_auths(), call)

    async def _all_pages(
        self, page_request: Callable[[int, int], Request[tuple[list[R], int]]], call: Call
    ) -> tuple[R, ...]:
        """All records of a list, each once. A page without anything new is the end, whatever the total says."""
        known: dict[str, R] = {}
        for page in range(1, MOST_PAGES + 1):
            records, total = await self._public.call(page_request(page, PAGE_SIZE), call)
            before = len(known)
            known |= {record.id: record for record in records}
            if len(known) == before or len(known) >= total:
                break
        return tuple(known.values())


def _transport(
    client: ClientName,
    *,
    base_url: str,
    api_key: str,
    rate_limit: int,
    breakers: tuple[BreakerName, ...],
    settings: NovitaSettings,
    coordination: Coordination,
    clock: Clock,
    chance: Chance,
    telemetry: Telemetry,
) -> Transport:
    return Transport(
        client=client,
        sender=HttpSender(base_url=base_url, api_key=api_key, settings=settings),
        coordination=coordination,
        clock=clock,
        chance=chance,
        journal=Journal(client, telemetry, clock.now, slow_ms=settings.slow_ms),
        pacing=settings.pacing,
        rate_limit=rate_limit,
        breakers=breakers,
        secrets=(api_key,),
    )


_DISABLED = UpstreamView(
    client=ClientName.INTERNAL,
    enabled=False,
    reachable=None,
    last_success_at=None,
    last_failure_at=None,
    last_error=None,
    auth_failed=False,
    breakers={},
    limit=0,
    window_seconds=60.0,
    used=0,
    queue_length=0,
    oldest_wait_ms=0.0,
    latency_p50_ms=None,
    latency_p99_ms=None,
)


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong first, as if the calls had been made one after another."""
    found = failures.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
