"""A tool that holds the file's write lock for long: nothing hangs, nothing is lost, and nothing has to be restarted."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from structlog.testing import capture_logs

from novitai.ports.store import Commit, Put, StoreUnavailable
from novitai.stores.measured import MeasuredStore
from novitai.stores.sqlite import open_sqlite
from support.clock import FakeClock

WAITING = 300
"""Commits that come while the file is held; several groups of them."""


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def put(name: str) -> Commit:
    return Commit(puts=(Put(kind="thing", id=name, body=b"{}", expect=0),))


async def test_commits_that_queue_behind_a_held_file_are_refused_together(tmp_path: Path) -> None:
    """The first waits a second for whoever holds it; those behind must not wait a second for each group before them."""
    path = tmp_path / "held.db"
    store = await open_sqlite(path, clock=FakeClock())
    await store.commit(put("before"))

    with held(path):
        began = time.monotonic()
        refused = await asyncio.gather(
            *(store.commit(put(f"n{number}")) for number in range(WAITING)), return_exceptions=True
        )
        took = time.monotonic() - began
        assert await store.get("thing", "before") is not None
    await store.commit(put("after"))

    assert {type(one) for one in refused} == {StoreUnavailable}
    assert took < 3.0
    assert [await store.get("thing", name) is not None for name in ("n0", "n299", "after")] == [False, False, True]
    await store.close()


async def test_a_store_that_is_away_is_said_once_and_not_by_everybody(tmp_path: Path) -> None:
    """A hundred commits a second must not become a hundred lines a second."""
    path = tmp_path / "held.db"
    outcomes: list[str] = []
    engine = await open_sqlite(path, clock=FakeClock())
    store = MeasuredStore(engine, told=lambda outcome, _: outcomes.append(outcome), slow_seconds=60.0)

    with held(path), capture_logs() as lines:
        await asyncio.gather(*(store.commit(put(f"n{number}")) for number in range(50)), return_exceptions=True)

    assert outcomes == ["unavailable"] * 50
    assert [line["event"] for line in lines] == ["store_away"]
    await engine.close()
