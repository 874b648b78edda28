"""Every statement of the SQL engines, built once from the tables in schema.py.

`FOR UPDATE` is rendered where an engine has it (PostgreSQL) and left out where one writer at a time makes it needless (SQLite).
"""

import sqlalchemy as sa
from sqlalchemy import bindparam as given

from novitai.stores.connection import Statement
from novitai.stores.schema import (
    jobs,
    leases,
    list_entries,
    log_entries,
    log_keys,
    records,
    state,
    tombstones,
)

_UNEXPIRED = sa.or_(records.c.expires_at.is_(None), records.c.expires_at > given("now"))
_LIMIT = given("limit", type_=sa.Integer())


# ── the counters ───────────────────────────────────────────────────────────────────────────────────────────────────

STATE = Statement(sa.select(state.c.revision, state.c.feed_start))
LOCK_REVISION = Statement(sa.select(state.c.revision).with_for_update())
SET_REVISION = Statement(sa.update(state).values(revision=given("revision")))
TAKE_TOKENS = Statement(sa.update(state).values(tokens=state.c.tokens + given("count")).returning(state.c.tokens))
SET_FEED_START = Statement(sa.update(state).values(feed_start=given("feed_start")))


# ── records ────────────────────────────────────────────────────────────────────────────────────────────────────────

_RECORD = (
    records.c.kind,
    records.c.id,
    records.c.version,
    records.c.revision,
    records.c.body,
    records.c.expires_at,
)
_THIS_RECORD = sa.and_(records.c.kind == given("kind"), records.c.id == given("id"))

GET_RECORD = Statement(sa.select(*_RECORD).where(_THIS_RECORD, _UNEXPIRED))
RECORD_HEAD = Statement(
    sa.select(records.c.version, records.c.expires_at, records.c.fed, records.c.entries).where(_THIS_RECORD)
)
INSERT_RECORD = Statement(sa.insert(records))
UPDATE_RECORD = Statement(
    sa.update(records)
    .where(_THIS_RECORD)
    .values(
        {
            name: given(name, type_=records.c[name].type)
            for name in ("version", "revision", "fed", "expires_at", "entries", "body")
        }
    )
)
DELETE_RECORD = Statement(sa.delete(records).where(_THIS_RECORD))
EXPIRED_RECORDS = Statement(
    sa.select(records.c.kind, records.c.id)
    .where(records.c.expires_at <= given("now"))
    .order_by(records.c.expires_at)
    .limit(_LIMIT)
)

INSERT_TOMBSTONE = Statement(sa.insert(tombstones))
DELETE_TOMBSTONE = Statement(
    sa.delete(tombstones).where(tombstones.c.kind == given("kind"), tombstones.c.id == given("id"))
)
TRIM_TOMBSTONES = Statement(sa.delete(tombstones).where(tombstones.c.revision <= given("through")))

# The literal lets both engines see that the partial index serves.
FED_RECORDS = Statement(
    sa.select(*_RECORD)
    .where(sa.literal_column("fed") == sa.literal_column("1"), records.c.revision > given("since"), _UNEXPIRED)
    .order_by(records.c.revision)
    .limit(_LIMIT)
)
FED_TOMBSTONES = Statement(
    sa.select(tombstones.c.kind, tombstones.c.id, tombstones.c.version, tombstones.c.revision)
    .where(tombstones.c.revision > given("since"))
    .order_by(tombstones.c.revision)
    .limit(_LIMIT)
)


# ── declared lists ─────────────────────────────────────────────────────────────────────────────────────────────────

_PLACE = (list_entries.c.sort, list_entries.c.id, list_entries.c.kind)
_THIS_LIST = sa.and_(list_entries.c.listing == given("listing"), list_entries.c.part == given("partition"))


def _list_page(*, descending: bool, onward: bool) -> Statement:
    place, last = sa.tuple_(*_PLACE), sa.tuple_(given("sort"), given("id"), given("kind"))
    page = (
        sa.select(*_RECORD, list_entries.c.sort)
        .select_from(list_entries)
        .join(records, sa.and_(records.c.kind == list_entries.c.kind, records.c.id == list_entries.c.id))
        .where(_THIS_LIST, _UNEXPIRED)
        .order_by(*(column.desc() if descending else column for column in _PLACE))
        .limit(_LIMIT)
    )
    if onward:
        page = page.where(place < last if descending else place > last)
    return Statement(page)


# By (descending, onward): onward pages begin beyond a cursor.
LIST_PAGE = {
    (descending, onward): _list_page(descending=descending, onward=onward)
    for descending in (False, True)
    for onward in (False, True)
}
COUNT_LIST = Statement(sa.select(sa.func.count()).select_from(list_entries).where(_THIS_LIST))
INSERT_LIST_ENTRY = Statement(sa.insert(list_entries))
DELETE_LIST_ENTRY = Statement(
    sa.delete(list_entries).where(
        list_entries.c.listing == given("listing"),
        list_entries.c.part == given("part"),
        list_entries.c.sort == given("sort"),
        list_entries.c.id == given("id"),
        list_entries.c.kind == given("kind"),
    )
)


