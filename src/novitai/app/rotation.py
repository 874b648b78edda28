"""Moving everything that is sealed to another key, without a moment at which something cannot be opened.

A new key is put in front of the old one, durably, before anything is sealed with it; then every record is sealed again, in small guarded
commits; the box by which a start knows its key comes after them, and only when a whole pass has found nothing left does the old key go.
Whatever ends the process in between, both keys are there, every box opens, and running it again finishes what was begun.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from novitai.app.sealing import RECORD, check_key, put_probe
from novitai.config import Settings
from novitai.domain.delivery import DeliveryStatus
from novitai.domain.secrets import Sealed
from novitai.operations import audit, records
from novitai.ports.store import Commit, Put, Record, Store
from novitai.stores.crypto import Keyring
from novitai.stores.key_file import KEY_FILE, key_text, new_key, read_keys, replace_keys
from novitai.stores.sqlite import open_sqlite
from novitai.world import SystemClock

BATCH = 50

PREPARE = """The key is in NOVITAI_SECRETS_KEY, so putting a new one there is yours to do:
  1. put this key and a comma before the present one: {fresh},…
  2. run `novitai secrets rotate` again; then leave only the new key."""
DROP = "Leave only the first key in NOVITAI_SECRETS_KEY."
DONE = "{path} holds this key alone; backups made before need the key that was there before."


@dataclass(frozen=True)
class Holder:
    """A kind of record that holds sealed values: the list partitions in which all of its records stand, and its codec."""

    listing: str
    partitions: tuple[str, ...]
    read: Callable[[Record], Any]
    put: Callable[[Any, int], Put]


HOLDERS = (
    Holder(
        records.INSTANCES,
        ("live", "deleted"),
        records.read_instance,
        lambda value, version: records.put_instance(value, expect=version, retention_seconds=0.0),
    ),
    Holder(
        records.DELIVERIES,
        tuple(map(str, DeliveryStatus)),
        records.read_delivery,
        lambda value, version: records.put_delivery(value, expect=version),
    ),
)
"""Every kind whose type has a `Sealed` in it; a test compares this with the types. The audit log's key is moved by itself."""


@dataclass(frozen=True, kw_only=True)
class Rotated:
    """What came of it: how many records were written anew, the id of the key that seals from now on, and the records in
    which something stands that none of the keys opens; that was lost before, and is left as it is.
    """

    records: int
    key_id: str
    unreadable: tuple[str, ...] = ()


async def rotate(settings: Settings) -> str:
    """Rotate as these settings want it; what was done and what is to be done next, for people.

    Raises StoreInUse while a server holds the store, another StoreError, ValueError or OSError when it cannot be done.
    """
    if settings.store.database is None:
        raise ValueError("NOVITAI_STORE=memory forgets its secrets with its process")
    if not settings.store.database.exists():
        raise ValueError(f"there is no store at {settings.store.database} yet, so nothing is encrypted")
    configured = settings.store.sealing_keys()
    if len(configured) == 1:
        return PREPARE.format(fresh=key_text(new_key()))
    store = await open_sqlite(settings.store.database, clock=SystemClock())
    try:
        if configured:
            return _told(await move_to_first(store, Keyring(configured)), then=DROP)
        path = settings.store.data_dir / KEY_FILE
        return _told(await rotate_key_file(store, path, fresh=new_key()), then=DONE.format(path=path))
    finally:
        await store.close()


def _told(rotated: Rotated, *, then: str) -> str:
    told = f"{rotated.records} records were encrypted again with key {rotated.key_id}. {then}"
    if rotated.unreadable:
        told += (
            f"\nNo key opens something in these; it was so before, and was left alone: {', '.join(rotated.unreadable)}"
        )
    return told


async def rotate_key_file(store: Store, path: Path, *, fresh: bytes) -> Rotated:
    """Move everything to `fresh`, or go on with the key that an earlier run put in front. The file holds one key at the end.

    The store must be held by nobody else. Raises ValueError, with nothing changed, when the file's keys are not the store's.
    """
    keys = read_keys(path)
    await check_key(store, Keyring(keys))
    if len(keys) == 1:
        keys = (fresh, *keys)
        replace_keys(path, keys)
    rotated = await move_to_first(store, Keyring(keys))
    replace_keys(path, keys[:1])
    return rotated


async def move_to_first(store: Store, ring: Keyring) -> Rotated:
    """Seal everything with the ring's first key. Raises ValueError, with nothing changed, when these are not the store's keys."""
    await check_key(store, ring)
    written = 0
    moving = _Moving(store, ring)
    while changed := await moving.once():
        written += changed
    written += await moving.audit_key()
    probe = await store.get(records.META, RECORD)
    assert probe is not None, "made by the check above"
    box = ring.resealed(msgspec.json.decode(probe.body, type=Sealed))
    await store.commit(Commit(puts=(put_probe(box, expect=probe.version),)))
    return Rotated(records=written, key_id=ring.key_ids[0], unreadable=tuple(sorted(moving.unreadable)))


class _Moving:
    """Goes through all records, time and again."""

    def __init__(self, store: Store, ring: Keyring) -> None:
        self._store = store
        self._ring = ring
        self.unreadable: set[str] = set()

    async def once(self) -> int:
        """One pass; how many records had to be written."""
        written = 0
        async for records_of, holder in self._pages():
            puts = tuple(put for record in records_of if (put := self._moved(record, holder)) is not None)
            if puts:
                await self._store.commit(Commit(puts=puts))
            written += len(puts)
        return written

    async def audit_key(self) -> int:
        """The one record that is nothing but a box: the key of the audit log's seals; how many records had to be written."""
        record = await self._store.get(records.META, audit.KEY_RECORD)
        if record is None:
            return 0
        box = msgspec.json.decode(record.body, type=Sealed)
        try:
            moved = self._ring.resealed(box)
        except ValueError:
            self.unreadable.add("the audit log's key")
            return 0
        if moved == box:
            return 0
        await self._store.commit(Commit(puts=(audit.put_key(moved, expect=record.version),)))
        return 1

    async def _pages(self) -> AsyncIterator[tuple[tuple[Record, ...], Holder]]:
        for holder in HOLDERS:
            for partition in holder.partitions:
                cursor: str | None = None
                while True:
                    page = await self._store.list(holder.listing, partition, cursor=cursor, limit=BATCH)
                    yield page.records, holder
                    cursor = page.next_cursor
                    if cursor is None:
                        break

    def _moved(self, record: Record, holder: Holder) -> Put | None:
        def move(box: Sealed) -> Sealed:
            try:
                return self._ring.resealed(box)
            except ValueError:
                self.unreadable.add(f"{record.kind} {record.id}")
                return box

        before = holder.read(record)
        after = _with(before, move)
        if after == before:
            return None
        return msgspec.structs.replace(holder.put(after, record.version), expires_at=record.expires_at)


def _with(value: Any, change: Callable[[Sealed], Sealed]) -> Any:
    """The same value with each sealed one in it changed, however deep it lies."""
    if isinstance(value, Sealed):
        return change(value)
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        changed = {name: _with(held, change) for name, held in fields.items()}
        return msgspec.structs.replace(value, **changed) if changed != fields else value
    if isinstance(value, tuple | list):
        return type(value)(_with(held, change) for held in value)
    if isinstance(value, dict):
        return {name: _with(held, change) for name, held in value.items()}
    return value
