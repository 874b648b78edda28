"""A story: what befell somebody who rents GPUs, lived through again with the real program, its HTTP interface, and the simulated Novita.

Everything happens in made-up time. The teller asks over HTTP as any caller does, moves Novita's hand (`site.perform`), and looks at what came
of it from outside: machines, calls, bills, webhooks.

    @told(AUTO_STOP_ENABLED="true")
    async def test_something_that_went_wrong_does_not_any_more(tale):
        made = await tale.ready()
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import httpx2

from novita_simulator.machine import Machine
from novitai.api.app import build_app
from novitai.app.serve import _api_parts
from novitai.domain.ids import InstanceId
from novitai.domain.lifecycle import State
from support.running import ENVIRONMENT
from support.simulation_loop import LoopClock, run_virtually
from support.virtual_novita import VirtualNovita
from support.virtual_site import Site, hushed

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
LOOK_SECONDS = 1.0
ORDER = {
    "name": "wan22",
    "productName": "RTX 4090",
    "imageUrl": "docker.io/library/model:1",
    "ports": [{"port": 8080, "type": "http"}],
}


class Tale:
    """One site, and a caller of it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.clock = site.clock
        self._caller: httpx2.AsyncClient | None = None

    async def begin(self) -> None:
        """The program starts, or starts again."""
        await self.site.begin()
        app = build_app(_api_parts(self.site.program, asyncio.Event()))
        headers = {"Authorization": f"Bearer {ENVIRONMENT['NOVITAI_API_KEY']}"}
        transport = httpx2.ASGITransport(app=app, client=("10.0.0.1", 40_000))
        self._caller = httpx2.AsyncClient(transport=transport, base_url="http://novitai.test", headers=headers)

    # ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None, **headers: str) -> httpx2.Response:
        """A request with the admin's key."""
        assert self._caller is not None
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._caller.request(method, path, json=body, headers=named)

    async def order(self, **fields: Any) -> str:
        """Ask for an instance; its id."""
        answer = await self.ask("POST", "/api/instances", ORDER | fields)
        assert answer.status_code == 201, answer.text
        return answer.json()["instanceId"]

    async def ready(self, **fields: Any) -> str:
        """An instance that is ready; its id."""
        made = await self.order(**fields)
        await self.until(made, "ready")
        return made

    async def say(self, instance_id: str, verb: str, **body: Any) -> dict[str, Any]:
        """Start, stop, restart or delete; the answer."""
        if verb == "delete":
            answer = await self.ask("DELETE", f"/api/instances/{instance_id}")
        else:
            answer = await self.ask("POST", f"/api/instances/{instance_id}/{verb}", body)
        assert answer.status_code in {200, 202}, answer.text
        return answer.json()

    async def see(self, instance_id: str) -> dict[str, Any]:
        """The instance as its owner sees it."""
        return (await self.ask("GET", f"/api/instances/{instance_id}")).json()

    async def until(self, instance_id: str, *statuses: str, within: float = 2 * HOUR) -> dict[str, Any]:
        """Let time pass until it is in one of these states."""
        await self.when(lambda: self.state(instance_id) in statuses, within=within, what=f"{instance_id} {statuses}")
        return await self.see(instance_id)

    async def when(
        self, true: Callable[[], bool], *, within: float = 2 * HOUR, what: str = "what was waited for"
    ) -> None:
        """Let time pass until something is so."""
        end = self.clock.now() + within
        while not true():
            assert self.clock.now() < end, f"{what}: not within {within:g} s"
            await self.clock.sleep(LOOK_SECONDS)

    async def passes(self, seconds: float) -> None:
        """Let time pass."""
        await self.clock.sleep(seconds)

    # ── looking ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def state(self, instance_id: str) -> str:
        """The state as readers see it."""
        snapshot = self.site.program.operations.reads.get(InstanceId(instance_id))
        return str(snapshot.instance.state if snapshot is not None else State.DELETED)

    def machine(self, instance_id: str) -> Machine:
        """Its one machine on Novita."""
        (only,) = self.site.present(instance_id)
        return only

    def told(self, instance_id: str = "") -> list[str]:
        """Types of the events that arrived, in order, without the word that all of an instance share."""
        return [event["type"].removeprefix("instance.") for event in self.site.told(instance_id)]

    def calls(self, instance_id: str) -> list[str]:
        """What was asked of Novita about it, in order."""
        return [call.path.rpartition("/")[2] for call in self.site.made(instance_id=instance_id)]

    async def because(self, instance_id: str, action: str) -> list[str]:
        """The stored explanations of one kind of action of policies on it, the newest first."""
        answer = await self.ask("GET", f"/api/audit?target={instance_id}")
        entries = [entry for entry in answer.json()["entries"] if entry["action"] == action]
        return [entry["detail"]["because"] for entry in entries if "because" in entry["detail"]]


def told(
    novita: Callable[[LoopClock], VirtualNovita] = VirtualNovita, **environment: str
) -> Callable[[Callable[[Tale], Awaitable[None]]], Callable[[], None]]:
    """Live through a story with these settings, in a time of its own."""

    def decorate(story: Callable[[Tale], Awaitable[None]]) -> Callable[[], None]:
        @wraps(story)
        def test() -> None:
            with hushed():
                run_virtually(_lived(story, novita, environment))

        del test.__wrapped__  # type: ignore[attr-defined] # else pytest would look for a fixture
        return test

    return decorate


async def _lived(
    story: Callable[[Tale], Awaitable[None]],
    novita: Callable[[LoopClock], VirtualNovita],
    environment: dict[str, str],
) -> None:
    clock = LoopClock(asyncio.get_running_loop())
    tale = Tale(Site(clock, novita=novita(clock), **environment))
    await tale.begin()
    await tale.passes(LOOK_SECONDS)
    await story(tale)
    await tale.site.end()
