"""What the experiment on Redis shows beyond the contract: a server that dies and comes back."""

import asyncio

import pytest

from contract.stores.redis_spike import RedisEngine
from contract.stores.samples import listed
from novitai.ports.store import Commit, StoreUnavailable
from support.clock import FakeClock
from support.redis_server import running_redis

pytestmark = pytest.mark.redis


async def test_a_killed_server_loses_no_acknowledged_commit_and_is_used_again_when_it_is_back(tmp_path):
    """While it is away the store says so; the append-only file brings back what was acknowledged."""
    with running_redis(tmp_path, appendfsync="always") as server:
        store = await RedisEngine(server.url).open(FakeClock())
        writing = [store.commit(Commit(puts=(listed(f"r{n}", f"{n}"),))) for n in range(50)]
        await asyncio.gather(*writing)
        server.stop(kill=True)

        with pytest.raises(StoreUnavailable):
            await store.commit(Commit(puts=(listed("lost", "0"),)))
        server.start()

        assert await store.count("things", "all") == 50
        await store.close()
