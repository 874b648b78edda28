"""What stays when the process, the disk or the engine goes, and how the store says that it cannot serve."""

import asyncio
import contextlib
import os
import resource
import signal
import stat
import sys

import pytest

from contract.stores.engines import EXCLUSIVE, FILE, REOPENED
from contract.stores.samples import claim, claim_one, entry, finish, list_ids, listed, log_ids, put, wake
from novitai.ports.store import Commit, Delete, LeaseLost, StoreInUse, StoreUnavailable

_COMMITTER = """
import asyncio, itertools, sys
from pathlib import Path
from novitai.ports.store import Append, Commit, ListEntry, Priority, Put, Wake
from novitai.stores.sqlite import open_sqlite
from support.clock import FakeClock

async def write(store, writer):
    for number in itertools.count():
        name = f"w{writer}n{number}"
        await store.commit(Commit(
            puts=(Put(kind="thing", id=name, body=b"x" * 2000, expect=0, entries=(ListEntry("things", "all", name),)),),
            appends=(Append(log="events", id=name, keys=("all", name), at=0.0, body=b"y" * 500),),
            wakes=(Wake(key=name, id=f"job_{name}", type="t", lane="l", priority=Priority.LOW, due=0.0),),
        ))
        print(name, flush=True)

async def main():
    store = await open_sqlite(Path(sys.argv[1]), clock=FakeClock())
    await asyncio.gather(*(write(store, writer) for writer in range(8)))

asyncio.run(main())
"""


async def test_a_store_opened_again_holds_everything(open_store, needs):
    """Records, lists, the feed, logs, jobs and counters go on where they were."""
    needs(REOPENED)
    store = await open_store()
    await store.commit(Commit(puts=(listed("a", "1", b"1", fed=True), listed("b", "2")), appends=(entry("e1"),)))
    await store.commit(Commit(deletes=(Delete(kind="thing", id="b"),), wakes=(wake("later", due=2e9),)))
    before, feed = await store.revision(), await store.changes(0)
    await store.close()

    store = await open_store()

    assert await store.revision() == before
    assert await store.changes(0) == feed
    assert await list_ids(store) == ["a"]
    assert await log_ids(store) == ["e1"]
    assert await store.live_job("later") is not None
    assert (await store.commit(Commit(puts=(put("c"),)))).revision == before + 1


async def test_what_a_dead_process_held_is_free_at_opening(open_store, needs):
    """Jobs and leases held by the former process can be taken at once, under higher tokens; its claims are fenced off."""
    needs(EXCLUSIVE)
    store = await open_store()
    await store.commit(Commit(wakes=(wake("a"),)))
    stale = await claim_one(store, lease_seconds=3600)
    lease = await store.acquire("observer", owner="dead", seconds=3600)
    await store.close()

    store = await open_store()

    fresh = await claim_one(store)
    assert fresh.token > stale.token
    assert fresh.attempts == 2
    with pytest.raises(LeaseLost):
        await finish(store, stale)
    taken = await store.acquire("observer", owner="alive", seconds=20)
    assert lease is not None
    assert taken is not None
    assert taken.token > lease.token


async def test_a_killed_process_loses_no_acknowledged_commit(engine, open_store, needs):
    """kill -9 amid eight writers: every acknowledged commit is there, and each commit is there whole or not at all."""
    needs(FILE)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _COMMITTER,
        str(engine.path()),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    acknowledged = [(await process.stdout.readline()).decode().strip() for _ in range(200)]
    process.send_signal(signal.SIGKILL)
    acknowledged += (await process.stdout.read()).decode().split("\n")[:-1]
    await process.wait()

    store = await open_store()

    kept = set((await store.get_many("thing", acknowledged)).keys())
    assert kept == set(acknowledged)
    there = set(await list_ids(store, limit=100_000))
    assert there == set(await log_ids(store, limit=100_000))
    assert there == {held.key for held in await claim(store, lane="l", limit=100_000)}


