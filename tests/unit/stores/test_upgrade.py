"""A store file is brought to the schema of this code, or refused when newer code wrote it."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from novitai.ports.store import StoreError
from novitai.stores.schema import HEAD, metadata
from novitai.stores.sqlite import open_sqlite
from novitai.stores.sqlite_connection import SqliteConnection
from novitai.stores.upgrade import bring_up_to_date, migrate, stored_version
from support.clock import FakeClock


def tables(conn: SqliteConnection) -> dict[str, str]:
    """Every table and index with its text, blanks and the constraint names that alembic leaves out apart."""
    found = conn.raw.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'")
    return {name: " ".join(text.split()) for name, text in found}


def fresh(path: Path) -> SqliteConnection:
    conn = SqliteConnection(path)
    bring_up_to_date(conn)
    return conn


def migrated(path: Path) -> SqliteConnection:
    conn = SqliteConnection(path)
    migrate(conn, None)
    return conn


def test_migrations_lead_to_the_schema_that_fresh_stores_get(tmp_path):
    """The same tables and indexes, the same first row, the same version."""
    made, led = fresh(tmp_path / "made.db"), migrated(tmp_path / "led.db")

    assert tables(led) == tables(made)
    for conn in (made, led):
        assert conn.raw.execute("SELECT * FROM store_state").fetchall() == [(1, 0, 0, 0)]
        assert stored_version(conn) == HEAD
        conn.close()


def test_alembic_sees_no_difference_between_the_tables_and_a_store(tmp_path):
    """What `schema.py` says is what stands in the file."""
    migrated(tmp_path / "store.db").close()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'store.db'}", poolclass=sa.NullPool)

    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


async def test_a_store_of_newer_code_is_refused_untouched(tmp_path):
    """With both versions in the message."""
    path = tmp_path / "store.db"
    conn = fresh(path)
    conn.raw.execute("UPDATE alembic_version SET version_num = 'v9999'")
    conn.close()

    with pytest.raises(StoreError, match=f"v9999.*{HEAD}"):
        await open_sqlite(path, clock=FakeClock())

    conn = SqliteConnection(path)
    assert stored_version(conn) == "v9999"
    conn.close()


async def test_a_store_that_was_refused_is_not_left_locked(tmp_path):
    """Whoever puts things right can open it at once, in the same process too."""
    path = tmp_path / "store.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError):
        await open_sqlite(path, clock=FakeClock())
    path.unlink()

    store = await open_sqlite(path, clock=FakeClock())

    await store.close()


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path):
    """All steps or none: half a schema would be refused by old code and new."""
    conn = SqliteConnection(tmp_path / "store.db")
    conn.raw.execute("CREATE TABLE jobs (something_else)")

    with pytest.raises(sqlite3.OperationalError):
        migrate(conn, None)

    assert set(tables(conn)) == {"jobs"}
    conn.close()


def test_opening_a_current_store_does_not_import_alembic(tmp_path):
    """It would take longer than opening may."""
    program = (
        "import asyncio, sys; from pathlib import Path; from support.clock import FakeClock\n"
        "from novitai.stores.sqlite import open_sqlite\n"
        "async def main():\n"
        "    for _ in range(2):\n"
        "        store = await open_sqlite(Path(sys.argv[1]), clock=FakeClock()); await store.close()\n"
        "asyncio.run(main()); sys.exit('alembic' in sys.modules)\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "store.db")],
        env={"PYTHONPATH": ":".join(sys.path)},
        check=False,
    )

    assert ended.returncode == 0
