"""Short ways to say what the contract's tests write."""

from novitai.ports.store import Append, Claim, Commit, Finish, JobStatus, ListEntry, Priority, Put, Requeue, Store, Wake

LANE = "instances"


def put(record_id="a", body=b"{}", *, kind="thing", **fields):
    return Put(kind=kind, id=record_id, body=body, **fields)


def listed(record_id, sort, body=b"{}", *, listing="things", partition="all", **fields):
    return put(record_id, body, entries=(ListEntry(listing, partition, sort),), **fields)


def entry(entry_id="e1", *keys, log="events", at=0.0, body=b"{}"):
    return Append(log=log, id=entry_id, keys=keys or ("all",), at=at, body=body)


def wake(key="instance:a", *, job_id="job_1", job_type="create_instance", priority=Priority.NORMAL, due=0.0, **fields):
    return Wake(key=key, id=job_id, type=job_type, lane=fields.pop("lane", LANE), priority=priority, due=due, **fields)


def requeue(due, *, job_type="create_instance", job_id="job_2", priority=Priority.NORMAL, **fields):
    return Requeue(due=due, type=job_type, id=job_id, priority=priority, **fields)


async def claim(store: Store, *, limit=1, lane=LANE, owner="worker", lease_seconds=20.0) -> list[Claim]:
    return list(await store.claim(lane, owner=owner, limit=limit, lease_seconds=lease_seconds))


async def claim_one(store: Store, **options) -> Claim:
    [taken] = await claim(store, **options)
    return taken


async def finish(store: Store, held: Claim, again: Requeue | None = None, **fields) -> None:
    await store.commit(Commit(finish=Finish(claim=held, requeue=again, **fields)))


async def fail(store: Store, held: Claim, error: str) -> None:
    await finish(store, held, status=JobStatus.FAILED, error=error)


async def list_ids(store: Store, **options) -> list[str]:
    page = await store.list("things", "all", **options)
    return [record.id for record in page.records]


async def log_ids(store: Store, key="all", *, log="events", **options) -> list[str]:
    page = await store.read_log(log, key, **options)
    return [logged.id for logged in page.entries]
