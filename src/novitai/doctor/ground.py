"""The ground that a server stands on: settings, data directory, secrets key, store. Looked at, never changed or made."""

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from novitai.app import sealing
from novitai.config import Settings, SettingsError
from novitai.doctor.report import Check, fail, ok, warn
from novitai.domain.secrets import Sealed
from novitai.operations import records
from novitai.ports.store import Record
from novitai.stores import queries, sqlite_connection, upgrade
from novitai.stores.key_file import KEY_FILE, others_who_read
from novitai.stores.schema import HEAD

_MIB = 1024 * 1024
SCARCE_BYTES, NEEDED_BYTES = 1024 * _MIB, 64 * _MIB
"""Below the first it is worth a warning, below the second a store would soon stop."""


def wrong_settings(error: SettingsError) -> list[Check]:
    """Each problem of settings that cannot be used."""
    return [
        fail("settings", problem.message, "see `novitai config` and the settings page") for problem in error.problems
    ]


def settings(found: Settings) -> list[Check]:
    """Settings that can be used, and what is unusual about them."""
    if found.warnings:
        return [warn("settings", warning) for warning in found.warnings]
    return [ok("settings", f"{len(found.origins)} set, the others at their defaults")]


def data_directory(found: Settings) -> Check:
    """There, ours alone, writable, with room."""
    name, place = "data directory", found.store.data_dir
    if found.store.database is None:
        return ok(name, "not used: NOVITAI_STORE=memory")
    if not place.exists():
        parent = next(one for one in place.parents if one.exists())
        if os.access(parent, os.W_OK | os.X_OK):
            return ok(name, f"{place} will be made at the first start")
        return fail(name, f"{place} cannot be made: {parent} is not writable", "set NOVITAI_DATA_DIR")
    if not place.is_dir() or not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        return fail(name, f"{place} is not a directory that can be written", "mend its owner, or set NOVITAI_DATA_DIR")
    free = shutil.disk_usage(place).free
    if free < NEEDED_BYTES:
        return fail(name, f"{place}: {free // _MIB} MiB free", "make room: commits will be refused")
    if place.stat().st_mode & 0o077:
        return warn(name, f"{place} can be entered by others", f"chmod 700 {place}")
    if free < SCARCE_BYTES:
        return warn(name, f"{place}: {free // _MIB} MiB free", "make room soon")
    return ok(name, f"{place}, mode 0700, {free // _MIB} MiB free")


def secrets_key(found: Settings) -> Check:
    """A key that only its owner can read, and the one that the store was sealed with."""
    name, place = "secrets key", found.store.data_dir / KEY_FILE
    configured = bool(found.store.sealing_keys())
    if found.store.database is None:
        return ok(name, "not needed: NOVITAI_STORE=memory")
    if not configured and not place.exists():
        if found.store.database.exists():
            return fail(
                name, f"{place} is missing, but there is a store", "put the file back, or set NOVITAI_SECRETS_KEY"
            )
        return ok(name, f"{place} will be made at the first start")
    try:
        ring = sealing.keyring_of(found)
        record = _sealing_record(found.store.database)
        if record is not None:
            ring.open(msgspec.json.decode(record.body, type=Sealed))
    except (ValueError, OSError) as error:
        return fail(name, str(error), "put the key back with which the store was sealed")
    except sqlite3.Error:
        return warn(name, "the store could not be asked which key it was sealed with")
    where = "NOVITAI_SECRETS_KEY" if configured else str(place)
    if not configured and (readers := others_who_read(place)) is not None:
        return warn(name, f"{place} can be read by {readers}", f"chmod 600 {place}, then `novitai secrets rotate`")
    return ok(name, f"{where}; {'opens the store' if record is not None else 'nothing is sealed with it yet'}")


def store(found: Settings, *, holder: str | None) -> Check:
    """The store's file: whole, and of a schema that this version knows. `holder`: the pid of who has it open now."""
    name, path = "store", found.store.database
    if path is None:
        return warn(name, "in memory: everything is forgotten at the end", "unset NOVITAI_STORE for more than a trial")
    if not path.exists():
        return ok(name, f"{path} will be made at the first start")
    if holder is not None:
        return ok(name, f"{path} is open in a running process (pid {holder}), which is asked below")
    try:
        with closing(sqlite_connection.reading(path)) as conn:
            problems = [str(row[0]) for row in conn.raw.execute("PRAGMA quick_check(3)")]
            version = upgrade.stored_version(conn)
    except sqlite3.Error as error:
        return fail(name, f"{path} cannot be read: {error}", "put a backup back")
    return _judge_store(path, problems, version)


def holder_of(path: Path | None) -> str | None:
    """The pid of the process that serves the store, or None. The lock is only looked at."""
    lock = path.with_name(f"{path.name}.lock") if path is not None else None
    if lock is None or not lock.exists():
        return None
    with lock.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return opened.read(32).decode(errors="replace").strip() or "unknown"
    return None


def _judge_store(path: Path, problems: Sequence[str], version: str | None) -> Check:
    if problems != ["ok"]:
        return fail("store", f"{path} is damaged: {problems[0]}", "put a backup back")
    if version == HEAD:
        return ok("store", f"{path} is whole, schema {version}")
    if version is None:
        return warn("store", f"{path} has no tables yet", "they are made at the next start")
    if version < HEAD:
        return warn(
            "store", f"{path} is at schema {version}", f"the next start migrates it to {HEAD}: back it up first"
        )
    return fail(
        "store", f"{path} is at schema {version}, which this version ({HEAD}) does not know", "use the newer one"
    )


def _sealing_record(path: Path) -> Record | None:
    if not path.exists():
        return None
    with closing(sqlite_connection.reading(path)) as conn:
        if upgrade.stored_version(conn) is None:
            return None
        return queries.get(conn, records.META, sealing.RECORD, 0.0)
