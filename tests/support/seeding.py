"""Deliveries put into a store's file before a server opens it: a load of which every address and due time is known."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from novitai.domain.delivery import Delivery, Endpoint
from novitai.operations import records
from novitai.ports.store import Commit, Store
from novitai.stores.sqlite import open_sqlite
from novitai.world import SystemClock

_IN_ONE_COMMIT = 500


@dataclass(frozen=True)
class Seed:
    """One delivery: its event's id, where to, and when (Unix seconds)."""

    event_id: str
    url: str
    due: float


async def seed_file(path: Path, seeds: Sequence[Seed]) -> None:
    """Write deliveries into the store of a file that no server has open."""
    store = await open_sqlite(path, clock=SystemClock())
    try:
        await seed_store(store, seeds)
    finally:
        await store.close()


async def seed_store(store: Store, seeds: Sequence[Seed]) -> None:
    """Write deliveries and the jobs that send them."""
    for first in range(0, len(seeds), _IN_ONE_COMMIT):
        made = [(seed, _delivery(seed)) for seed in seeds[first : first + _IN_ONE_COMMIT]]
        puts = tuple(records.put_delivery(delivery, expect=0) for _, delivery in made)
        wakes = tuple(
            records.wake_delivery(delivery, job_id=f"job_{seed.event_id}", due=seed.due) for seed, delivery in made
        )
        await store.commit(Commit(puts=puts, wakes=wakes))


def _delivery(seed: Seed) -> Delivery:
    body = {"id": seed.event_id, "type": "test.ping", "sequence": 0, "instanceId": None, "data": {}}
    return Delivery(
        id=f"dlv_{seed.event_id}",
        event_id=seed.event_id,
        event_type="test.ping",
        endpoint=Endpoint(id="request", url=seed.url),
        body=json.dumps(body),
        correlation_id="",
        created_at=seed.due,
    )
