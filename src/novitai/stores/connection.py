"""What the SQL functions ask of an engine: run one statement that Core has compiled to text beforehand.

Core's own execution costs several times what the driver needs for such short statements, so it is used as a compiler only: a statement
is built once, turned into the engine's text at first use, and from then on goes straight to the driver.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.sql.expression import ClauseElement

Row = tuple[Any, ...]


class Statement:
    """A Core statement with its text per dialect. Parameters are named; literals inside it are kept as `constants`."""

    def __init__(self, core: ClauseElement) -> None:
        self._core = core
        self._texts: dict[str, tuple[str, dict[str, Any]]] = {}

    def compiled(self, dialect: sa.Dialect) -> tuple[str, dict[str, Any]]:
        """The text and the values of its own literals."""
        known = self._texts.get(dialect.name)
        if known is None:
            compiled = self._core.compile(dialect=dialect)
            constants = {name: value for name, value in compiled.params.items() if value is not None}
            known = self._texts[dialect.name] = (str(compiled), constants)
        return known


class Connection(Protocol):
    """One connection inside a transaction."""

    def rows(self, statement: Statement, params: Mapping[str, object]) -> list[Row]:
        """Run it and fetch every row."""
        ...

    def run(self, statement: Statement, params: Mapping[str, object]) -> int:
        """Run it; returns how many rows it touched."""
        ...

    def run_many(self, statement: Statement, params: Sequence[Mapping[str, object]]) -> None:
        """Run it once for each set of parameters."""
        ...
