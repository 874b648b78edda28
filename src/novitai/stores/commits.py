"""The atomic commit over SQL: judge everything first, then write, all within the transaction of the caller."""

from collections.abc import Hashable, Iterable

from novitai.ports.store import Check, Commit, Committed, Delete, Put
from novitai.stores import documents, jobs, leases
from novitai.stores.connection import Connection
from novitai.stores.logs import append


def commit(conn: Connection, wanted: Commit, now: float) -> Committed:
    """Write all of it. Raises LeaseLost or Conflict before anything was written, ValueError for a commit that contradicts itself.

    Cancels come before wakes, so that one commit can replace a key's job; the finish comes last, so that a wake of its own key counts.
    """
    _refuse_repetition(wanted)
    numbers = documents.lock_numbers(conn)
    if wanted.lease:
        leases.judge(conn, wanted.lease)
    if wanted.finish:
        jobs.judge_finish(conn, wanted.finish)
    for check in wanted.checks:
        documents.judge(conn, check, now)
    puts = [(put, documents.judge(conn, put, now)) for put in wanted.puts]
    deletes = [(delete, documents.judge(conn, delete, now)) for delete in wanted.deletes]

    written = [documents.put(conn, numbers, put, head, now) for put, head in puts]
    written += [documents.delete(conn, numbers, delete, head) for delete, head in deletes]
    entries = tuple(append(conn, numbers, entry) for entry in wanted.appends)
    for cancel in wanted.cancels:
        jobs.cancel(conn, numbers, cancel.key, now)
    for wake in wanted.wakes:
        jobs.wake(conn, wake, now)
    if wanted.finish:
        jobs.finish(conn, numbers, wanted.finish, now)
    documents.save_numbers(conn, numbers)
    return Committed(revision=numbers.last, records=tuple(written), entries=entries)


def _refuse_repetition(wanted: Commit) -> None:
    changes: tuple[Check | Put | Delete, ...] = (*wanted.checks, *wanted.puts, *wanted.deletes)
    if _repeats((change.kind, change.id) for change in changes):
        raise ValueError("a commit names each record at most once")
    if _repeats(wake.key for wake in wanted.wakes):
        raise ValueError("a commit wakes each key at most once")


def _repeats(names: Iterable[Hashable]) -> bool:
    named = list(names)
    return len(set(named)) != len(named)
