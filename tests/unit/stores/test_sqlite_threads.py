"""The writing thread: groups share a transaction, failures keep to themselves, and nothing waits for ever."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable

import pytest

from novitai.ports.store import Commit, Put, StoreUnavailable
from novitai.stores.sqlite import open_sqlite
from novitai.stores.sqlite_connection import SqliteConnection, Writer
from novitai.stores.threads import Outcome, Threads
from support.clock import FakeClock


class Recorder:
    """A worker that notes how its work was grouped and can be held at a gate."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.gate = threading.Event()
        self.closed = False

    def do(self, work):
        self.gate.wait()
        self.groups.append(len(work))
        return [Outcome(value=piece(None)) for piece in work]

    def close(self) -> None:
        self.closed = True


async def test_work_that_waited_is_done_as_one_group(tmp_path):
    """Many commits, one fsync; no group is larger than allowed."""
    worker = Recorder()
    threads = Threads("test", [worker], group=4)
    asked = [asyncio.create_task(threads.call(lambda _, n=n: n)) for n in range(7)]
    await asyncio.sleep(0)

    worker.gate.set()

    assert await asyncio.gather(*asked) == list(range(7))
    assert max(worker.groups) <= 4
    assert sum(worker.groups) == 7
    await asyncio.to_thread(threads.stop)
    assert worker.closed


async def test_stopping_does_first_what_was_asked_before():
    """Nobody who asked is left without an answer."""
    worker = Recorder()
    threads = Threads("test", [worker], group=4)
    asked = [asyncio.create_task(threads.call(lambda _, n=n: n)) for n in range(7)]
    await asyncio.sleep(0)
    worker.gate.set()

    await asyncio.to_thread(threads.stop)

    assert await asyncio.gather(*asked) == list(range(7))


async def test_a_worker_that_breaks_answers_with_its_error_and_goes_on():
    """A thread that died would leave every later caller waiting."""

    class Broken(Recorder):
        def do(self, work):
            raise RuntimeError("broken")

    threads = Threads("test", [Broken()], group=4)

    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            await threads.call(lambda _: None)

    await asyncio.to_thread(threads.stop)


async def test_a_caller_who_left_keeps_no_answer_from_the_others():
    """Cancelled while waiting for a group."""
    worker = Recorder()
    threads = Threads("test", [worker], group=4)
    asked = [asyncio.create_task(threads.call(lambda _, n=n: n)) for n in range(3)]
    await asyncio.sleep(0)
    asked[1].cancel()

    worker.gate.set()

    assert (await asked[0], await asked[2]) == (0, 2)
    assert asked[1].cancelled()
    await asyncio.to_thread(threads.stop)


def piece(text: str, error: Exception | None = None) -> Callable[[SqliteConnection], None]:
    def work(conn: SqliteConnection) -> None:
        conn.raw.execute("INSERT INTO notes VALUES (?)", (text,))
        if error:
            raise error

    return work


@pytest.fixture
def conn():
    opened = SqliteConnection(None)
    opened.raw.execute("CREATE TABLE notes (note TEXT)")
    yield opened
    opened.close()


def notes(conn: SqliteConnection) -> list[str]:
    return [note for (note,) in conn.raw.execute("SELECT note FROM notes")]


def test_a_piece_that_fails_takes_no_other_of_its_group_with_it(conn):
    """Its own writes are undone, and its error is its own."""
    failure = RuntimeError("half way")

    outcomes = Writer(conn, None).do([piece("a"), piece("b", failure), piece("c")])

    assert [outcome.error for outcome in outcomes] == [None, failure, None]
    assert notes(conn) == ["a", "c"]


def test_when_the_engine_fails_nothing_of_the_group_is_acknowledged(conn):
    """All are told that the store is unavailable, nothing is written, and the next group works."""
    writer = Writer(conn, None)
    full = sqlite3.OperationalError("database or disk is full")

    outcomes = writer.do([piece("a"), piece("b", full), piece("c")])

    assert [type(outcome.error) for outcome in outcomes] == [StoreUnavailable] * 3
    assert notes(conn) == []
    assert writer.do([piece("d")])[0].error is None
    assert notes(conn) == ["d"]


async def test_a_text_that_no_file_can_hold_is_the_callers_error(tmp_path):
    """Half a surrogate pair is refused as a value, not as trouble of the store."""
    store = await open_sqlite(tmp_path / "store.db", clock=FakeClock())

    with pytest.raises(ValueError, match="surrogates"):
        await store.commit(Commit(puts=(Put(kind="thing", id="\ud800", body=b""),)))

    await store.ping()
    await store.close()


async def test_a_file_locked_by_another_program_is_told_and_served_again_afterwards(tmp_path):
    """A person who looks into the file with another tool may hold it for a while."""
    path = tmp_path / "store.db"
    store = await open_sqlite(path, clock=FakeClock())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnavailable, match="locked"):
        await store.commit(Commit(puts=(Put(kind="thing", id="a", body=b""),)))
    other.execute("ROLLBACK")
    other.close()
    await store.commit(Commit(puts=(Put(kind="thing", id="a", body=b""),)))

    assert await store.get("thing", "a") is not None
    await store.close()
