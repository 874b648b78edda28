"""The first tables: state, records with tombstones and lists, logs, jobs, leases."""

import sqlalchemy as sa
from alembic import op

revision = "v0001"
down_revision = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_TIME: sa.Double[float] = sa.Double()
_COUNT = sa.BigInteger()


def upgrade() -> None:
    """Make them, with the one row of state."""
    state = op.create_table(
        "store_state",
        sa.Column("id", sa.SmallInteger(), primary_key=True),
        sa.Column("revision", _COUNT, nullable=False),
        sa.Column("tokens", _COUNT, nullable=False),
        sa.Column("feed_start", _COUNT, nullable=False),
    )
    op.bulk_insert(state, [{"id": 1, "revision": 0, "tokens": 0, "feed_start": 0}])
    _records()
    _logs()
    _work()


def _records() -> None:
    op.create_table(
        "records",
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("version", _COUNT, nullable=False),
        sa.Column("revision", _COUNT, nullable=False),
        sa.Column("fed", sa.SmallInteger(), nullable=False),
        sa.Column("expires_at", _TIME),
        sa.Column("entries", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "id", name="records_pk"),
    )
    _partial_index("records_feed", "revision", "fed = 1")
    _partial_index("records_expiry", "expires_at", "expires_at IS NOT NULL")
    op.create_table(
        "tombstones",
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("version", _COUNT, nullable=False),
        sa.Column("revision", _COUNT, nullable=False),
        sa.PrimaryKeyConstraint("kind", "id", name="tombstones_pk"),
    )
    op.create_index("tombstones_feed", "tombstones", ["revision"])
    op.create_table(
        "list_entries",
        sa.Column("listing", _TEXT, nullable=False),
        sa.Column("part", _TEXT, nullable=False),
        sa.Column("sort", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("listing", "part", "sort", "id", "kind", name="list_entries_pk"),
        sqlite_with_rowid=False,
    )


def _logs() -> None:
    op.create_table(
        "log_entries",
        sa.Column("position", _COUNT.with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("log", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("keys", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
    )
    op.create_index("log_entries_age", "log_entries", ["log", "at"])
    op.create_table(
        "log_keys",
        sa.Column("log", _TEXT, nullable=False),
        sa.Column("log_key", _TEXT, nullable=False),
        sa.Column("position", _COUNT, nullable=False),
        sa.PrimaryKeyConstraint("log", "log_key", "position", name="log_keys_pk"),
        sqlite_with_rowid=False,
    )


def _work() -> None:
    op.create_table(
        "jobs",
        sa.Column("job_key", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("type", _TEXT, nullable=False),
        sa.Column("lane", _TEXT, nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("due", _TIME, nullable=False),
        sa.Column("ready_at", _TIME, nullable=False),
        sa.Column("woken_due", _TIME),
        sa.Column("token", _COUNT, nullable=False),
        sa.Column("generation", _COUNT, nullable=False),
        sa.Column("attempts", _COUNT, nullable=False),
        sa.Column("owner", _TEXT),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("processed_at", _TIME),
        sa.Column("error", _TEXT),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("job_key", name="jobs_pk"),
    )
    op.create_index("jobs_ready", "jobs", ["lane", "priority", "ready_at", "id"])
    op.create_index("jobs_id", "jobs", ["id"])
    op.create_table(
        "leases",
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("owner", _TEXT, nullable=False),
        sa.Column("token", _COUNT, nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name="leases_pk"),
    )


def _partial_index(name: str, column: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "records", [column], sqlite_where=where, postgresql_where=where)
