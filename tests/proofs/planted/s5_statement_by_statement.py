"""A store that writes each statement of a commit by itself, as one does who takes the driver's autocommit for a transaction."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from novitai.stores.sqlite_connection import SqliteConnection, Writer
from novitai.stores.threads import Outcome


def do_each_statement(self: Writer, work: Sequence[Callable[[SqliteConnection], Any]]) -> list[Outcome]:
    return [Outcome(value=piece(self._conn)) for piece in work]


@contextmanager
def planted() -> Iterator[None]:
    usual = Writer.do
    Writer.do = do_each_statement
    try:
        yield
    finally:
        Writer.do = usual