# ── logs ───────────────────────────────────────────────────────────────────────────────────────────────────────────

_THIS_LOG_KEY = sa.and_(log_keys.c.log == given("log"), log_keys.c.log_key == given("log_key"))


def _log_page(*, descending: bool) -> Statement:
    position = log_keys.c.position
    return Statement(
        sa.select(log_entries.c.log, log_entries.c.id, log_entries.c.position, log_entries.c.at, log_entries.c.body)
        .select_from(log_keys)
        .join(log_entries, log_entries.c.position == position)
        .where(_THIS_LOG_KEY, position < given("after") if descending else position > given("after"))
        .order_by(position.desc() if descending else position)
        .limit(_LIMIT)
    )


LOG_PAGE = {descending: _log_page(descending=descending) for descending in (False, True)}
COUNT_LOG = Statement(sa.select(sa.func.count()).select_from(log_keys).where(_THIS_LOG_KEY))
INSERT_LOG_ENTRY = Statement(sa.insert(log_entries))
INSERT_LOG_KEY = Statement(sa.insert(log_keys))
OLD_LOG_ENTRIES = Statement(
    sa.select(log_entries.c.position, log_entries.c["keys"])
    .where(log_entries.c.log == given("log"), log_entries.c.at < given("before"))
    .order_by(log_entries.c.at)
    .limit(_LIMIT)
)
DELETE_LOG_ENTRY = Statement(sa.delete(log_entries).where(log_entries.c.position == given("position")))
DELETE_LOG_KEY = Statement(sa.delete(log_keys).where(_THIS_LOG_KEY, log_keys.c.position == given("position")))


# ── jobs ───────────────────────────────────────────────────────────────────────────────────────────────────────────

_JOB = tuple(jobs.c)  # in the order of jobs.Row
_THIS_JOB = jobs.c.job_key == given("key")

JOB_OF_KEY = Statement(sa.select(*_JOB).where(_THIS_JOB).with_for_update())
SEE_JOB_OF_KEY = Statement(sa.select(*_JOB).where(_THIS_JOB))
SEE_JOB_OF_ID = Statement(sa.select(*_JOB).where(jobs.c.id == given("id")))
INSERT_JOB = Statement(sa.insert(jobs))
UPDATE_JOB = Statement(
    sa.update(jobs)
    .where(_THIS_JOB)
    .values({column: given(column.name, type_=column.type) for column in jobs.c if column is not jobs.c.job_key})
)
DELETE_JOB = Statement(sa.delete(jobs).where(_THIS_JOB))
READY_JOBS = Statement(
    sa.select(*_JOB)
    .where(jobs.c.lane == given("lane"), jobs.c.priority == given("priority"), jobs.c.ready_at <= given("now"))
    .order_by(jobs.c.ready_at, jobs.c.id)
    .limit(_LIMIT)
    .with_for_update(skip_locked=True)
)
RENEW_JOB = Statement(
    sa.update(jobs).where(_THIS_JOB, jobs.c.token == given("held")).values(ready_at=given("lease_until"))
)
NEXT_READY = Statement(
    sa.select(sa.func.min(jobs.c.ready_at)).where(jobs.c.lane == given("lane"), jobs.c.priority == given("priority"))
)
JOBS_PAGE = Statement(sa.select(*_JOB).where(jobs.c.id < given("id")).order_by(jobs.c.id.desc()).limit(_LIMIT))
JOBS_FIRST_PAGE = Statement(sa.select(*_JOB).order_by(jobs.c.id.desc()).limit(_LIMIT))
_HELD = (jobs.c.token != sa.literal_column("0")).label("held")
JOB_COUNTS = Statement(
    sa.select(jobs.c.type, _HELD, sa.func.count(), sa.func.min(jobs.c.due)).group_by(jobs.c.type, _HELD)
)
RELEASE_JOBS = Statement(
    sa.update(jobs)
    .where(jobs.c.token != sa.literal_column("0"))
    .values(token=sa.literal_column("0"), owner=sa.null(), woken_due=sa.null(), ready_at=jobs.c.due)
)


# ── leases ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_THIS_LEASE = leases.c.name == given("lease_name")

LEASE = Statement(sa.select(leases.c.owner, leases.c.token, leases.c.until).where(_THIS_LEASE).with_for_update())
INSERT_LEASE = Statement(sa.insert(leases))
DELETE_LEASE = Statement(sa.delete(leases).where(_THIS_LEASE, leases.c.token == given("held")))
DELETE_LEASES = Statement(sa.delete(leases))
