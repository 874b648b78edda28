"""A store that takes it for done when the disk refuses the commit: as one that writes behind would."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from novitai.stores import sqlite_connection
from novitai.stores.sqlite_connection import SqliteConnection, Writer
from novitai.stores.threads import Outcome
from support import forking


def do_and_hope(self: Writer, work: Sequence[Callable[[SqliteConnection], Any]]) -> list[Outcome]:
    raw: sqlite3.Connection = self._conn.raw
    raw.execute("BEGIN IMMEDIATE")
    outcomes = [self._alone(piece) for piece in work]
    try:
        raw.execute("COMMIT")
    except sqlite3.Error:
        self._give_up()
    return outcomes


if __name__ == "__main__":
    sqlite_connection.Writer.do = do_and_hope
    forking.main()
