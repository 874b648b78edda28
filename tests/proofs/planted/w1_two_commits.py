"""The event is written after the change, in a commit of its own: the dual write.

A process that ends between the two has changed an instance and will never tell. It stands in for `SqliteStore.commit` where that writes an
instance. Run as a program it forks servers with the bug.
"""

import msgspec

from novitai.operations import records
from novitai.ports.store import Commit, Committed
from novitai.stores.sqlite import SqliteStore
from support import forking

BUG = "the event in a commit of its own, after the change"
_real = SqliteStore.commit


async def _commit(self: SqliteStore, commit: Commit) -> Committed:
    if all(put.kind != records.INSTANCE for put in commit.puts):
        return await _real(self, commit)
    change = msgspec.structs.replace(
        commit,
        puts=tuple(put for put in commit.puts if put.kind != records.DELIVERY),
        appends=(),
        wakes=tuple(wake for wake in commit.wakes if wake.lane != records.LANE_DELIVERIES),
    )
    told = Commit(
        puts=tuple(put for put in commit.puts if put.kind == records.DELIVERY),
        appends=commit.appends,
        wakes=tuple(wake for wake in commit.wakes if wake.lane == records.LANE_DELIVERIES),
    )
    committed = await _real(self, change)
    await _real(self, told)
    return committed


if __name__ == "__main__":
    SqliteStore.commit = _commit  # type: ignore[method-assign]
    forking.main()
