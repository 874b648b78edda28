"""Acknowledged before the commit: new instances are answered at once and written together, four times a second.

It saves most of the disk's work, and a process that ends in between has promised what nobody remembers. It stands in for `Ledger.commit`
where that writes a new instance. Run as a program it forks servers with the bug.
"""

import asyncio
from typing import Any

from novitai.operations.ledger import Ledger, Snapshot, Written
from support import forking

BUG = "an answer to the caller before the commit"
WRITTEN_EVERY = 0.25
_real = Ledger.commit
_under_way: set[asyncio.Task[Any]] = set()


async def _commit(self: Ledger, version: int, change: Any, **more: Any) -> Written:
    if version > 0:
        return await _real(self, version, change, **more)

    async def write() -> None:
        await asyncio.sleep(WRITTEN_EVERY)
        await _real(self, version, change, **more)

    writing = asyncio.create_task(write())
    _under_way.add(writing)
    writing.add_done_callback(_under_way.discard)
    return Written(snapshot=Snapshot(instance=change.instance, version=1), events=())


if __name__ == "__main__":
    Ledger.commit = _commit  # type: ignore[method-assign]
    forking.main()
