"""Listeners and a client that may call them."""

import pytest

from novitai.egress.addresses import Guard
from novitai.egress.client import EgressClient
from support.peers import LOOPBACK, Listener


@pytest.fixture
async def listen():
    """Open a listener: `await listen(handler)`; without a handler it closes at once, as a canary."""
    listeners = []

    async def open_one(handler=None, host="127.0.0.1"):
        listener = Listener(handler, host)
        await listener.open()
        listeners.append(listener)
        return listener

    yield open_one
    for listener in listeners:
        await listener.close()


@pytest.fixture
async def client():
    """A client that may call loopback."""
    async with EgressClient(Guard(LOOPBACK), connect_timeout=1.0) as client:
        yield client
