"""A notice is answered with a replacement as long as it stands, also while one is being made ready.

Who goes by the notice alone writes this. The migration policy is shown an instance that is being replaced as it was before, and moves it again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from novitai.domain.instance import Instance
from novitai.domain.lifecycle import State
from novitai.operations import migration as operations
from novitai.operations.migration import Migrations
from novitai.policies import migration
from novitai.reconcilers.migration import MigrationKeeper

BUG = "a second replacement while the first is being made ready"
_judge, _concerned, _begin = migration.judge, operations.concerned, Migrations._begin
LOOKS_EVERY = 60.0


def _before(instance: Instance) -> Instance:
    former = instance.former
    if former is None or instance.open_attempt is not None or instance.state is not State.MIGRATING:
        return instance
    return msgspec.structs.replace(instance, machine=former.machine, former=None, moves=(), state=State.READY)


async def _begun(self: Migrations, snapshot: Any, **how: Any) -> Any:
    return await _begin(self, msgspec.structs.replace(snapshot, instance=_before(snapshot.instance)), **how)


@contextmanager
def planted() -> Iterator[None]:
    """Programs that run meanwhile have the bug, and look often."""
    look = MigrationKeeper._look

    async def often(self: MigrationKeeper, lease: Any) -> float:
        return min(LOOKS_EVERY, await look(self, lease))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migration, "judge", lambda instance, rule, **known: _judge(_before(instance), rule, **known))
        patch.setattr(operations, "concerned", lambda instance: _concerned(_before(instance)))
        patch.setattr(Migrations, "_begin", _begun)
        patch.setattr(MigrationKeeper, "_look", often)
        yield
