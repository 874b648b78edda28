"""The store port on Redis as an experiment: does one stateless script per call keep every promise of the contract?

All logic is in redis_spike.lua; here arguments become JSON and answers become values. What was learned stands in
docs/decisions/0020-store-port-on-redis.md.
"""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import redis.asyncio
import redis.exceptions

from contract.stores.engines import REOPENED
from novitai.ports.store import (
    Changes,
    Claim,
    Commit,
    Committed,
    Conflict,
    Job,
    JobCount,
    JobPage,
    JobStatus,
    Lease,
    LeaseLost,
    LogEntry,
    LogPage,
    Priority,
    Record,
    RecordPage,
    Store,
    StoreUnavailable,
)
from novitai.ports.world import Clock
from novitai.stores import cursors

_SCRIPT = (Path(__file__).parent / "redis_spike.lua").read_text()
_TIMES = {"due", "at", "expires_at", "until", "lease_until"}


class RedisEngine:
    name = "redis"
    can = frozenset({REOPENED})

    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self, clock: Clock, *, place: str = "main") -> Store:
        client = redis.asyncio.Redis.from_url(self._url, retry=None)
        return RedisStore(client, clock=clock, prefix=f"{{novitai:{place}}}")


class RedisStore:
    """Keeps ports.store.Store over a Redis client."""

    def __init__(self, client: redis.asyncio.Redis, *, clock: Clock, prefix: str) -> None:
        self._client = client
        self._clock = clock
        self._prefix = prefix
        self._script = client.register_script(_SCRIPT)
        self._closed = False

    async def commit(self, commit: Commit) -> Committed:
        named = [(change.kind, change.id) for change in (*commit.checks, *commit.puts, *commit.deletes)]
        if len(set(named)) != len(named):
            raise ValueError("a commit names each record at most once")
        if len({wish.key for wish in commit.wakes}) != len(commit.wakes):
            raise ValueError("a commit wakes each key at most once")
        answer = await self._call("commit", _plain(msgspec.to_builtins(commit, builtin_types=(bytes,))))
        return Committed(
            revision=int(answer["revision"]),
            records=tuple(_record(found) for found in answer["records"]),
            entries=tuple(_entry(found) for found in answer["entries"]),
        )

    async def get(self, kind: str, record_id: str) -> Record | None:
        return (await self.get_many(kind, [record_id])).get(record_id)

    async def get_many(self, kind: str, record_ids: Sequence[str]) -> dict[str, Record]:
        found = await self._call("get", {"kind": kind, "ids": list(record_ids)})
        return {record["id"]: _record(record) for record in found}

    async def list(
        self, listing: str, partition: str, *, cursor: str | None = None, limit: int = 100, descending: bool = False
    ) -> RecordPage:
        scope = (listing, partition, "down" if descending else "up")
        ask = {"listing": listing, "partition": partition, "limit": limit, "descending": descending}
        if cursor is not None:
            (ask["cursor"],) = cursors.unpack(scope, cursor)
        found = await self._call("list", ask) or []  # Lua cannot tell an empty list from an empty object
        records = tuple(_record(place["record"]) for place in found[:limit])
        more = len(found) > limit
        return RecordPage(
            records=records, next_cursor=cursors.pack(scope, (found[limit - 1]["member"],)) if more else None
        )

    async def count(self, listing: str, partition: str) -> int:
        return await self._call("count", {"listing": listing, "partition": partition})

    async def changes(self, since: int, *, limit: int = 500) -> Changes:
        answer = await self._call("changes", {"since": since, "limit": limit})
        records = tuple(_record(found) for found in answer["records"])
        revision = int(answer["revision"])
        return Changes(
            records=records,
            revision=records[-1].revision if len(records) == limit else revision,
            truncated=not int(answer["feed_start"]) <= since <= revision,
        )

    async def revision(self) -> int:
        return int(await self._call("revision", {}))

    async def read_log(
        self, log: str, key: str, *, after: int | None = None, limit: int = 100, descending: bool = False
    ) -> LogPage:
        ask = {"log": log, "key": key, "after": after, "limit": limit, "descending": descending}
        found = [_entry(entry) for entry in await self._call("read_log", ask)]
        shown = tuple(found[:limit])
        return LogPage(entries=shown, next_position=shown[-1].position if len(found) > limit else None)

    async def count_log(self, log: str, key: str) -> int:
        return await self._call("count_log", {"log": log, "key": key})

    async def claim(self, lane: str, *, owner: str, limit: int, lease_seconds: float) -> tuple[Claim, ...]:
        until = repr(self._clock.now() + lease_seconds)
        ask = {"lane": lane, "owner": owner, "limit": limit, "lease_until": until}
        return tuple(_claim(job) for job in await self._call("claim", ask))

    async def renew(self, claims: Sequence[Claim], *, lease_seconds: float) -> frozenset[str]:
        held = [{"key": claim.key, "token": claim.token} for claim in claims]
        until = repr(self._clock.now() + lease_seconds)
        return frozenset(await self._call("renew", {"claims": held, "lease_until": until}))

    async def next_due(self, lane: str) -> float | None:
        earliest = await self._call("next_due", {"lane": lane})
        return float(earliest) if earliest else None

    async def job(self, job_id: str) -> Job | None:
        return next(map(_job, await self._call("jobs", {"id": job_id})), None)

    async def live_job(self, key: str) -> Job | None:
        return next(map(_job, await self._call("jobs", {"key": key})), None)

    async def jobs(self, *, cursor: str | None = None, limit: int = 100) -> JobPage:
        ask: dict[str, Any] = {"limit": limit}
        if cursor is not None:
            (ask["cursor"],) = cursors.unpack(("jobs",), cursor)
        found = [_job(job) for job in await self._call("jobs", ask)]
        shown = tuple(found[:limit])
        return JobPage(jobs=shown, next_cursor=cursors.pack(("jobs",), (shown[-1].id,)) if len(found) > limit else None)

    async def job_counts(self) -> tuple[JobCount, ...]:
        dues: dict[tuple[str, JobStatus], list[float | None]] = {}
        for job in [_job(found) for found in await self._call("jobs", {"limit": 1_000_000})]:
            dues.setdefault((job.type, job.status), []).append(job.due)
        return tuple(
            JobCount(
                type=job_type,
                status=status,
                count=len(due),
                oldest_due=min(filter(None, due)) if status is JobStatus.PENDING else None,
            )
            for (job_type, status), due in dues.items()
        )

    async def acquire(self, name: str, *, owner: str, seconds: float) -> Lease | None:
        until = self._clock.now() + seconds
        answer = await self._call("acquire", {"name": name, "owner": owner, "until": repr(until)})
        return Lease(name=name, owner=owner, token=int(answer["token"]), until=until) if answer else None

    async def release(self, lease: Lease) -> None:
        await self._call("release", {"name": lease.name, "token": lease.token})

    async def expire(self, *, limit: int = 500) -> int:
        return await self._call("expire", {"limit": limit})

    async def trim_log(self, log: str, *, before: float, limit: int = 500) -> int:
        return await self._call("trim_log", {"log": log, "before": repr(float(before)), "limit": limit})

    async def trim_changes(self, *, before_revision: int) -> None:
        await self._call("trim_changes", {"before_revision": before_revision})

    async def ping(self) -> None:
        await self._call("ping", {})

    async def close(self) -> None:
        self._closed = True
        await self._client.aclose()

    async def _call(self, operation: str, ask: Mapping[str, Any]) -> Any:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        text = msgspec.json.encode({name: value for name, value in ask.items() if value is not None})
        try:
            answer = await self._script(keys=[self._prefix], args=[operation, repr(self._clock.now()), text])
        except redis.exceptions.ResponseError as error:
            raise _refusal(str(error)) from error
        except (redis.exceptions.RedisError, OSError) as error:
            raise StoreUnavailable(f"the store cannot serve: {error}") from error
        return msgspec.json.decode(answer)


