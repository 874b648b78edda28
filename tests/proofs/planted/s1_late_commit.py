"""A store that acknowledges first and commits later: work of half a second shares one transaction, which is ended only when further work
comes after that. As a careless group commit would, to save on waiting for the disk.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

from novitai.stores import sqlite_connection
from novitai.stores.sqlite_connection import SqliteConnection, Writer
from novitai.stores.threads import Outcome
from support import forking

LATE_SECONDS = 0.5


def do_and_commit_later(self: Writer, work: Sequence[Callable[[SqliteConnection], Any]]) -> list[Outcome]:
    raw: sqlite3.Connection = self._conn.raw
    if raw.in_transaction and time.monotonic() - self.begun > LATE_SECONDS:
        raw.execute("COMMIT")
    if not raw.in_transaction:
        raw.execute("BEGIN IMMEDIATE")
        self.begun = time.monotonic()
    return [self._alone(piece) for piece in work]


if __name__ == "__main__":
    sqlite_connection.Writer.do = do_and_commit_later
    forking.main()
