"""How fast the store is: `python benchmarks/stores.py [folder]` prints a table for a file in that folder and for memory.

The commit is shaped like the acceptance of a create: one check, four records (one of them fed and in three lists), two log entries, two
jobs; about 8 kB in all. Every figure of a file includes the way to the disk.
"""

import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from novitai.ports.store import Append, Check, Commit, Finish, ListEntry, Priority, Put, Store, Wake
from novitai.stores.sqlite import open_sqlite

_BODY = b'{"text": "' + b"x" * 1_500 + b'"}'
_NUMBERS = itertools.count()
_ROWS = 5_000


class RealClock:
    """The time, and waiting for it."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def create() -> Commit:
    """What accepting a create writes."""
    number = f"{next(_NUMBERS):012}"
    places = tuple(ListEntry(listing, "", number) for listing in ("instances", "by-state", "by-owner"))
    now = time.time()
    return Commit(
        checks=(Check(kind="installation", id="settings", version=0),),
        puts=(
            Put(kind="instance", id=number, body=_BODY, expect=0, fed=True, entries=places),
            Put(kind="attempt", id=number, body=_BODY, expect=0),
            Put(kind="receipt", id=number, body=_BODY, expect=0, expires_at=now + 86_400),
            Put(kind="activity", id=number, body=b"{}", expect=0),
        ),
        appends=tuple(
            Append(log=log, id=number, keys=("all", f"instance:{number}"), at=now, body=_BODY[:700])
            for log in ("events", "audit")
        ),
        wakes=tuple(
            Wake(key=f"{lane}:{number}", id=f"job_{number}", type=lane, lane=lane, priority=Priority.NORMAL, due=now)
            for lane in ("instances", "deliveries")
        ),
    )


async def commits(store: Store, *, writers: int, each: int) -> float:
    """Commits a second with that many writers at once."""

    async def write() -> None:
        for _ in range(each):
            await store.commit(create())

    began = time.perf_counter()
    await asyncio.gather(*(write() for _ in range(writers)))
    return writers * each / (time.perf_counter() - began)


async def repeated(call: Callable[[], Awaitable[object]], times: int) -> float:
    """Calls a second, one after the other."""
    began = time.perf_counter()
    for _ in range(times):
        await call()
    return times / (time.perf_counter() - began)


async def work(store: Store, *, runs: int, at_once: int) -> float:
    """Jobs a second through claim and finish, a lane served by that many slots."""

    async def slot() -> None:
        for _ in range(runs // at_once):
            [claim] = await store.claim("deliveries", owner="bench", limit=1, lease_seconds=20)
            await store.commit(Commit(finish=Finish(claim=claim)))

    began = time.perf_counter()
    await asyncio.gather(*(slot() for _ in range(at_once)))
    return runs / (time.perf_counter() - began)


async def measure(store: Store) -> dict[str, float]:
    """Every figure, on a store that holds some thousands of instances."""
    figures = {
        "commits/s, 1 writer": await commits(store, writers=1, each=1_000),
        "commits/s, 32 writers": await commits(store, writers=32, each=(_ROWS - 1_000) // 32),
    }
    some = (await store.list("instances", "", limit=1)).records[0].id
    figures["get/s"] = await repeated(lambda: store.get("instance", some), 5_000)
    figures["list of 100/s"] = await repeated(lambda: store.list("instances", "", descending=True), 500)
    figures["empty change feed/s"] = await repeated(lambda: store.changes(2**31), 2_000)
    figures["claim + finish/s, 1 slot"] = await work(store, runs=500, at_once=1)
    figures["claim + finish/s, 32 slots"] = await work(store, runs=3_200, at_once=32)
    return figures


async def opening(path: Path) -> float:
    """Milliseconds to open a store that is there."""
    began = time.perf_counter()
    store = await open_sqlite(path, clock=RealClock())
    passed = time.perf_counter() - began
    await store.close()
    return 1_000 * passed


async def main(folder: Path) -> None:
    path = folder / "bench.db"
    columns: dict[str, dict[str, float]] = {}
    for name, place in (("file", path), ("memory", None)):
        store = await open_sqlite(place, clock=RealClock())
        columns[name] = await measure(store)
        await store.close()
    print(f"{'':28}{'file':>10}{'memory':>10}")
    for figure, value in columns["file"].items():
        print(f"{figure:28}{value:10,.0f}{columns['memory'][figure]:10,.0f}")
    print(f"{'opening it again, ms':28}{await opening(path):10.1f}   ({path.stat().st_size / 1e6:.0f} MB)")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(main(Path(sys.argv[1])))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            asyncio.run(main(Path(scratch)))
