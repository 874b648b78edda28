"""Reading records, lists, the change feed and logs over SQL. Each function is one consistent look within the caller's transaction."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from novitai.ports.store import Changes, LogEntry, LogPage, Record, RecordPage
from novitai.stores import cursors
from novitai.stores import statements as sql
from novitai.stores.connection import Connection

_BEYOND_ALL = 2**63 - 1


def get(conn: Connection, kind: str, record_id: str, now: float) -> Record | None:
    """One document that has not expired."""
    found = conn.rows(sql.GET_RECORD, {"kind": kind, "id": record_id, "now": now})
    return _record(found[0]) if found else None


def get_many(conn: Connection, kind: str, record_ids: Sequence[str], now: float) -> dict[str, Record]:
    """Those that exist, by id."""
    found = {record_id: get(conn, kind, record_id, now) for record_id in record_ids}
    return {record_id: record for record_id, record in found.items() if record is not None}


def list_page(
    conn: Connection, listing: str, partition: str, *, cursor: str | None, limit: int, descending: bool, now: float
) -> RecordPage:
    """A page of a declared list."""
    scope = (listing, partition, "down" if descending else "up")
    params: dict[str, object] = {"listing": listing, "partition": partition, "limit": limit + 1, "now": now}
    if cursor is not None:
        params |= zip(("sort", "id", "kind"), cursors.unpack(scope, cursor), strict=True)
    rows = conn.rows(sql.LIST_PAGE[descending, cursor is not None], params)
    records = tuple(_record(row) for row in rows[:limit])
    if len(rows) <= limit:
        return RecordPage(records=records, next_cursor=None)
    kind, record_id, *_, sort = rows[limit - 1]
    return RecordPage(records=records, next_cursor=cursors.pack(scope, (sort, record_id, kind)))


def count(conn: Connection, listing: str, partition: str) -> int:
    """How many places a declared list has."""
    return int(conn.rows(sql.COUNT_LIST, {"listing": listing, "partition": partition})[0][0])


def changes(conn: Connection, since: int, limit: int, now: float) -> Changes:
    """The feed after a revision. One that was never given here (the store was replaced) counts as truncated, too."""
    [(revision, feed_start)] = conn.rows(sql.STATE, {})
    written = [_record(row) for row in conn.rows(sql.FED_RECORDS, {"since": since, "limit": limit, "now": now})]
    gone = [_tombstone(row) for row in conn.rows(sql.FED_TOMBSTONES, {"since": since, "limit": limit})]
    told = tuple(sorted((*written, *gone), key=attrgetter("revision"))[:limit])
    return Changes(
        records=told,
        revision=told[-1].revision if len(told) == limit else revision,
        truncated=not feed_start <= since <= revision,
    )


def revision(conn: Connection) -> int:
    """The newest revision."""
    return int(conn.rows(sql.STATE, {})[0][0])


def read_log(conn: Connection, log: str, key: str, *, after: int | None, limit: int, descending: bool) -> LogPage:
    """Entries under a key beyond a position."""
    start = after if after is not None else (_BEYOND_ALL if descending else 0)
    rows = conn.rows(sql.LOG_PAGE[descending], {"log": log, "log_key": key, "after": start, "limit": limit + 1})
    entries = tuple(
        LogEntry(log=log, id=entry_id, position=position, at=at, body=body)
        for log, entry_id, position, at, body in rows[:limit]
    )
    return LogPage(entries=entries, next_position=entries[-1].position if len(rows) > limit else None)


def count_log(conn: Connection, log: str, key: str) -> int:
    """How many entries a log has under a key."""
    return int(conn.rows(sql.COUNT_LOG, {"log": log, "log_key": key})[0][0])


def _record(row: Sequence[Any]) -> Record:
    return Record(kind=row[0], id=row[1], version=row[2], revision=row[3], body=row[4], expires_at=row[5])


def _tombstone(row: Sequence[Any]) -> Record:
    return Record(kind=row[0], id=row[1], version=row[2], revision=row[3], body=b"", deleted=True)
