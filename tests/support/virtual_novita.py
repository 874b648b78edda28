"""The simulated Novita without sockets, in a time that is made up: our real client on one side, the simulator's front door on the other.

What lies between is a network that takes its time (`latency`) and loses nothing of its own. The simulator keeps its log of calls as ever: that
is the outside evidence. For use in a `VirtualLoop`; modes that need a real connection (drip, flood) are for real sockets.

    novita = VirtualNovita(clock, latency=lambda request: (0.1, 0.1))
    provider = novita.client(coordination)
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import CIMultiDict, MultiDict

from novita_simulator.calls import Call, CallLog
from novita_simulator.http.edge import Edge
from novita_simulator.scenario import Scenario
from novita_simulator.settings import Delays, Settings, Switches
from novita_simulator.stage import Stage
from novitai.novita.calls import BreakerName, Reply, Request
from novitai.novita.provider import NovitaProvider
from novitai.novita.settings import NovitaSettings
from novitai.novita.transport import BrokeOff
from novitai.ports.coordination import Coordination
from novitai.ports.world import Clock
from support.clock import FakeIds

BASE = "/gpu-instance/openapi"
BASES = {BreakerName.ACCOUNT: "/openapi/v1", BreakerName.INTERNAL: ""}
"""Where other APIs than the usual one are."""
Latency = Callable[[Request[Any]], tuple[float, float]]
"""Seconds on the way there and back."""
Spoil = Callable[[Request[Any], Reply], Reply]


class _Transport:
    """The connection as faults see it."""

    def __init__(self) -> None:
        self.aborted = False

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def get_extra_info(self, _name: str) -> "_Transport":
        return self

    def setsockopt(self, *_option: object) -> None:
        pass


@dataclass
class _Arriving:
    """A request as the front door reads it."""

    method: str
    path: str
    query: MultiDict[str]
    headers: CIMultiDict[str]
    body: bytes
    scheme: str = "https"
    host: str = "novita.example.test"
    transport: _Transport = field(default_factory=_Transport)

    @property
    def query_string(self) -> str:
        return "&".join(f"{name}={value}" for name, value in self.query.items())

    @property
    def path_qs(self) -> str:
        return f"{self.path}?{self.query_string}"

    async def read(self) -> bytes:
        return self.body


class Calls(CallLog):
    """The log of calls, with those that were to change something at hand."""

    def __init__(self) -> None:
        super().__init__()
        self.posts: list[Call] = []

    def receive(self, **call: Any) -> Call:
        received = super().receive(**call)
        if received.method == "POST":
            self.posts.append(received)
        return received


class VirtualNovita:
    """See the module's text. `spoil` may change what arrives at the client, after the simulator noted what it answered."""

    def __init__(
        self,
        clock: Clock,
        *,
        latency: Latency = lambda _request: (0.05, 0.05),
        switches: Switches | None = None,
        delays: Delays | None = None,
        balance_usd: float = 1_000_000.0,
    ) -> None:
        self._clock = clock
        self._latency = latency
        settings = Settings(switches=switches or Switches(apps=False), delays=delays or Delays())
        self.stage = Stage(Scenario(settings=settings, balance_usd=balance_usd), now=clock.now())
        self.stage.calls = self._calls = Calls()
        self.spoil: Spoil = lambda _request, reply: reply
        self._edge = Edge(stage=self.stage, advance=self._advance, closing=asyncio.Event())
        self._under_way: set[asyncio.Task[Any]] = set()

    @property
    def calls(self) -> list[Call]:
        """Every call that arrived, in order."""
        return self.stage.calls.since(0.0)

    @property
    def posts(self) -> list[Call]:
        """Every call that was to change something, in order."""
        return self._calls.posts

    def arrivals(self, path: str = "") -> list[float]:
        """When calls arrived."""
        return [call.received_at for call in self.calls if path in call.path]

    def fault(self, match: str, mode: str, **fault: object) -> None:
        """Script trouble, as under `/_sim/faults`."""
        self.stage.perform("faults", {"match": match, "mode": mode, **fault}, self._clock.now())

    def sound(self) -> None:
        """No trouble any more."""
        self.stage.faults.clear()

    def client(self, coordination: Coordination, **settings: Any) -> NovitaProvider:
        """A client of ours."""
        wanted = NovitaSettings(api_key="sim-key", api_base_url=f"https://novita.example.test{BASE}", **settings)
        return NovitaProvider(
            wanted, coordination=coordination, clock=self._clock, chance=FakeIds(7), connect=lambda **_: _Sender(self)
        )

    async def receive(self, request: Request[Any], correlation_id: str) -> Reply:
        """A call on its way there, at the door, and its answer on the way back. What was sent arrives, whoever waits for it."""
        carried = self._carried(request, correlation_id)
        task = asyncio.get_running_loop().create_task(
            carried, context=Context()
        )  # it outlives the process that sent it
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    async def quiet(self) -> None:
        """Nothing is under way any more."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _carried(self, request: Request[Any], correlation_id: str) -> Reply:
        there, back = self._latency(request)
        await self._clock.sleep(there)
        arriving = _Arriving(
            method=request.method,
            path=BASES.get(request.breaker, BASE) + request.path,
            query=MultiDict(request.query),
            headers=CIMultiDict({"Authorization": "Bearer sim-key", "X-Correlation-ID": correlation_id}),
            body=request.body or b"",
        )
        response = await self._edge.serve(arriving)  # type: ignore[arg-type] # all that the door asks of a request
        await self._clock.sleep(back)
        if arriving.transport.aborted:
            raise BrokeOff("ClientOSError: Connection reset by peer")
        assert isinstance(response, web.Response)
        return self.spoil(request, _reply(response))

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()

    def _advance(self) -> float:
        now = self._clock.now()
        self.stage.world.advance(now)
        return now


class _Sender:
    """Keeps `novita.transport.Sender`."""

    def __init__(self, novita: VirtualNovita) -> None:
        self._novita = novita

    async def send(self, request: Request[Any], *, correlation_id: str, seconds: float) -> Reply:
        try:
            async with asyncio.timeout(seconds):
                return await self._novita.receive(request, correlation_id)
        except TimeoutError:
            raise BrokeOff("TimeoutError", timed_out=True) from None

    async def close(self) -> None:
        pass


def _reply(response: web.Response) -> Reply:
    body = response.body if isinstance(response.body, bytes) else b""
    return Reply(
        status=response.status,
        body=body,
        content_type=response.headers.get("Content-Type", ""),
        retry_after=response.headers.get("Retry-After"),
        date=response.headers.get("Date"),
    )


def most_in_any(seconds: float, moments: list[float]) -> int:
    """The most of them within any stretch of that many seconds (its end not included): exact, by two fingers on a sorted list."""
    moments = sorted(moments)
    first = most = 0
    for place, moment in enumerate(moments):
        while moments[first] + seconds <= moment:
            first += 1
        most = max(most, place - first + 1)
    return most
