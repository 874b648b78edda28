"""Listeners hear of every acknowledged commit, in order, before the committing caller goes on."""

import asyncio
import gc
from typing import Any

import pytest
from structlog.testing import capture_logs

from novitai.ports.store import Check, Commit, Conflict, Put
from novitai.stores.notifying import NotifyingStore
from novitai.stores.sqlite import open_sqlite
from support.clock import FakeClock, settle


@pytest.fixture(params=["file", "memory"])
async def store(request, tmp_path):
    path = tmp_path / "store.db" if request.param == "file" else None
    notifying = NotifyingStore(await open_sqlite(path, clock=FakeClock()))
    yield notifying
    await notifying.close()


def put(name: str) -> Commit:
    return Commit(puts=(Put(kind="thing", id=name, body=b"{}"),))


async def test_the_caller_finds_its_commit_in_what_listeners_keep(store):
    """A read model kept by a listener is never behind the process's own commits."""
    kept = {}
    store.subscribe(lambda _, committed: kept.update({record.id: record for record in committed.records}))

    committed = await store.commit(put("a"))

    assert kept == {"a": committed.records[0]}


async def test_listeners_hear_concurrent_commits_in_order_of_revision(store):
    """However many callers wait at once, and each hears of its own before it goes on."""
    heard = []
    store.subscribe(lambda _, committed: heard.append(committed.revision))

    async def commit(number: int) -> None:
        committed = await store.commit(put(f"r{number}"))
        assert committed.revision in heard

    await asyncio.gather(*(commit(number) for number in range(200)))

    assert heard == sorted(heard)
    assert len(heard) == 200


async def test_a_refused_commit_is_not_told(store):
    """What was not written did not happen."""
    heard = []
    store.subscribe(lambda commit, committed: heard.append(commit))

    with pytest.raises(Conflict):
        await store.commit(Commit(checks=(Check(kind="thing", id="a", version=3),)))

    assert heard == []


async def test_a_listener_that_raises_loses_nobody_anything(store):
    """The commit stays acknowledged, other listeners hear of it, and the error is in the log."""
    heard = []

    def broken(commit, committed) -> None:
        raise RuntimeError("broken")

    store.subscribe(broken)
    store.subscribe(lambda commit, committed: heard.append(committed.revision))

    with capture_logs() as told:
        committed = await store.commit(put("a"))

    assert heard == [committed.revision]
    assert [line["event"] for line in told] == ["commit_listener_failed"]


async def test_a_cancelled_caller_does_not_keep_its_commit_from_the_listeners(store):
    """The engine may have written it already; the read model must know."""
    heard = asyncio.Event()
    store.subscribe(lambda commit, committed: heard.set())
    caller = asyncio.create_task(store.commit(put("a")))
    await asyncio.sleep(0)

    caller.cancel()

    await heard.wait()
    assert caller.cancelled() or (await asyncio.gather(caller, return_exceptions=True))
    assert await store.get("thing", "a") is not None


async def test_a_listener_that_unsubscribed_hears_no_more(store):
    """Unsubscribing twice is fine."""
    heard = []
    stop = store.subscribe(lambda commit, committed: heard.append(committed.revision))
    await store.commit(put("a"))

    stop()
    stop()
    await store.commit(put("b"))

    assert len(heard) == 1


async def test_a_commit_that_fails_after_its_caller_was_cancelled_is_nobodys_worry(store):
    """Nobody waits for its answer any more: nothing is reported as never heard of."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    caller = asyncio.create_task(store.commit(Commit(checks=(Check(kind="thing", id="a", version=3),))))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await store.ping()
    await settle()
    del caller
    gc.collect()

    assert complaints == []
