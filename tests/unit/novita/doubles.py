"""Small doubles for tests of the Novita client: coordination with the real machines in it, and a sender that follows a script."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from novitai.domain.machine import BillingMode
from novitai.domain.money import Usd
from novitai.domain.offers import Offer
from novitai.novita.calls import Reply, Request
from novitai.ports.coordination import Admission, BreakerPermit, BreakerView, Share, WindowUse
from novitai.ports.provider import MachineOrder
from novitai.resilience.breaker import Breaker, BreakerSettings, Permit, Refusal
from novitai.resilience.limiter import Limiter, LimiterSettings, Slot
from novitai.resilience.limiter import Share as LimiterShare
from support.clock import FakeClock


class MemoryCoordination:
    """Windows and breakers in memory, with a record of what was asked, in order."""

    def __init__(self, clock: FakeClock, *, limit: int = 100, breaker: BreakerSettings | None = None) -> None:
        self._clock = clock
        self.limiter = Limiter(LimiterSettings(limit=limit))
        self._breaker_settings = breaker or BreakerSettings()
        self._breakers: dict[str, Breaker] = {}
        self._permits: dict[int, Permit] = {}
        self.open_slots: set[int] = set()
        self.log: list[str] = []
        self.reports: list[bool | None] = []

    async def admit(self, window: str, share: Share) -> Admission:
        outcome = self.limiter.admit(LimiterShare(share.value), self._clock.now())
        if not isinstance(outcome, Slot):
            return Admission(slot=None, wait_seconds=outcome.seconds)
        self.log.append(f"admit {window}")
        self.open_slots.add(outcome.id)
        return Admission(slot=outcome.id)

    async def release(self, window: str, slot: int) -> None:
        self.log.append(f"release {window}")
        self.open_slots.remove(slot)
        self.limiter.release(slot)

    async def settle(self, window: str, slot: int) -> None:
        self.log.append(f"settle {window}")
        self.open_slots.remove(slot)
        self.limiter.settle(slot, self._clock.now())

    async def window_use(self, window: str) -> WindowUse:
        return WindowUse(
            limit=self.limiter.settings.limit, window_seconds=60.0, used=self.limiter.used(self._clock.now())
        )

    async def permit(self, breaker: str) -> BreakerPermit:
        self.log.append(f"permit {breaker}")
        outcome = self._machine(breaker).permit(self._clock.now())
        if isinstance(outcome, Refusal):
            return BreakerPermit(allowed=False, epoch=0, retry_at=outcome.retry_at)
        permit = BreakerPermit(allowed=True, epoch=outcome.epoch, probe=outcome.probe is not None)
        self._permits[id(permit)] = outcome
        return permit

    async def report(self, breaker: str, permit: BreakerPermit, *, ok: bool | None) -> BreakerView:
        self.log.append(f"report {breaker} {ok}")
        self.reports.append(ok)
        machine, now = self._machine(breaker), self._clock.now()
        if ok is None:
            machine.abandon(self._permits.pop(id(permit)))
        else:
            machine.record(self._permits.pop(id(permit)), ok=ok, now=now)
        return await self.breaker(breaker)

    async def breaker(self, breaker: str) -> BreakerView:
        machine = self._machine(breaker)
        return BreakerView(
            state=machine.state.value,
            failure_count=machine.failure_count,
            opened_at=machine.opened_at,
            retry_at=machine.retry_at,
        )

    def _machine(self, breaker: str) -> Breaker:
        return self._breakers.setdefault(breaker, Breaker(self._breaker_settings))


Step = Reply | Exception | Callable[[], Awaitable[Reply]]


class ScriptedSender:
    """Plays one step for each call: an answer, an error, or something to wait for. The last step is played again and again."""

    def __init__(self, *steps: Step) -> None:
        self._steps = list(steps)
        self.sent: list[Request[Any]] = []
        self.seconds: list[float] = []
        self.correlation_ids: list[str] = []
        self.arrived = asyncio.Event()

    async def send(self, request: Request[Any], *, correlation_id: str, seconds: float) -> Reply:
        self.sent.append(request)
        self.seconds.append(seconds)
        self.correlation_ids.append(correlation_id)
        self.arrived.set()
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, Reply) else await step()

    async def close(self) -> None:
        self._steps = [AssertionError("used after it was closed")]


class CountingTelemetry:
    """Remembers what was counted."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []

    def upstream_call(self, *, client: str, operation: str, outcome: str, seconds: float) -> None:
        self.calls.append((client, operation, outcome))


def answer(body: bytes = b"{}", status: int = 200, retry_after: str | None = None) -> Reply:
    return Reply(status=status, body=body, content_type="application/json", retry_after=retry_after)


OFFER = Offer(
    product_id="4090.16c62g",
    product_name="RTX 4090 24GB",
    cluster_id="us-ca-6",
    region="US-CA-06 (California)",
    billing_mode=BillingMode.SPOT,
    gpu_num=2,
    price_per_hour=Usd(35000),
)


def order(**changes: Any) -> MachineOrder:
    """A plain order of two GPUs."""
    plain = MachineOrder(machine_name="train-1-nvx", offer=OFFER, image_url="ubuntu:22.04", rootfs_gb=60)
    return msgspec.structs.replace(plain, **changes)
