"""The Provider port, kept by Novita: what the rest of the program sees of this folder.

It chooses the call and the client for each verb; how calls are made is `transport.py`'s business, what they look like
`v1.py`'s and `jobs.py`'s.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeVar

import msgspec
import structlog

from novitai.domain.costs import Billed
from novitai.domain.errors import ProviderFailure, Rejected, TryLater
from novitai.domain.ids import MachineId
from novitai.domain.machine import BillingMode, Machine
from novitai.domain.metrics import MachineMetrics, Window
from novitai.domain.money import Usd
from novitai.domain.offers import Catalogue
from novitai.domain.templates import NetworkStorage, RegistryAuth, Template
from novitai.novita import account, jobs, metrics, translate, v1, wire
from novitai.novita.calls import BreakerName, Request
from novitai.novita.credentials import Credentials
from novitai.novita.journal import Journal, NoTelemetry, Telemetry, Witness
from novitai.novita.naming import Naming
from novitai.novita.paging import Paging
from novitai.novita.settings import NovitaSettings
from novitai.novita.transport import Chance, HttpSender, Sender, Transport
from novitai.ports.coordination import Coordination
from novitai.ports.provider import (
    BillQuery,
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


T = TypeVar("T")


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=_HasId)


class Connect(Protocol):
    """How a client reaches its host: over HTTP, or, where time is made up, by hand."""

    def __call__(self, *, base_url: str, api_key: str, settings: NovitaSettings) -> Sender: ...


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
        witness: Witness | None = None,
        connect: Connect = HttpSender,
    ) -> None:
        self._clock = clock
        self._naming = Naming()
        self._paging = Paging()
        self._credentials = Credentials(clock.now)
        client = partial(
            _transport,
            settings=settings,
            coordination=coordination,
            clock=clock,
            chance=chance,
            telemetry=telemetry or NoTelemetry(),
            witness=witness,
            connect=connect,
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

        async def ask(number: int, size: int) -> MachinePage:
            return await self._public.call(v1.machines(number, size), call)

        found = await self._paging.page(page, page_size, ask)
        for machine in found.machines:
            self._naming.seen(machine)
        return found

    async def machine(self, machine_id: MachineId, call: Call) -> Machine:
        """One machine with its details. Raises Gone when Novita says that it does not exist."""
        found = await self._public.call(v1.machine(machine_id), call)
        self._naming.seen(found)
        return found

    async def create(self, order: MachineOrder, call: Call) -> MachineId:
        """Buy a machine. The registry credential is looked up first, by a call of its own without `before_send`. A name
        that is refused as too long is TryLater: the next one will be shorter.
        """
        image_auth = ""
        if order.image_auth_id:
            quiet = msgspec.structs.replace(call, before_send=None)
            image_auth = await self._credentials.content(order.image_auth_id, lambda: self._registry_auths(quiet))
        name = self._naming.fit(order.machine_name)
        request = v1.create(msgspec.structs.replace(order, machine_name=name), image_auth)
        try:
            machine_id = await self._public.call(request, call)
        except Rejected as refusal:
            if not self._naming.refused(name, refusal):
                raise
            raise TryLater(refusal.message, reason=refusal.reason, status=refusal.status, retry_after=0.0) from refusal
        self._naming.sent(machine_id, name)
        return machine_id

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

    async def migrate(self, machine_id: MachineId, call: Call) -> None:
        """Move a machine to another node. The answer may name a job or be empty (novita-wire.md 3.6), so the job is
        found by the machine's id.
        """
        await self._public.call(v1.action("migrate", machine_id), call)

    async def metrics(self, machine_id: MachineId, window: Window, call: Call) -> MachineMetrics:
        """What was measured of a machine."""
        return await self._public.call(metrics.of_machine(machine_id, window), call)

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
                return await self._internal.call(jobs.internal_jobs(self._as_numbered(query)), call)
            except ProviderFailure as failure:
                _log.warning("novita_internal_jobs_failed", client=ClientName.INTERNAL.value, error=failure.message)
        return await self._public.call(jobs.public_jobs(self._as_numbered(query)), call)

    async def bills(self, query: BillQuery, call: Call) -> tuple[Billed, ...]:
        """What machines cost by Novita's own account."""
        return await self._public.call(account.bills(query), call)

    async def balance(self, call: Call) -> Usd:
        """What is left of the account's money."""
        return await self._public.call(account.balance(), call)

    async def ask(self, request: Request[T], call: Call) -> T:
        """A call of the public client for which the port has no verb (a list in an unusual way)."""
        return await self._public.call(request, call)

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
        paging = Paging()
        total = 0

        async def ask(number: int, size: int) -> tuple[list[R], int]:
            return await self._public.call(page_request(number, size), call)

        for page in range(1, MOST_PAGES + 1):
            records, total = await paging.sized(page, PAGE_SIZE, ask)
            before = len(known)
            known |= {record.id: record for record in records}
            if len(known) == before or len(known) >= total:
                break
        if len(known) < total:
            with suppress(Rejected):  # page 0 may be another page than 1
                known = {record.id: record for record in (await paging.sized(0, PAGE_SIZE, ask))[0]} | known
        return tuple(known.values())

    def _as_numbered(self, query: ProviderJobQuery) -> ProviderJobQuery:
        return msgspec.structs.replace(query, page=query.page - 1) if self._paging.from_zero else query


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
    witness: Witness | None,
    connect: Connect,
) -> Transport:
    return Transport(
        client=client,
        sender=connect(base_url=base_url, api_key=api_key, settings=settings),
        coordination=coordination,
        clock=clock,
        chance=chance,
        journal=Journal(client, telemetry, clock.now, slow_ms=settings.slow_ms, witness=witness),
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
