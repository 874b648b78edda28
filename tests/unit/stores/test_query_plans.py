"""Every statement finds its rows by an index, so that a store of a hundred thousand records answers as a small one does."""

import pytest
from sqlalchemy.dialects import sqlite

from novitai.stores import statements
from novitai.stores.connection import Statement
from novitai.stores.sqlite_connection import SqliteConnection
from novitai.stores.upgrade import bring_up_to_date

# These look at a table of one row, at every live job, or at the few leases there are.
WHOLE_TABLE = {"STATE", "LOCK_REVISION", "SET_REVISION", "TAKE_TOKENS", "SET_FEED_START", "JOB_COUNTS", "RELEASE_JOBS"}


def named_statements() -> dict[str, Statement]:
    found = {}
    for name, value in vars(statements).items():
        if isinstance(value, Statement):
            found[name] = value
        elif isinstance(value, dict) and not name.startswith("_"):
            found |= {f"{name}{key}": statement for key, statement in value.items()}
    return {name: statement for name, statement in found.items() if name not in WHOLE_TABLE | {"DELETE_LEASES"}}


@pytest.fixture(scope="module")
def conn():
    opened = SqliteConnection(None)
    bring_up_to_date(opened)
    yield opened
    opened.close()


@pytest.mark.parametrize("name", sorted(named_statements()))
def test_a_statement_uses_an_index_and_sorts_nothing(conn, name):
    """No step of its plan walks a whole table or sorts beside it; a walk along an index in list order is fine."""
    text, constants = named_statements()[name].compiled(sqlite.dialect(paramstyle="named"))
    parameters = dict.fromkeys(sqlite_names(text), 1) | constants

    plan = [step for *_, step in conn.raw.execute(f"EXPLAIN QUERY PLAN {text}", parameters)]

    assert not [step for step in plan if "TEMP B-TREE" in step or (step.startswith("SCAN") and "INDEX" not in step)]


def sqlite_names(text: str) -> list[str]:
    return [word.strip(",()") for part in text.split(":")[1:] for word in part.split()[:1]]
