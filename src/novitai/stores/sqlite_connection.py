"""SQLite connections: how they are opened, how a group of work becomes one transaction, and what their errors mean."""

import contextlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.dialects import sqlite

from novitai.ports.store import StoreUnavailable
from novitai.stores.connection import Row, Statement
from novitai.stores.threads import Outcome

EngineError = sqlite3.Error

# What the work itself did wrong; every other error of the engine means that it cannot serve.
_OF_THE_WORK = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError)

_DIALECT = sqlite.dialect(paramstyle="named")
# Only a tool looking into the file from outside can hold it; the work waits this long for it, then is refused. What comes after a refusal
# waits less, until one succeeds: else work that queues behind a long hold would wait for the refusals of all before it.
_BUSY_MILLISECONDS = 1_000
_BUSY_AGAIN_MILLISECONDS = 50
_STATEMENT_CACHE = 256


class SqliteConnection:
    """One sqlite3 connection; keeps connection.Connection. For one thread at a time."""

    def __init__(self, path: Path | None) -> None:
        self.raw = sqlite3.connect(
            ":memory:" if path is None else path,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_STATEMENT_CACHE,
        )
        self._patient = False
        self.be_patient()
        self.raw.execute("PRAGMA temp_store = MEMORY")

    def be_patient(self) -> None:
        """Wait long for whoever holds the file."""
        if not self._patient:
            self._patient = True
            self.raw.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")

    def be_brief(self) -> None:
        """Wait only a moment for whoever holds the file."""
        if self._patient:
            self._patient = False
            self.raw.execute(f"PRAGMA busy_timeout = {_BUSY_AGAIN_MILLISECONDS}")

    def rows(self, statement: Statement, params: Mapping[str, object]) -> list[Row]:
        text, constants = statement.compiled(_DIALECT)
        return self.raw.execute(text, {**constants, **params} if constants else params).fetchall()

    def run(self, statement: Statement, params: Mapping[str, object]) -> int:
        text, constants = statement.compiled(_DIALECT)
        return self.raw.execute(text, {**constants, **params} if constants else params).rowcount

    def run_many(self, statement: Statement, params: Sequence[Mapping[str, object]]) -> None:
        text, _ = statement.compiled(_DIALECT)
        self.raw.executemany(text, params)

    def close(self) -> None:
        self.raw.close()


def writing(path: Path | None) -> SqliteConnection:
    """The one connection that writes. A commit has reached the disk when it returns (`synchronous = FULL`)."""
    conn = SqliteConnection(path)
    if path is not None:
        conn.raw.execute("PRAGMA journal_mode = WAL")
        conn.raw.execute("PRAGMA synchronous = FULL")
        conn.raw.execute("PRAGMA journal_size_limit = 67108864")
    return conn


def reading(path: Path) -> SqliteConnection:
    """A connection that can only read; in WAL mode it neither waits for the writer nor holds it up."""
    conn = SqliteConnection(path)
    conn.raw.execute("PRAGMA query_only = ON")
    return conn


class Writer:
    """Does a group of writes in one transaction, each behind its own savepoint."""

    def __init__(self, conn: SqliteConnection, path: Path | None) -> None:
        self._conn = conn
        self._path = path
        self._inode = path.stat().st_ino if path else None

    def do(self, work: Sequence[Callable[[SqliteConnection], Any]]) -> list[Outcome]:
        """All of it, or StoreUnavailable for all of it when the engine cannot go on."""
        raw = self._conn.raw
        try:
            self._check_file()
            raw.execute("BEGIN IMMEDIATE")
            outcomes = [self._alone(piece) for piece in work]
            raw.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self._give_up()
            self._conn.be_brief()
            return [Outcome(error=unavailable(error)) for _ in work]
        self._conn.be_patient()
        return outcomes

    def close(self) -> None:
        """Close the connection."""
        self._conn.close()

    def _alone(self, piece: Callable[[SqliteConnection], Any]) -> Outcome:
        raw = self._conn.raw
        raw.execute("SAVEPOINT piece")
        try:
            outcome = Outcome(value=piece(self._conn))
        except Exception as error:
            if isinstance(error, sqlite3.Error) and not isinstance(error, _OF_THE_WORK):
                raise
            raw.execute("ROLLBACK TO piece")
            outcome = Outcome(error=error)
        raw.execute("RELEASE piece")
        return outcome

    def _give_up(self) -> None:
        if self._conn.raw.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # some errors have rolled back already
                self._conn.raw.execute("ROLLBACK")

    def _check_file(self) -> None:
        # A file removed or replaced under an open connection would go on taking commits that nobody ever sees again.
        if self._path is not None and self._path.stat().st_ino != self._inode:
            raise OSError(f"{self._path} was replaced while it is in use")


class Reader:
    """Does each read in a transaction of its own, so that it sees one state."""

    def __init__(self, conn: SqliteConnection) -> None:
        self._conn = conn

    def do(self, work: Sequence[Callable[[SqliteConnection], Any]]) -> list[Outcome]:
        """Each piece by itself."""
        return [self._alone(piece) for piece in work]

    def close(self) -> None:
        """Close the connection."""
        self._conn.close()

    def _alone(self, piece: Callable[[SqliteConnection], Any]) -> Outcome:
        raw = self._conn.raw
        try:
            raw.execute("BEGIN")
            try:
                return Outcome(value=piece(self._conn))
            finally:
                if raw.in_transaction:
                    raw.execute("ROLLBACK")
        except sqlite3.Error as error:
            return Outcome(error=unavailable(error))
        except Exception as error:  # noqa: BLE001 - it belongs to the caller, not to this thread
            return Outcome(error=error)


def unavailable(error: Exception, path: Path | None = None) -> StoreUnavailable:
    """What an error of the engine means: it cannot serve now; nothing of the work was acknowledged."""
    refusal = StoreUnavailable(f"the store {f'{path} ' if path else ''}cannot serve: {error}")
    refusal.__cause__ = error
    return refusal
