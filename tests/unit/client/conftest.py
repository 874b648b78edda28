"""The stand-in server, and clients of it that do not dawdle between attempts."""

from collections.abc import AsyncIterator, Iterator

import pytest

from novitai_client import AsyncClient, Client, Retries
from unit.client.stand_in import StandIn

KEY = "nvk_k1_secret"
QUICK = Retries(attempts=3, total=5.0, base=0.001, cap=0.01)


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def client(server: StandIn) -> Iterator[Client]:
    with Client(server.url, KEY, timeout=5, retries=QUICK) as made:
        yield made


@pytest.fixture
async def async_client(server: StandIn) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.url, KEY, timeout=5, retries=QUICK) as made:
        yield made
