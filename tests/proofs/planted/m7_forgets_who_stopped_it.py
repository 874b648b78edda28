"""What stands still is taken for reclaimed, whoever stopped it.

Who writes "exited means reclaimed" writes this, as the service before this one did. The migration policy is shown, and moves, an instance that
was stopped as if it were to run and Novita had taken its machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from novitai.domain.instance import Desired, DesiredState, Instance
from novitai.domain.lifecycle import State
from novitai.domain.machine import SpotStatus
from novitai.operations import migration as operations
from novitai.operations.migration import Migrations
from novitai.policies import migration
from novitai.reconcilers import migration as reconcilers

BUG = "bringing back what a person or the idle stop had stopped"
_judge, _concerned, _begin = migration.judge, operations.concerned, Migrations._begin


def _as_if_taken(instance: Instance) -> Instance:
    if instance.state is not State.STOPPED or instance.machine is None:
        return instance
    wanted = Desired(state=DesiredState.RUNNING, by="migration", reason="", at=instance.desired.at)
    machine = msgspec.structs.replace(instance.machine, spot_status=SpotStatus.TERMINATED, reclaim_at=0.0)
    return msgspec.structs.replace(instance, desired=wanted, machine=machine)


async def _begun(self: Migrations, snapshot: Any, **how: Any) -> Any:
    return await _begin(self, msgspec.structs.replace(snapshot, instance=_as_if_taken(snapshot.instance)), **how)


@contextmanager
def planted() -> Iterator[None]:
    """Programs that run meanwhile have the bug."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migration, "judge", lambda instance, rule, **known: _judge(_as_if_taken(instance), rule, **known))
        patch.setattr(operations, "concerned", lambda instance: _concerned(_as_if_taken(instance)))
        patch.setattr(reconcilers, "concerned", lambda instance: _concerned(_as_if_taken(instance)))
        patch.setattr(Migrations, "_begin", _begun)
        yield
