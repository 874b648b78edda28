"""A store with a long past: instances that were created, became ready and were deleted within the last days, each with its attempt and with
what was told about it.

Written through the store's own commit, in large groups, with the values that the program itself would have written.
"""

import time
from pathlib import Path

from msgspec.structs import replace

from novitai.domain.events import Event, FactType
from novitai.domain.ids import InstanceId
from novitai.domain.instance import Attempt, AttemptOutcome, attempt_id
from novitai.domain.lifecycle import State
from novitai.operations import records
from novitai.ports.store import Append, Commit, Put
from novitai.stores.sqlite import open_sqlite
from novitai.world import SystemClock
from support import builders

GROUP = 500
TOLD = (FactType.CREATING, FactType.READY, FactType.DELETED)
RETENTION = 7 * 86_400.0
SPREAD = 5 * 86_400.0
"""The deletes lie within so many seconds, so that none of them is to be forgotten yet."""


async def write_past(path: Path, count: int) -> None:
    """Make a store file with so many past instances."""
    store = await open_sqlite(path, clock=SystemClock())
    model = builders.instance(State.DELETED)
    now = time.time()
    try:
        for first in range(0, count, GROUP):
            puts: list[Put] = []
            appends: list[Append] = []
            for number in range(first, min(count, first + GROUP)):
                deleted = now - SPREAD * (count - number) / count - 60.0
                one = replace(
                    model,
                    id=InstanceId(f"inst_{number:026d}"),
                    name=f"past-{number}",
                    created_at=deleted - 3600.0,
                    state_since=deleted,
                    deleted_at=deleted,
                )
                puts.append(records.put_instance(one, expect=0, retention_seconds=RETENTION))
                puts.append(records.put_attempt(_attempt(one.id, deleted - 3600.0)))
                appends += [_event(one.id, number, sequence, deleted) for sequence in range(len(TOLD))]
            await store.commit(Commit(puts=tuple(puts), appends=tuple(appends)))
    finally:
        await store.close()


def _attempt(instance_id: InstanceId, at: float) -> Attempt:
    return Attempt(
        id=attempt_id(instance_id, 1),
        instance_id=instance_id,
        number=1,
        machine_name=f"past-nvtest{instance_id[5:]}01",
        offer=builders.offer(),
        correlation_id="corr_past",
        sent_at=at,
        outcome=AttemptOutcome.ACCEPTED,
        resolved_at=at + 1.0,
    )


def _event(instance_id: InstanceId, number: int, sequence: int, deleted: float) -> Append:
    return records.append_event(
        Event(
            id=f"evt_{number:020d}{sequence:06d}",
            sequence=sequence + 1,
            type=TOLD[sequence],
            instance_id=instance_id,
            machine_id=None,
            at=deleted - 3600.0 * (len(TOLD) - 1 - sequence),
            actor="user:key_1",
            reason="",
            before=None,
            after=None,
            correlation_id="corr_past",
            elapsed_ms=0,
            data={"name": f"past-{number}"},
        )
    )
