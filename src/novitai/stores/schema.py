"""The tables of the SQL engines, written once for SQLite and PostgreSQL.

One counter numbers everything: each put, delete and append takes the next revision, so revisions are also the positions of log entries.
A second one gives the tokens of jobs and leases, so a token never comes back, not even after its row was removed and made again.
Text is compared by its bytes (BINARY in SQLite, collation "C" in PostgreSQL), as the port asks.
"""

import sqlalchemy as sa

# The newest revision in migrations/versions; a store at another one is migrated, or refused when this code does not know it.
HEAD = "v0001"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_TIME: sa.Double[float] = sa.Double()
_COUNT = sa.BigInteger()
_POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # makes it the row id there

metadata = sa.MetaData()

# One row. `feed_start`: tombstones up to this revision may be forgotten.
state = sa.Table(
    "store_state",
    metadata,
    sa.Column("id", sa.SmallInteger(), primary_key=True),
    sa.Column("revision", _COUNT, nullable=False),
    sa.Column("tokens", _COUNT, nullable=False),
    sa.Column("feed_start", _COUNT, nullable=False),
)

# `entries` is JSON of the record's places in lists, so that a put writes only those that changed.
records = sa.Table(
    "records",
    metadata,
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
sa.Index(
    "records_feed",
    records.c.revision,
    sqlite_where=sa.text("fed = 1"),
    postgresql_where=sa.text("fed = 1"),
)
sa.Index(
    "records_expiry",
    records.c.expires_at,
    sqlite_where=sa.text("expires_at IS NOT NULL"),
    postgresql_where=sa.text("expires_at IS NOT NULL"),
)

# Fed records that were deleted or swept, until the feed is trimmed or the record is written again.
tombstones = sa.Table(
    "tombstones",
    metadata,
    sa.Column("kind", _TEXT, nullable=False),
    sa.Column("id", _TEXT, nullable=False),
    sa.Column("version", _COUNT, nullable=False),
    sa.Column("revision", _COUNT, nullable=False),
    sa.PrimaryKeyConstraint("kind", "id", name="tombstones_pk"),
)
sa.Index("tombstones_feed", tombstones.c.revision)

list_entries = sa.Table(
    "list_entries",
    metadata,
    sa.Column("listing", _TEXT, nullable=False),
    sa.Column("part", _TEXT, nullable=False),
    sa.Column("sort", _TEXT, nullable=False),
    sa.Column("id", _TEXT, nullable=False),
    sa.Column("kind", _TEXT, nullable=False),
    sa.PrimaryKeyConstraint("listing", "part", "sort", "id", "kind", name="list_entries_pk"),
    sqlite_with_rowid=False,
)

# `keys` is JSON: what to remove from log_keys when the entry is trimmed.
log_entries = sa.Table(
    "log_entries",
    metadata,
    sa.Column("position", _POSITION, primary_key=True, autoincrement=False),
    sa.Column("log", _TEXT, nullable=False),
    sa.Column("id", _TEXT, nullable=False),
    sa.Column("at", _TIME, nullable=False),
    sa.Column("keys", sa.LargeBinary(), nullable=False),
    sa.Column("body", sa.LargeBinary(), nullable=False),
)
sa.Index("log_entries_age", log_entries.c.log, log_entries.c.at)

log_keys = sa.Table(
    "log_keys",
    metadata,
    sa.Column("log", _TEXT, nullable=False),
    sa.Column("log_key", _TEXT, nullable=False),
    sa.Column("position", _COUNT, nullable=False),
    sa.PrimaryKeyConstraint("log", "log_key", "position", name="log_keys_pk"),
    sqlite_with_rowid=False,
)

# `token` is 0 while nobody works on the job. `ready_at` is when it may be claimed: its due time, or the end of the lease while it is held.
# `woken_due` is the earliest due time of the wakes that came during a run.
jobs = sa.Table(
    "jobs",
    metadata,
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
sa.Index("jobs_ready", jobs.c.lane, jobs.c.priority, jobs.c.ready_at, jobs.c.id)
sa.Index("jobs_id", jobs.c.id)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", _TEXT, nullable=False),
    sa.Column("owner", _TEXT, nullable=False),
    sa.Column("token", _COUNT, nullable=False),
    sa.Column("until", _TIME, nullable=False),
    sa.PrimaryKeyConstraint("name", name="leases_pk"),
)
