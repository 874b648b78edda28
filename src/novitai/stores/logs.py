"""Writing and trimming log entries. An entry stands once in its table and once under each of its keys."""

import msgspec

from novitai.ports.store import Append, LogEntry
from novitai.stores import statements as sql
from novitai.stores.connection import Connection
from novitai.stores.documents import Numbers

_KEYS = msgspec.json.Decoder(list[str])


def append(conn: Connection, numbers: Numbers, entry: Append) -> LogEntry:
    """Write one entry; its position is the revision it takes."""
    position = numbers.take()
    keys = list(dict.fromkeys(entry.keys))
    row = {
        "position": position,
        "log": entry.log,
        "id": entry.id,
        "at": entry.at,
        "keys": msgspec.json.encode(keys),
        "body": entry.body,
    }
    conn.run(sql.INSERT_LOG_ENTRY, row)
    conn.run_many(sql.INSERT_LOG_KEY, [{"log": entry.log, "log_key": key, "position": position} for key in keys])
    return LogEntry(log=entry.log, id=entry.id, position=position, at=entry.at, body=entry.body)


def trim(conn: Connection, log: str, *, before: float, limit: int) -> int:
    """Remove the oldest entries of a log that are older than a time."""
    old = conn.rows(sql.OLD_LOG_ENTRIES, {"log": log, "before": before, "limit": limit})
    for position, keys in old:
        conn.run_many(
            sql.DELETE_LOG_KEY, [{"log": log, "log_key": key, "position": position} for key in _KEYS.decode(keys)]
        )
        conn.run(sql.DELETE_LOG_ENTRY, {"position": position})
    return len(old)
