"""The API on a real socket, in a thread with an event loop of its own, for tests that speak HTTP from outside."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from novitai.api.server import Server
from novitai.domain.ids import InstanceId
from novitai.domain.lifecycle import State
from novitai.world import SystemClock
from support import builders
from support.api_house import House, open_house


class Running:
    """A house that listens; `call` runs something on its event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.house: House
        self.server: Server

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    def begin(self) -> None:
        self._manager = open_house(clock=SystemClock())
        self.house = self.call(self._manager.__aenter__())
        self.server = self.call(self._serve())

    async def _serve(self) -> Server:
        server = Server(self.house.app, host="127.0.0.1", port=0, shutting_down=self.house.parts.shutting_down)
        await server.start()
        return server

    def end(self) -> None:
        self.call(self.server.stop())
        self.call(self._manager.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def running():
    """A listening house with nothing in it."""
    one = Running()
    one.begin()
    yield one
    one.end()


@pytest.fixture(scope="session")
def populated():
    """A listening house with an instance in every state."""
    one = Running()
    one.begin()
    for number, state in enumerate(State):
        instance = builders.instance(state, id=InstanceId(f"inst_{number:026d}"), name=f"is-{state}".replace("_", "-"))
        one.call(one.house.have(instance))
    yield one
    one.end()
