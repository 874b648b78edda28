"""Writing records inside a commit: judge first, then put, delete and sweep.

A record past its time counts as absent everywhere, also while its row is still there. A fed record that goes leaves a tombstone, so that
readers of the change feed learn of it; the tombstone goes when the record is written again.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from novitai.ports.store import Check, Conflict, Delete, ListEntry, Put, Record
from novitai.stores import statements as sql
from novitai.stores.connection import Connection

_NO_ENTRIES = b"[]"
_ENTRIES = msgspec.json.Decoder(list[tuple[str, str, str]])


class Numbers:
    """The revisions that a commit takes, one for each thing it writes."""

    def __init__(self, last: int) -> None:
        self.last = last
        self._stored = last

    @property
    def moved(self) -> bool:
        """Whether anything was taken."""
        return self.last != self._stored

    def take(self) -> int:
        """The next one."""
        self.last += 1
        return self.last


class Head(NamedTuple):
    """What a commit must know of a record's row before it writes."""

    version: int
    expires_at: float | None
    fed: int
    entries: bytes

    def present_version(self, now: float) -> int:
        """The version as readers see it: 0 for one past its time."""
        return 0 if self.expires_at is not None and self.expires_at <= now else self.version


def judge(conn: Connection, change: Put | Delete | Check, now: float) -> Head | None:
    """The row's head (None without a row). Raises Conflict when the record is not at the version the change expects."""
    found = conn.rows(sql.RECORD_HEAD, {"kind": change.kind, "id": change.id})
    head = Head(*found[0]) if found else None
    expect = change.version if isinstance(change, Check) else change.expect
    present = head.present_version(now) if head else 0
    if expect is not None and expect != present:
        raise Conflict(f"{change.kind} {change.id} is at version {present}, not {expect}")
    return head


def put(conn: Connection, numbers: Numbers, change: Put, head: Head | None, now: float) -> Record:
    """Write a judged document with its list entries."""
    version = (head.present_version(now) if head else 0) + 1
    revision = numbers.take()
    entries = _encode_entries(change.entries)
    row = {
        "kind": change.kind,
        "id": change.id,
        "version": version,
        "revision": revision,
        "fed": int(change.fed),
        "expires_at": change.expires_at,
        "entries": entries,
        "body": change.body,
    }
    if head is None:
        conn.run(sql.INSERT_RECORD, row)
    else:
        conn.run(sql.UPDATE_RECORD, row)
    if change.fed and not (head and head.fed):
        conn.run(sql.DELETE_TOMBSTONE, {"kind": change.kind, "id": change.id})
    _move_entries(conn, change.kind, change.id, before=head.entries if head else _NO_ENTRIES, after=entries)
    return Record(
        kind=change.kind,
        id=change.id,
        version=version,
        revision=revision,
        body=change.body,
        expires_at=change.expires_at,
    )


def delete(conn: Connection, numbers: Numbers, change: Delete, head: Head | None) -> Record:
    """Remove a judged document; returns its tombstone."""
    revision = numbers.take()
    version = (head.version if head else 0) + 1
    if head:
        conn.run(sql.DELETE_RECORD, {"kind": change.kind, "id": change.id})
        _move_entries(conn, change.kind, change.id, before=head.entries, after=_NO_ENTRIES)
        if head.fed:
            row = {"kind": change.kind, "id": change.id, "version": version, "revision": revision}
            conn.run(sql.INSERT_TOMBSTONE, row)
    return Record(kind=change.kind, id=change.id, version=version, revision=revision, body=b"", deleted=True)


def expire(conn: Connection, now: float, limit: int) -> int:
    """Remove records past their time."""
    past = conn.rows(sql.EXPIRED_RECORDS, {"now": now, "limit": limit})
    if not past:
        return 0
    numbers = lock_numbers(conn)
    for kind, record_id in past:
        gone = Delete(kind=kind, id=record_id)
        delete(conn, numbers, gone, judge(conn, gone, now))
    save_numbers(conn, numbers)
    return len(past)


def trim_tombstones(conn: Connection, before_revision: int) -> None:
    """Forget tombstones below a revision and remember how far back the feed still reaches."""
    [(revision, feed_start)] = conn.rows(sql.STATE, {})
    through = min(before_revision - 1, revision)
    if through > feed_start:
        conn.run(sql.TRIM_TOMBSTONES, {"through": through})
        conn.run(sql.SET_FEED_START, {"feed_start": through})


def lock_numbers(conn: Connection) -> Numbers:
    """The counter, kept from everybody else until the transaction ends; so revisions become visible in their order."""
    [(revision,)] = conn.rows(sql.LOCK_REVISION, {})
    return Numbers(revision)


def save_numbers(conn: Connection, numbers: Numbers) -> None:
    """Store how far the counter got."""
    if numbers.moved:
        conn.run(sql.SET_REVISION, {"revision": numbers.last})


def _encode_entries(entries: Iterable[ListEntry]) -> bytes:
    places = sorted({(entry.listing, entry.partition, entry.sort) for entry in entries})
    return msgspec.json.encode(places)


def _move_entries(conn: Connection, kind: str, record_id: str, *, before: bytes, after: bytes) -> None:
    if before == after:
        return
    old, new = set(_ENTRIES.decode(before)), set(_ENTRIES.decode(after))
    for statement, places in ((sql.DELETE_LIST_ENTRY, old - new), (sql.INSERT_LIST_ENTRY, new - old)):
        for listing, part, sort in places:
            conn.run(statement, {"listing": listing, "part": part, "sort": sort, "id": record_id, "kind": kind})
