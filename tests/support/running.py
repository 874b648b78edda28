"""The whole server but its door, in virtual time: the real program over a store in memory, a scripted provider and receivers without sockets.

    async with running(WEBHOOK_URL=HOOK) as house:
        made = await house.create()
        await house.until(made, State.READY)

Settings are given as environment variables. What runs by itself runs while the test lets time pass.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from novitai.app.foundation import Replaced
from novitai.app.program import Program
from novitai.config import load
from novitai.domain.events import Event
from novitai.domain.instance import Attempt, Instance, Verb
from novitai.domain.keys import Actor, KeyLimits, Scope
from novitai.domain.lifecycle import State
from novitai.domain.machine import Port
from novitai.operations import records
from novitai.operations.receipts import Answer, Draft
from novitai.operations.requests import Accepted, Context, CreateRequest, VerbRequest
from novitai.ports.store import Job, Store
from novitai.stores.sqlite import open_sqlite
from support.clock import FakeClock, FakeIds, settle
from support.receivers import Receivers
from support.timed_provider import TimedProvider

HOOK = "https://hooks.example.test/novitai"
SECRET = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0"
ENVIRONMENT = {
    "NOVITA_API_KEY": "sk_test_0123456789",
    "NOVITAI_API_KEY": "nvk_abc_0123456789abcdef0123456789abcdef",
    "NOVITAI_STORE": "memory",
    "NOVITAI_INSTALLATION_ID": "test",
    "WEBHOOK_SECRET": SECRET,
    "AUTO_STOP_ENABLED": "false",  # most tests let hours pass in which nobody uses anything
}


@dataclass
class House:
    """A program that runs, and the world around it."""

    program: Program
    clock: FakeClock
    provider: TimedProvider
    receivers: Receivers
    store: Store

    async def create(
        self, *, draft: Draft | None = None, limits: KeyLimits | None = None, owner: str = "key_1", **fields: Any
    ) -> str:
        """Ask for an instance; its id."""
        usual: dict[str, Any] = {
            "name": "demo",
            "product_name": "RTX 4090",
            "image_url": "docker.io/library/nginx:1",
            "ports": (Port(8080, "http"),),
        }
        request = CreateRequest(**(usual | fields))
        creation = self.program.operations.creation
        created = await creation.create(
            request, context(draft=draft, limits=limits, owner=owner), lambda c: Answer(status=201, body=c.instance.id)
        )
        return created.instance.id

    async def ask(self, instance_id: str, verb: Verb, **fields: Any) -> Accepted:
        """Ask an instance for a verb."""
        verbs = self.program.operations.verbs
        return await verbs.perform(
            instance_id, verb, VerbRequest(**fields), context(), lambda _: Answer(status=202, body="")
        )

    async def ready(self, **fields: Any) -> str:
        """An instance that is ready; its id."""
        instance_id = await self.create(**fields)
        await self.until(instance_id, State.READY)
        return instance_id

    async def until(self, instance_id: str, *states: State, within: float = 7200.0) -> Instance:
        """Let time pass until the instance is in one of these states."""
        await self.clock.run_until(lambda: self.state(instance_id) in states, within=within)
        await settle()
        return await self.instance(instance_id)

    def state(self, instance_id: str) -> State:
        """The state as readers see it."""
        snapshot = self.program.operations.reads.get(instance_id)
        return snapshot.instance.state if snapshot is not None else State.DELETED

    async def instance(self, instance_id: str) -> Instance:
        """The instance as it is stored."""
        snapshot = await self.program.operations.ledger.load(instance_id)
        assert snapshot is not None
        return snapshot.instance

    async def events(self, instance_id: str | None = None) -> list[Event]:
        """Everything told, in order."""
        key = "all" if instance_id is None else f"instance:{instance_id}"
        page = await self.store.read_log(records.EVENTS, key, limit=5_000)
        return [records.read_event(entry.body) for entry in page.entries]

    async def told(self, instance_id: str | None = None) -> list[str]:
        """The types of everything told, without the word that all of one instance share."""
        return [str(event.type).removeprefix("instance.") for event in await self.events(instance_id)]

    async def attempts(self, instance_id: str) -> list[Attempt]:
        """Every attempt to buy a machine."""
        page = await self.store.list(records.ATTEMPTS, instance_id)
        return [records.read_attempt(record) for record in page.records]

    async def live_jobs(self) -> list[Job]:
        """Jobs that are not over."""
        return list((await self.store.jobs()).jobs)


def context(*, draft: Draft | None = None, limits: KeyLimits | None = None, owner: str = "key_1") -> Context:
    """Somebody with a key asks."""
    actor = Actor(owner=owner, scope=Scope.ADMIN, limits=limits or KeyLimits())
    return Context(actor=actor, correlation_id="corr_1", draft=draft)


@asynccontextmanager
async def running(
    *,
    clock: FakeClock | None = None,
    store: Store | None = None,
    provider: TimedProvider | None = None,
    receivers: Receivers | None = None,
    ids: FakeIds | None = None,
    arrange: Callable[[TimedProvider], None] | None = None,
    start: bool = True,
    **environment: str,
) -> AsyncIterator[House]:
    """A program with these settings, started, with its catalogue read; stopped at the end."""
    clock = clock or FakeClock()
    provider = provider or TimedProvider(clock=clock)
    receivers = receivers or Receivers(clock)
    store = store or await open_sqlite(None, clock=clock)
    if arrange is not None:
        arrange(provider)
    replaced = Replaced(clock=clock, ids=ids or FakeIds(), store=store, provider=provider, egress=receivers)
    program = await Program.open(settings(environment), replaced)
    house = House(program=program, clock=clock, provider=provider, receivers=receivers, store=store)
    try:
        if start:
            program.start()
            await settle()
        yield house
    finally:
        await program.stop(grace=0.0)


def settings(environment: Mapping[str, str]) -> Any:
    """Settings from these variables over what every test needs."""
    return load({**ENVIRONMENT, **environment}, Path("/nonexistent"))


async def end_abruptly(others: set[asyncio.Task[Any]]) -> None:
    """End every task but these, as a process that is killed ends them."""
    mine = [task for task in asyncio.all_tasks() if task not in others]
    for task in mine:
        task.cancel()
    await asyncio.gather(*mine, return_exceptions=True)