async def test_a_second_process_is_refused_with_the_path_and_the_holder(open_store, engine, needs):
    """The message names the file and the process that has it; the first one is not disturbed."""
    needs(EXCLUSIVE)
    store = await open_store()

    with pytest.raises(StoreInUse, match=f"{engine.path()}.*{os.getpid()}"):
        await open_store()

    await store.ping()


async def test_the_file_can_be_read_by_its_owner_alone(open_store, engine, needs):
    """It holds what a team runs and for whom; mode 0600 for it and for all that stands beside it."""
    needs(FILE)
    store = await open_store()
    await store.commit(Commit(puts=(put("a"),)))

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in engine.folder.iterdir()}

    assert set(modes.values()) == {0o600}, modes


@contextlib.contextmanager
def no_file_may_grow_beyond(size: int):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_is_told_and_the_store_works_again_when_there_is_room(open_store, engine, needs):
    """Commits that find no room raise StoreUnavailable and write nothing; reads go on; nothing has to be restarted."""
    needs(FILE)
    store = await open_store()
    await store.commit(Commit(puts=(put("before"),)))
    written = max(path.stat().st_size for path in engine.folder.iterdir())

    with no_file_may_grow_beyond(written + 8192):
        results = await asyncio.gather(
            *(store.commit(Commit(puts=(listed(f"big{n}", f"{n}", b"x" * 60_000),))) for n in range(4)),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [StoreUnavailable] * 4
        assert await store.get("thing", "before") is not None

    assert await list_ids(store) == []
    await store.ping()
    await store.commit(Commit(puts=(listed("after", "1", b"x" * 60_000),)))
    assert await list_ids(store) == ["after"]


async def test_ping_tells_that_a_commit_could_not_be_made(open_store, engine, needs):
    """While the disk is full it raises; afterwards it does not."""
    needs(FILE)
    store = await open_store()

    with no_file_may_grow_beyond(0), pytest.raises(StoreUnavailable, match="cannot serve"):
        await store.ping()

    await store.ping()


async def test_a_file_taken_away_under_the_store_is_noticed(open_store, engine, needs):
    """Commits into a removed or replaced file would be lost later; they are refused instead, until it is back."""
    needs(FILE)
    store = await open_store()
    away = engine.path().with_suffix(".away")
    engine.path().rename(away)

    with pytest.raises(StoreUnavailable):
        await store.commit(Commit(puts=(put("a"),)))
    engine.path().write_bytes(b"")
    with pytest.raises(StoreUnavailable, match="replaced"):
        await store.commit(Commit(puts=(put("a"),)))
    away.rename(engine.path())
    await store.commit(Commit(puts=(put("a"),)))

    assert await store.get("thing", "a") is not None


async def test_a_file_that_is_no_store_is_refused(open_store, engine, needs):
    """With a reason, and untouched."""
    needs(FILE)
    engine.path().write_bytes(b"notes, not a database\n" * 100)

    with pytest.raises(StoreUnavailable, match="not a database"):
        await open_store()

    assert engine.path().read_bytes().startswith(b"notes")


async def test_a_closed_store_says_so(store):
    """Every method raises StoreUnavailable; closing twice is fine."""
    await store.close()
    await store.close()

    with pytest.raises(StoreUnavailable, match="closed"):
        await store.get("thing", "a")
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.commit(Commit(puts=(put("a"),)))
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.ping()


async def test_closing_waits_for_the_commits_under_way(open_store, needs):
    """What was asked before closing is acknowledged, and it is there afterwards."""
    needs(REOPENED)
    store = await open_store()
    asked = [asyncio.create_task(store.commit(Commit(puts=(listed(f"r{n}", f"{n}"),)))) for n in range(30)]
    await asyncio.sleep(0)

    await store.close()
    await asyncio.gather(*asked)

    assert await (await open_store()).count("things", "all") == 30
