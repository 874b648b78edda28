"""Bringing a SQLite file to the schema this code knows.

A fresh file gets today's tables at once. An older one goes through the alembic migrations, which are imported only then: alembic costs more
time than opening a store may take. A file at a version unknown here was written by newer code and is refused untouched.
"""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from novitai.ports.store import StoreError
from novitai.stores.schema import HEAD, metadata, state
from novitai.stores.sqlite_connection import SqliteConnection

_MIGRATIONS = Path(__file__).parent / "migrations"
_VERSION_TABLE = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"


class SchemaUnknown(StoreError):
    """The store was written by a newer version of this program."""


def bring_up_to_date(conn: SqliteConnection) -> None:
    """Make or migrate the tables; nothing to do when they are current."""
    version = stored_version(conn)
    if version == HEAD:
        return
    if version is None:
        _make(conn)
    else:
        migrate(conn, version)


def stored_version(conn: SqliteConnection) -> str | None:
    """The schema version of the file; None for a fresh one."""
    found = conn.raw.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    row = conn.raw.execute("SELECT version_num FROM alembic_version").fetchone() if found else None
    return str(row[0]) if row else None


def migrate(conn: SqliteConnection, version: str | None) -> None:
    """Run the migrations that come after a version (None: all of them)."""
    from alembic import command  # noqa: PLC0415 - see the module's text
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version is not None and version not in known:
        raise SchemaUnknown(
            f"the store is at schema {version}, which this version (schema {HEAD}) does not know; use the newer version again"
        )
    engine = sa.create_engine("sqlite://", creator=lambda: conn.raw, poolclass=sa.StaticPool)
    try:
        with engine.begin() as connection:
            conn.raw.execute("BEGIN IMMEDIATE")  # the driver would begin none before DDL; `engine.begin` ends this one
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except sa.exc.DBAPIError as error:
        raise error.orig or error from None


def _make(conn: SqliteConnection) -> None:
    dialect = sa.create_engine("sqlite://").dialect
    conn.raw.execute("BEGIN IMMEDIATE")
    for table in metadata.sorted_tables:
        conn.raw.execute(str(CreateTable(table).compile(dialect=dialect)))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            conn.raw.execute(str(CreateIndex(index).compile(dialect=dialect)))
    first_state = sa.insert(state).values(id=1, revision=0, tokens=0, feed_start=0)
    conn.raw.execute(str(first_state.compile(dialect=dialect, compile_kwargs={"literal_binds": True})))
    conn.raw.execute(_VERSION_TABLE)
    conn.raw.execute("INSERT INTO alembic_version VALUES (?)", (HEAD,))
    conn.raw.execute("COMMIT")
