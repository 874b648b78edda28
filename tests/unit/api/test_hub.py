"""Joining the stream of events: whoever has joined is given everything after the position they were told."""

import asyncio

from novitai.api.streams import Hub
from novitai.domain.events import Fact, FactType
from novitai.operations.history import History
from support import builders
from support.api_house import House
from support.clock import settle

FACT = Fact(type=FactType.AUTH_FAILED, at=builders.NOW, actor="system")


class Patient(History):
    """Tells the end of the log when it may, one asker after another."""

    def __init__(self, store) -> None:
        super().__init__(store)
        self.may: asyncio.Queue[None] = asyncio.Queue()

    async def end(self) -> int:
        await self.may.get()
        return await super().end()


async def test_a_second_reader_who_joins_at_the_same_moment_takes_nothing_from_the_first(house: House):
    """What happened between the two is new to the first."""
    history = Patient(house.parts.store)
    hub = Hub(history=history, reads=house.parts.reads, clock=house.clock)
    joins = [asyncio.create_task(hub.join()) for _ in range(2)]
    await settle()
    history.may.put_nowait(None)
    await settle()
    await house.parts.ledger.tell([FACT])

    history.may.put_nowait(None)
    await settle()
    await house.clock.advance(2.0)

    (first, joined_at), (second, _) = [await join for join in joins]
    assert first.queue.get_nowait().position > joined_at
    await hub.leave(first)
    await hub.leave(second)
