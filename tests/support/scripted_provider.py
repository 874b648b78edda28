"""A provider double: a small account in memory that does what it is asked at once, and fails where the script says so.

It keeps `ports.provider.Provider`. Machines run as soon as they are created; `script` makes the next calls of a method fail, `calls` says
what was asked. For anything about timing, paging or wire shapes use the simulator instead.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec

from novitai.domain.costs import Billed
from novitai.domain.errors import Gone, ProviderFailure
from novitai.domain.ids import MachineId
from novitai.domain.machine import Machine, MachineStatus, PortMapping
from novitai.domain.metrics import MachineMetrics, Window
from novitai.domain.money import Usd, usd
from novitai.domain.offers import Catalogue
from novitai.domain.templates import NetworkStorage, RegistryAuth, Template
from novitai.ports.provider import (
    BillQuery,
    Call,
    ClientName,
    MachineOrder,
    MachinePage,
    ProviderJob,
    ProviderJobQuery,
    ProviderJobs,
    UpstreamBreaker,
    UpstreamView,
)
from novitai.ports.world import Clock
from support import builders


class ScriptedProvider:
    """See the module's text. Everything it holds is public: a test arranges the account by assigning."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self.offered: Catalogue = msgspec.structs.replace(builders.catalogue(builders.product()), read_at=clock.now())
        self.account: dict[MachineId, Machine] = {}
        self.known_templates: dict[str, Template] = {}
        self.known_auths: tuple[RegistryAuth, ...] = ()
        self.known_storages: tuple[NetworkStorage, ...] = ()
        self.known_metrics: dict[MachineId, MachineMetrics] = {}
        self.known_jobs: tuple[ProviderJob, ...] = ()
        self.known_bills: tuple[Billed, ...] = ()
        self.known_balance = usd(1_000.0)
        self.views: tuple[UpstreamView, ...] = (upstream_view(), upstream_view(ClientName.INTERNAL, enabled=False))
        self.calls: list[tuple[str, Any]] = []
        self._failures: dict[str, list[ProviderFailure]] = defaultdict(list)

    def script(self, method: str, *failures: ProviderFailure) -> None:
        """Let the next calls of a method fail like this, one after another."""
        self._failures[method] += failures

    def hold(self, *machines: Machine) -> None:
        """Let the account have these machines."""
        self.account |= {machine.id: machine for machine in machines}

    async def catalogue(self, call: Call) -> Catalogue:
        await self._called("catalogue", call)
        self.offered = msgspec.structs.replace(self.offered, read_at=self._clock.now())
        return self.offered

    async def machines(self, page: int, page_size: int, call: Call) -> MachinePage:
        await self._called("machines", call, page)
        found = list(self.account.values())
        return MachinePage(machines=tuple(found[(page - 1) * page_size : page * page_size]), total=len(found))

    async def machine(self, machine_id: MachineId, call: Call) -> Machine:
        await self._called("machine", call, machine_id)
        return self._have(machine_id)

    async def create(self, order: MachineOrder, call: Call) -> MachineId:
        await self._called("create", call, order)
        made = builders.machine(
            id=MachineId(f"{len(self.account) + 1:016x}"),
            name=order.machine_name,
            image_url=order.image_url,
            product_id=order.offer.product_id,
            product_name=order.offer.product_name,
            cluster_id=order.offer.cluster_id,
            region=order.offer.region,
            gpu_num=order.offer.gpu_num,
            billing_mode=order.offer.billing_mode,
            ports=tuple(PortMapping(p.port, p.type, f"https://{p.port}.example.test") for p in order.ports),
            created_at=self._clock.now(),
            started_at=self._clock.now(),
        )
        self.hold(made)
        return made.id

    async def start(self, machine_id: MachineId, call: Call) -> None:
        await self._called("start", call, machine_id)
        self._becomes(machine_id, MachineStatus.RUNNING)

    async def stop(self, machine_id: MachineId, call: Call) -> None:
        await self._called("stop", call, machine_id)
        self._becomes(machine_id, MachineStatus.STOPPED)

    async def restart(self, machine_id: MachineId, call: Call) -> None:
        await self._called("restart", call, machine_id)
        self._becomes(machine_id, MachineStatus.RUNNING)

    async def delete(self, machine_id: MachineId, call: Call) -> None:
        await self._called("delete", call, machine_id)
        self._have(machine_id)
        del self.account[machine_id]

    async def migrate(self, machine_id: MachineId, call: Call) -> None:
        await self._called("migrate", call, machine_id)
        self._becomes(machine_id, MachineStatus.RUNNING)

    async def metrics(self, machine_id: MachineId, window: Window, call: Call) -> MachineMetrics:
        await self._called("metrics", call, machine_id)
        return self.known_metrics.get(machine_id, MachineMetrics())

    async def templates(self, call: Call) -> tuple[Template, ...]:
        await self._called("templates", call)
        return tuple(self.known_templates.values())

    async def template(self, template_id: str, call: Call) -> Template:
        await self._called("template", call, template_id)
        if template_id not in self.known_templates:
            raise Gone(f"no template {template_id}", status=404)
        return self.known_templates[template_id]

    async def registry_auths(self, call: Call) -> tuple[RegistryAuth, ...]:
        await self._called("registry_auths", call)
        return self.known_auths

    async def network_storages(self, call: Call) -> tuple[NetworkStorage, ...]:
        await self._called("network_storages", call)
        return self.known_storages

    async def jobs(self, query: ProviderJobQuery, call: Call) -> ProviderJobs:
        await self._called("jobs", call, query)
        wanted = [
            job
            for job in self.known_jobs
            if (not query.type or job.type == query.type)
            and (not query.state or job.state == query.state)
            and query.start_time <= job.created_at
        ]
        page = wanted[(query.page - 1) * query.page_size : query.page * query.page_size]
        return ProviderJobs(jobs=tuple(page), total=len(wanted), source="public")

    async def bills(self, query: BillQuery, call: Call) -> tuple[Billed, ...]:
        await self._called("bills", call, query)
        return tuple(
            row
            for row in self.known_bills
            if query.machine_id in {None, row.machine_id} and query.start <= row.start < query.end
        )

    async def balance(self, call: Call) -> Usd:
        await self._called("balance", call)
        return self.known_balance

    async def upstream(self) -> tuple[UpstreamView, ...]:
        return self.views

    async def close(self) -> None:
        pass

    def asked(self, method: str) -> Iterable[Any]:
        """What a method was asked for, in order."""
        return [argument for name, argument in self.calls if name == method]

    async def _called(self, method: str, call: Call, argument: Any = None) -> None:
        if call.before_send is not None:
            await call.before_send()
        self.calls.append((method, argument))
        if self._failures[method]:
            raise self._failures[method].pop(0)

    def _have(self, machine_id: MachineId) -> Machine:
        if machine_id not in self.account:
            raise Gone(f"no machine {machine_id}", status=404)
        return self.account[machine_id]

    def _becomes(self, machine_id: MachineId, status: MachineStatus) -> None:
        machine = self._have(machine_id)
        self.account[machine_id] = msgspec.structs.replace(machine, status=status, provider_status=str(status))


def upstream_view(client: ClientName = ClientName.PUBLIC, **fields: Any) -> UpstreamView:
    """A client of Novita's that is well."""
    usual: dict[str, Any] = {
        "client": client,
        "enabled": True,
        "reachable": True,
        "last_success_at": builders.NOW,
        "last_failure_at": None,
        "last_error": None,
        "auth_failed": False,
        "breakers": {name: closed() for name in (("gpu", "account") if client is ClientName.PUBLIC else ("internal",))},
        "limit": 100,
        "window_seconds": 60.0,
        "used": 3,
        "queue_length": 0,
        "oldest_wait_ms": 0.0,
        "latency_p50_ms": 12.5,
        "latency_p99_ms": 80.0,
    }
    return UpstreamView(**usual | fields)


def closed() -> UpstreamBreaker:
    """A breaker that lets calls through."""
    return UpstreamBreaker(state="CLOSED", failure_count=0, opened_at=None, retry_at=None)


def opened(at: float = builders.NOW) -> UpstreamBreaker:
    """A breaker that does not."""
    return UpstreamBreaker(state="OPEN", failure_count=5, opened_at=at, retry_at=at + 60.0)
