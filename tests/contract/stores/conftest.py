"""The store of the contract suite: every test runs once for each engine."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import redis

from contract.stores.engines import Double, Engine, SqliteFile, SqliteMemory
from contract.stores.redis_spike import RedisEngine
from novitai.ports.store import Store
from support.clock import FakeClock
from support.redis_server import RedisServer, running_redis

ENGINES = ["sqlite", "sqlite-memory", "double", pytest.param("redis", marks=pytest.mark.redis)]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_engine(redis_server) -> RedisEngine:
    """The shared server, emptied for the test."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return RedisEngine(redis_server.url)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=ENGINES)
def engine(request, tmp_path) -> Engine:
    match request.param:
        case "sqlite":
            return SqliteFile(tmp_path)
        case "sqlite-memory":
            return SqliteMemory()
        case "double":
            return Double()
        case _:
            return request.getfixturevalue("redis_engine")


@pytest.fixture
def needs(engine) -> Callable[[str], None]:
    """Skip the test, naming the capability that the engine lacks."""

    def check(capability: str) -> None:
        if capability not in engine.can:
            pytest.skip(f"{engine.name} lacks: {capability}")

    return check


@pytest.fixture
async def open_store(engine, clock) -> AsyncIterator[Callable[..., Awaitable[Store]]]:
    """Open stores of the engine; they are closed after the test."""
    opened: list[Store] = []

    async def open_one(place: str = "main") -> Store:
        opened.append(await engine.open(clock, place=place))
        return opened[-1]

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store) -> Store:
    return await open_store()
