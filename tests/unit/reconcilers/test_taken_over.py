"""A run that lost its job to another one, and readings that deny a machine: neither may make a call be sent twice.

While the store is away a lease cannot be prolonged; when it ends, somebody else goes on with the job although the first run is still there.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from novitai.domain.errors import Gone, TryLater, Unclear
from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.ports.store import StoreUnavailable
from support.clock import FakeClock
from support.memory_store import MemoryDisk, MemoryStore
from support.running import House, running

LEASE_ENDS = 19.9
KEPT_BACK_UNTIL = 22.0


class Unprolonged(MemoryStore):
    """Leases cannot be prolonged before a time."""

    until = 0.0

    async def renew(self, *args: Any, **kwargs: Any) -> frozenset[str]:
        if self._clock.now() < self.until:
            raise StoreUnavailable("the store is away")
        return await super().renew(*args, **kwargs)


@asynccontextmanager
async def house_that_can_lose_leases() -> AsyncIterator[House]:
    clock = FakeClock()
    async with running(clock=clock, store=Unprolonged(MemoryDisk(), clock=clock)) as house:
        yield house


def keep_back_first(house: House, method: str) -> None:
    """The first call waits until its run has lost the job, and is then never sent; the next one is done and loses its answer."""
    plain, began = getattr(house.provider, method), house.clock.now()
    house.store.until = began + LEASE_ENDS
    house.provider.seconds[method] = 5.0
    house.provider.fail(method, Unclear("reset"), effect=True)
    calls = 0

    async def kept_back(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            return await plain(*args)
        await house.clock.sleep(KEPT_BACK_UNTIL)
        raise TryLater("no room in the limiter", retry_after=1.0)

    setattr(house.provider, method, kept_back)


async def test_a_create_that_was_kept_back_says_nothing_of_the_one_that_was_sent_instead():
    """Promise M1: the attempt of whoever took over stays open, so its machine is looked for and no second one bought."""
    async with house_that_can_lose_leases() as house:
        keep_back_first(house, "create")
        made = await house.create()
        await house.until(made, State.READY)

        assert len(house.provider.made("create")) == len(house.provider.present()) == 1
        assert [str(attempt.outcome) for attempt in await house.attempts(made)] == ["adopted"]


async def test_a_restart_that_was_kept_back_does_not_take_back_the_one_that_was_sent_instead():
    """After its unclear answer the machine is looked at first, and it is not restarted twice."""
    async with house_that_can_lose_leases() as house:
        made = await house.ready()
        keep_back_first(house, "restart")
        house.provider.lie = lambda: "error"
        await house.ask(made, Verb.RESTART)
        await house.clock.advance(40.0)
        house.provider.lie = lambda: ""
        await house.until(made, State.READY)

        assert len(house.provider.made("restart")) == 1


async def test_a_reading_that_denies_a_machine_does_not_let_a_call_be_sent_again():
    """One "not found" says nothing of the machine: what an unclear restart did is found out by a reading that shows it."""
    async with running() as house:
        made = await house.ready()
        await house.clock.advance(10.0)
        house.provider.fail("restart", Unclear("reset"), effect=True)
        house.provider.fail("machine", Gone("not found", status=404))
        house.provider.lie = lambda: "error"
        await house.ask(made, Verb.RESTART)
        await house.clock.advance(20.0)
        house.provider.lie = lambda: ""
        await house.until(made, State.READY)

        assert len(house.provider.made("restart")) == 1


async def test_a_machine_that_came_up_is_not_given_up_because_a_reading_denied_it():
    """Promise M2: when the time for a start is over, one "not found" is no proof that it never ran."""
    async with running(INSTANCE_STARTUP_TIMEOUT="60s") as house:
        house.provider.up = ((0.0, MachineStatus.PENDING), (30.0, MachineStatus.RUNNING))
        house.provider.lie = lambda: "error"
        house.provider.fail("machine", Gone("not found", status=404))
        made = await house.create()
        await house.clock.advance(62.0)
        house.provider.lie = lambda: ""
        await house.until(made, State.READY)

        assert [one.method for one in house.provider.changes()] == ["create"]
