"""A catalogue that is slow to come holds up nobody but those who need it."""

import asyncio

from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from support.memory_store import MemoryDisk, MemoryStore
from support.running import running
from support.simulation_loop import LoopClock, run_virtually
from support.timed_provider import TimedProvider


def test_a_stop_is_sent_at_once_while_forty_creates_wait_for_a_slow_catalogue():
    """All creates wait for the same reading; they step aside, and who presses stop does not wait behind them."""

    async def live() -> float:
        clock = LoopClock(asyncio.get_running_loop())
        provider = TimedProvider(clock=clock)
        store = MemoryStore(MemoryDisk(), clock=clock)
        async with running(clock=clock, store=store, provider=provider) as house:
            ready = await house.create()
            while house.state(ready) is not State.READY:
                await clock.sleep(1.0)
            await clock.sleep(120.0)  # until the catalogue is too old to buy by
            provider.seconds["catalogue"] = 30.0
            for _ in range(40):
                await house.create()
            await clock.sleep(5.0)
            asked = clock.now()
            await house.ask(ready, Verb.STOP)
            while not provider.made("stop"):
                await clock.sleep(0.1)
            return provider.made("stop")[0].at - asked

    assert run_virtually(live()) <= 2.1
