"""The simulator on real sockets, its clock in the test's hand, and a plain HTTP caller."""

from typing import Any

import aiohttp
import pytest

from novita_simulator.scenario import read_scenario
from novita_simulator.server import Simulator

API = "/gpu-instance/openapi/v1"
CREATE = {
    "name": "train-1",
    "productId": "4090.16c62g",
    "gpuNum": 1,
    "rootfsSize": 60,
    "imageUrl": "docker.io/library/ubuntu:22.04",
    "kind": "gpu",
    "ports": "8080/http,22000/tcp",
    "clusterId": "us-ca-6",
}


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Caller:
    """Calls the simulator and answers (status, JSON); a broken connection raises."""

    def __init__(self, simulator: Simulator, clock: Clock, session: aiohttp.ClientSession) -> None:
        self.simulator = simulator
        self.clock = clock
        self.session = session

    async def get(self, path: str, **query: Any) -> tuple[int, Any]:
        return await self._call("GET", path, params={name: str(value) for name, value in query.items()})

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        return await self._call("POST", path, json=body)

    async def delete(self, path: str) -> tuple[int, Any]:
        return await self._call("DELETE", path)

    async def sim(self, action: str, **body: Any) -> Any:
        status, answer = await self._call("POST", f"/_sim/{action}", json=body)
        assert status == 200, answer
        return answer

    async def create(self, **fields: Any) -> str:
        status, answer = await self.post(f"{API}/gpu/instance/create", CREATE | fields)
        assert status == 200, answer
        return str(answer["id"])

    async def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        await self.simulator.settle()

    async def endpoint(self, instance_id: str, port: int = 8080) -> str:
        _, record = await self.get(f"{API}/gpu/instance", instanceId=instance_id)
        return str(next(item["endpoint"] for item in record["portMappings"] if item["port"] == port))

    async def visit(self, url: str) -> int | str:
        """The status of a machine's page, or `refused`."""
        try:
            async with self.session.get(url) as response:
                return response.status
        except aiohttp.ClientConnectorError:
            return "refused"

    async def _call(self, method: str, path: str, **kwargs: Any) -> tuple[int, Any]:
        url = f"{self.simulator.url}{path}"
        headers = {"Authorization": "Bearer sim-key", "X-Correlation-ID": "corr-1"}
        async with self.session.request(method, url, headers=headers, **kwargs) as response:
            raw = await response.read()
            is_json = response.content_type == "application/json" and raw
            return response.status, await response.json() if is_json else raw.decode()


@pytest.fixture
async def start():
    """Start a simulator: `await start(switches={...})`; parts of a scenario by name."""
    opened = []

    async def start_one(**scenario: Any) -> Caller:
        clock = Clock()
        simulator = Simulator(read_scenario(scenario), clock=clock)
        await simulator.start()
        session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        opened.append((simulator, session))
        return Caller(simulator, clock, session)

    yield start_one
    for simulator, session in opened:
        await session.close()
        await simulator.stop()


@pytest.fixture
async def caller(start):
    """A caller of a simulator with every default."""
    return await start()
