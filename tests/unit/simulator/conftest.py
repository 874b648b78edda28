"""A rehearsal in virtual time: the simulator's stage and routes without sockets or a clock."""

from collections.abc import Callable
from typing import Any

import pytest

from novita_simulator.fields import Fields
from novita_simulator.http import account, holdings, internal, public
from novita_simulator.http.ask import Ask
from novita_simulator.scenario import read_scenario
from novita_simulator.stage import Stage
from novita_simulator.world import World

T0 = 1_800_000_000.0
ROUTES = {
    (method, path.removeprefix(public.BASE)): route
    for routes in (public.ROUTES, holdings.ROUTES, account.ROUTES, internal.ROUTES)
    for method, path, route in routes
}


class Rehearsal:
    """Calls routes at a moment that moves on only by `wait`."""

    def __init__(self, scenario: dict[str, Any]) -> None:
        self.now = T0
        self.stage = Stage(read_scenario(scenario), now=self.now)

    @property
    def world(self) -> World:
        return self.stage.world

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.world.advance(self.now)

    def get(self, path: str, **query: Any) -> Any:
        return self._call("GET", path, {name: str(value) for name, value in query.items()}, {})

    def post(self, path: str, **body: Any) -> Any:
        return self._call("POST", path, {}, body)

    def do(self, action: str, **body: Any) -> dict[str, Any]:
        return self.stage.perform(action, body, self.now)

    def create(self, **fields: Any) -> str:
        order = {
            "name": "train-1",
            "productId": "4090.16c62g",
            "gpuNum": 1,
            "rootfsSize": 60,
            "imageUrl": "docker.io/library/ubuntu:22.04",
            "kind": "gpu",
            "ports": "8080/http",
            "clusterId": "us-ca-6",
        }
        return str(self.post("/gpu/instance/create", **(order | fields))["id"])

    def running(self, **fields: Any) -> str:
        """A machine that has just come up."""
        instance_id = self.create(**fields)
        while self.status(instance_id) != "running":
            self.wait(1)
        return instance_id

    def machine(self, instance_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get("/gpu/instance", instanceId=instance_id)
        return found

    def status(self, instance_id: str) -> str:
        return str(self.machine(instance_id)["status"])

    def names(self, **query: Any) -> list[str]:
        return [item["name"] for item in self.get("/gpu/instances", **query)["instances"]]

    def act(self, verb: str, instance_id: str) -> Any:
        return self.post(f"/gpu/instance/{verb}", instanceId=instance_id)

    def statuses_during(self, seconds: int, instance_id: str) -> list[str]:
        """The different statuses seen, one look a second."""
        seen = [self.status(instance_id)]
        for _ in range(seconds):
            self.wait(1)
            if instance_id not in self.world.machines:
                return seen
            if (status := self.status(instance_id)) != seen[-1]:
                seen.append(status)
        return seen

    def _call(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> Any:
        self.world.advance(self.now)
        ask = Ask(stage=self.stage, now=self.now, query=Fields(query), body=Fields(body), origin="http://sim")
        return ROUTES[(method, path)](ask)


@pytest.fixture
def rehearse() -> Callable[..., Rehearsal]:
    """A rehearsal from the parts of a scenario, given by name."""
    return lambda **scenario: Rehearsal(scenario)


@pytest.fixture
def play(rehearse: Callable[..., Rehearsal]) -> Rehearsal:
    """A rehearsal with every default."""
    return rehearse()
