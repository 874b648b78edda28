"""S5: power loss and a full database. A file whose write-ahead log is cut or spoiled at any sector holds a prefix of what was committed: all
that was acknowledged before the cut, and never half of a commit.

`synchronous = FULL` promises that an acknowledged commit is in the log before it is acknowledged; so the log's size at the acknowledgement says
what must survive a cut behind it.
"""

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from novitai.ports.store import Append, Commit, ListEntry, Priority, Put, StoreUnavailable, Wake
from novitai.stores import commits, sqlite_connection
from novitai.stores.sqlite import open_sqlite
from novitai.stores.sqlite_connection import SqliteConnection, Writer
from novitai.stores.upgrade import bring_up_to_date
from proofs.planted import s5_statement_by_statement
from support.clock import START, FakeClock

SECTOR = 512
COMMITS = 12
TAILS = ("nothing", "zeros", "noise")
"""What stands behind the cut: the file ends there, or the sectors that follow were never written, or hold what was there before."""


@dataclass
class Found:
    """What reopening showed, cut by cut."""

    cuts: int = 0
    lost: list[str] = field(default_factory=list)
    halves: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def numbered(number: int) -> Commit:
    """A record, its place in a list, an event and a job: what belongs together."""
    name = f"n{number:04d}"
    return Commit(
        puts=(Put(kind="thing", id=name, body=b"x" * 700, expect=0, entries=(ListEntry("things", "all", name),)),),
        appends=(Append(log="events", id=name, keys=("all", name), at=START, body=b"y" * 300),),
        wakes=(Wake(key=name, id=f"job_{name}", type="t", lane="l", priority=Priority.LOW, due=START),),
    )


async def written(folder: Path, commits_made: int) -> list[int]:
    """A store's files as they stand after so many commits, and the log's size when each of them was acknowledged."""
    live = folder / "live"
    live.mkdir()
    path, log = live / "store.db", live / "store.db-wal"
    store = await open_sqlite(path, clock=FakeClock())
    sizes = []
    for number in range(commits_made):
        await store.commit(numbered(number))
        sizes.append(log.stat().st_size)
    shutil.copytree(live, folder / "torn")
    await store.close()
    return sizes


async def reopened_everywhere(folder: Path, *, every: int, others: int = 0) -> Found:
    """Cut the log at each `every`th sector and open what is left; at each `others`th with the other tails, too."""
    sizes = await written(folder, COMMITS)
    noise, found = random.Random(1), Found()
    log = (folder / "torn" / "store.db-wal").read_bytes()
    for cut in range(0, len(log) + 1, SECTOR * every):
        acknowledged = sum(size <= cut for size in sizes)
        for tail in TAILS if others and cut % (SECTOR * others) == 0 else TAILS[:1]:
            rest = {"nothing": b"", "zeros": bytes(len(log) - cut), "noise": noise.randbytes(len(log) - cut)}[tail]
            shutil.copy(folder / "torn" / "store.db", folder / "store.db")
            (folder / "store.db-wal").write_bytes(log[:cut] + rest)
            await reopen(folder / "store.db", f"cut at {cut}, then {tail}", acknowledged, found)
    return found


async def reopen(path: Path, where: str, acknowledged: int, found: Found) -> None:
    """Open a store, note what is wrong with it."""
    found.cuts += 1
    store = await open_sqlite(path, clock=FakeClock())
    try:
        records = {record.id for record in (await store.list("things", "all")).records}
        events = {entry.id for entry in (await store.read_log("events", "all")).entries}
        jobs = {job.key for job in (await store.jobs()).jobs}
    finally:
        await store.close()
    if not records == events == jobs:
        found.halves.append(where)
    if records != {f"n{number:04d}" for number in range(len(records))}:
        found.gaps.append(where)
    if len(records) < acknowledged:
        found.lost.append(where)
    if sound(path) != "ok":
        found.broken.append(where)


def sound(path: Path) -> str:
    """SQLite's own check."""
    reading = sqlite3.connect(path)
    try:
        return str(reading.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        reading.close()


@pytest.mark.timeout(400)
async def test_a_torn_log_holds_a_prefix_of_what_was_committed(scale: Any, book: Any, tmp_path: Path) -> None:
    """S5: at every sector, nothing acknowledged before it is lost and nothing is half there."""
    every, others = scale.pick(short=(29, 290), prove=(1, 8), full=(1, 1))
    found = await reopened_everywhere(tmp_path, every=every, others=others)

    book.figure("S5", "torn logs opened again, cut at sectors of 512 bytes", found.cuts, at_least=10)
    book.figure("S5", "torn logs: acknowledged before the cut and lost", len(found.lost), exactly=0)
    book.figure("S5", "torn logs: half of a commit", len(found.halves), exactly=0)
    book.figure("S5", "torn logs: a later commit without an earlier one", len(found.gaps), exactly=0)
    book.figure("S5", "torn logs: integrity_check not ok", len(found.broken), exactly=0)


async def test_a_commit_made_statement_by_statement_is_noticed(book: Any, tmp_path: Path) -> None:
    """The same check on a store without transactions."""
    with s5_statement_by_statement.planted():
        found = await reopened_everywhere(tmp_path, every=41)

    book.planted("S5", "a commit in more than one transaction", caught=bool(found.halves))


@contextmanager
def writer_on(path: Path) -> Iterator[tuple[Writer, SqliteConnection]]:
    conn = sqlite_connection.writing(path)
    bring_up_to_date(conn)
    writer = Writer(conn, path)
    yield writer, conn
    writer.close()


def test_a_database_that_may_not_grow_refuses_whole_groups_and_goes_on_later(book: Any, tmp_path: Path) -> None:
    """S5: "database or disk is full" in the middle of a group of commits; what was acknowledged before stays, and no part of the rest."""
    path = tmp_path / "store.db"
    acknowledged: list[int] = []
    refused: list[int] = []
    with writer_on(path) as (writer, conn):
        (pages,) = conn.raw.execute("PRAGMA page_count").fetchone()
        conn.raw.execute(f"PRAGMA max_page_count = {pages + 12}")
        for first in range(0, 60, 3):
            group = range(first, first + 3)
            outcomes = writer.do([lambda c, n=number: commits.commit(c, numbered(n), START) for number in group])
            failed = [isinstance(outcome.error, StoreUnavailable) for outcome in outcomes]
            assert len(set(failed)) == 1
            (refused if failed[0] else acknowledged).extend(group)
        conn.raw.execute("PRAGMA max_page_count = 1000000")
        [later] = writer.do([lambda c: commits.commit(c, numbered(99), START)])
        found = {name for (name,) in conn.raw.execute("SELECT id FROM records")}
        events = {name for (name,) in conn.raw.execute("SELECT id FROM log_entries")}

    kept = {f"n{number:04d}" for number in [*acknowledged, 99]}
    assert acknowledged
    assert refused
    assert later.error is None
    book.figure("S5", "database full (max_page_count): acknowledged and lost", len(kept - found), exactly=0)
    book.figure("S5", "database full (max_page_count): refused and there", len((found | events) - kept), exactly=0)
    book.figure("S5", "database full (max_page_count): integrity_check not ok", int(sound(path) != "ok"), exactly=0)