def _refusal(reason: str) -> Exception:
    word, _, rest = reason.partition(" ")
    return {"CONFLICT": Conflict, "LEASELOST": LeaseLost}.get(word, StoreUnavailable)(rest)


def _plain(value: Any, name: str = "") -> Any:
    """JSON that Lua can keep: times and bodies as text, absent values left out."""
    if isinstance(value, dict):
        return {field: _plain(content, field) for field, content in value.items() if content is not None}
    if name == "entries":
        places = sorted({(entry["listing"], entry["partition"], entry["sort"]) for entry in value})
        return msgspec.json.encode(places).decode()
    if isinstance(value, list | tuple):
        return [_plain(content) for content in value]
    if name in _TIMES:
        return repr(float(value))
    if isinstance(value, bytes):
        return base64.b64encode(value).decode() if name == "payload" else _text(value)
    return value


def _text(body: bytes) -> str:
    try:
        return "t" + body.decode()
    except UnicodeDecodeError:
        return "b" + base64.b64encode(body).decode()


def _bytes(text: str) -> bytes:
    return text[1:].encode() if text[0] == "t" else base64.b64decode(text[1:])


def _time(found: Mapping[str, str], name: str) -> float | None:
    return float(found[name]) if name in found else None


def _record(found: Mapping[str, str]) -> Record:
    return Record(
        kind=found["kind"],
        id=found["id"],
        version=int(found["version"]),
        revision=int(found["revision"]),
        body=_bytes(found["body"]) if "body" in found else b"",
        expires_at=_time(found, "expires_at"),
        deleted="deleted" in found,
    )


def _entry(found: Mapping[str, str]) -> LogEntry:
    return LogEntry(
        log=found["log"],
        id=found["id"],
        position=int(found["position"]),
        at=float(found["at"]),
        body=_bytes(found["body"]),
    )


def _claim(found: Mapping[str, str]) -> Claim:
    return Claim(
        key=found["key"],
        id=found["id"],
        type=found["type"],
        lane=found["lane"],
        priority=Priority(int(found["priority"])),
        token=int(found["token"]),
        generation=int(found["generation"]),
        attempts=int(found["attempts"]),
        payload=base64.b64decode(found["payload"]),
        lease_until=float(found["lease_until"]),
    )


def _job(found: Mapping[str, str]) -> Job:
    held = found["token"] != "0"
    return Job(
        id=found["id"],
        key=found["key"],
        type=found["type"],
        lane=found["lane"],
        priority=Priority(int(found["priority"])),
        status=JobStatus.PROCESSING if held else JobStatus.PENDING,
        attempts=int(found["attempts"]),
        created_at=float(found["created_at"]),
        due=_time(found, "woken_due" if held else "due"),
        processed_at=_time(found, "processed_at"),
        error=found.get("error"),
        payload=base64.b64decode(found["payload"]),
    )
