"""The list is believed: a machine that a whole list does not show is taken for absent, and never read singly.

It stands in for the doubt that `Sightings` makes of an absence, which only a single read can settle.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from novitai.operations.ledger import Snapshot
from novitai.reconcilers.observer.sightings import Doubt, Sightings

BUG = "a list that does not show a machine is believed"


def _doubt_absence(self: Sightings, snapshot: Snapshot) -> Doubt:
    machine = snapshot.instance.machine
    assert machine is not None

    async def settle() -> bool:
        at = self._clock.now()
        await self._ledger.apply(snapshot.instance.id, lambda now: self._missing(now, machine.id, at=at))
        return False

    return Doubt(machine.id, settle, absent=True)


@contextmanager
def planted() -> Iterator[None]:
    """Programs that run meanwhile have the bug."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sightings, "_doubt_absence", _doubt_absence)
        yield
