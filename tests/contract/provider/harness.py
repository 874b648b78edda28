"""A provider with a world behind it that a test can arrange: what every keeper of the port is tested through.

`SimulatorHarness` is the real client over real sockets to the simulated Novita. Another keeper of the port joins the shared tests by
keeping `Harness` and standing in `HARNESSES`.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Protocol, Self

import msgspec

from novita_simulator.scenario import Scenario
from novita_simulator.server import Simulator
from novita_simulator.settings import Settings, Switches
from novitai.coordination.local import LocalCoordination
from novitai.domain.ids import MachineId
from novitai.domain.machine import BillingMode, Port
from novitai.domain.money import Usd
from novitai.domain.offers import Catalogue, Offer
from novitai.novita.provider import NovitaProvider
from novitai.novita.settings import NovitaSettings
from novitai.ports.coordination import Admission, BreakerPermit, BreakerView, Share
from novitai.ports.provider import Call, MachineOrder, Provider
from novitai.ports.world import Clock
from novitai.resilience.breaker import BreakerSettings
from support.clock import FakeIds

ACT = Call(share=Share.ACT, correlation_id="c-1", longest_wait=5.0)
BULK = msgspec.structs.replace(ACT, share=Share.BULK)


class HastyClock:
    """The real time, and pauses that take none: it runs ahead instead."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def now(self) -> float:
        return time.time() + self.skipped

    async def sleep(self, seconds: float) -> None:
        self.skipped += max(0.0, seconds)
        await asyncio.sleep(0)


class WatchedCoordination(LocalCoordination):
    """The coordination of one process, with what a test wants to know of it."""

    def __init__(self, clock: Clock, *, limit: int = 100_000, failure_threshold: int = 1000) -> None:
        limits = {"public": limit, "internal": limit}
        super().__init__(clock=clock, limits=limits, breaker=BreakerSettings(failure_threshold=failure_threshold))
        self.admitted = 0
        self.open_slots: set[tuple[str, int]] = set()
        self.reports: list[bool | None] = []

    async def admit(self, window: str, share: Share) -> Admission:
        admission = await super().admit(window, share)
        if admission.slot is not None:
            self.admitted += 1
            self.open_slots.add((window, admission.slot))
        return admission

    async def settle(self, window: str, slot: int) -> None:
        self.open_slots.remove((window, slot))
        await super().settle(window, slot)

    async def report(self, breaker: str, permit: BreakerPermit, *, ok: bool | None) -> BreakerView:
        self.reports.append(ok)
        return await super().report(breaker, permit, ok=ok)


def order_for(offer: Offer, **changes) -> MachineOrder:
    """A plain order."""
    plain = MachineOrder(
        machine_name="train-1-nvtest",
        offer=offer,
        image_url="docker.io/library/ubuntu:22.04",
        rootfs_gb=60,
        ports=(Port(8080, "http"),),
    )
    return msgspec.structs.replace(plain, **changes)


def cheapest(catalogue: Catalogue, mode: BillingMode = BillingMode.SPOT) -> Offer:
    """The cheapest product of a mode, in the first region that has it."""
    product = min(
        (one for one in catalogue.products if one.billing_mode is mode and one.deployable),
        key=lambda one: one.price_per_gpu,
    )
    region = next(one for one in catalogue.regions if not product.regions or one.name in product.regions)
    return Offer(
        product_id=product.id,
        product_name=product.name,
        cluster_id=region.cluster_id,
        region=region.name,
        billing_mode=mode,
        gpu_num=1,
        price_per_hour=Usd(product.price_per_gpu),
    )


class Harness(Protocol):
    """What the shared tests ask of a world."""

    provider: Provider

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_error: object) -> None: ...

    async def pass_time(self, seconds: float) -> None:
        """Let the world go on."""
        ...

    def sell_out(self) -> None:
        """No GPU is free any more."""
        ...

    def machine_names(self) -> list[str]:
        """What exists in the world, whatever the provider says."""
        ...


class SimulatorHarness:
    """The Novita client against the simulator, whose world moves only when the test says so."""

    def __init__(self, *, switches: Switches | None = None, **settings) -> None:
        self.world_time = time.time()
        scenario = Scenario(settings=Settings(switches=switches or Switches(apps=False)))
        self.simulator = Simulator(scenario, clock=lambda: self.world_time)
        self.clock = HastyClock()
        self.coordination = WatchedCoordination(self.clock)
        self._changes = settings
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._exits.enter_async_context(self.simulator)
        self.provider = self.another()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._exits.aclose()
        await self.coordination.close()

    def another(self, **changes) -> NovitaProvider:
        """A second client of the same world; it is closed with the harness."""
        where = self.simulator.environment()
        settings = NovitaSettings(
            api_key=where["NOVITA_API_KEY"],
            api_base_url=where["NOVITA_API_BASE_URL"],
            internal_api_base_url=where["NOVITA_INTERNAL_API_BASE_URL"],
        )
        provider = NovitaProvider(
            replace(settings, **(self._changes | changes)),
            coordination=self.coordination,
            clock=self.clock,
            chance=FakeIds(),
        )
        self._exits.push_async_callback(provider.close)
        return provider

    async def pass_time(self, seconds: float) -> None:
        self.world_time += seconds
        await self.simulator.settle()

    def sell_out(self) -> None:
        for product_id in self.simulator.world.catalogue.products:
            self.act("stock", productId=product_id, stock=0)

    def machine_names(self) -> list[str]:
        return [machine.name for machine in self.simulator.world.machines.values()]

    def act(self, action: str, **body) -> dict[str, object]:
        """The hand on the scenery, as under `/_sim/`."""
        return self.simulator.stage.perform(action, body, self.world_time)

    def spoil(self, match: str, mode: str, **fault) -> None:
        """The next call that fits goes wrong (`count=-1`: every one)."""
        self.act("faults", match=match, mode=mode, **fault)

    def arrived(self, path: str = "") -> list[str]:
        """The calls that Novita saw, oldest first."""
        return [f"{call.method} {call.path}" for call in self.simulator.calls.since(0) if path in call.path]

    async def offer(self, mode: BillingMode = BillingMode.SPOT) -> Offer:
        return cheapest(await self.provider.catalogue(BULK), mode)

    async def running(self, name: str = "train-1-nvtest") -> MachineId:
        """A machine that runs."""
        machine_id = await self.provider.create(order_for(await self.offer(), machine_name=name), ACT)
        await self.pass_time(3600)
        return machine_id


HARNESSES: dict[str, type[Harness]] = {"novita over the simulator": SimulatorHarness}
