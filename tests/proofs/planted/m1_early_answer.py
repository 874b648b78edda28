"""Acknowledged before the commit: the caller is told "created" while the write is still on its way.

It saves a disk's latency, and a process that ends in between has promised what nobody remembers. It stands in for
`Ledger.commit` where that writes a new instance.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from novitai.operations.ledger import Ledger, Snapshot, Written

BUG = "an answer to the caller before the commit"
_real = Ledger.commit
_under_way: set[asyncio.Task[Any]] = set()


async def _commit(self: Ledger, version: int, change: Any, **more: Any) -> Written:
    if version > 0:
        return await _real(self, version, change, **more)
    writing = asyncio.create_task(_real(self, version, change, **more))
    _under_way.add(writing)
    writing.add_done_callback(_under_way.discard)
    return Written(snapshot=Snapshot(instance=change.instance, version=1), events=())


@contextmanager
def planted() -> Iterator[None]:
    """Programs that run meanwhile have the bug."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "commit", _commit)
        yield
