"""Any marker will do: an extra machine is recognised by the instance in its name alone, whichever installation asked for it.

Two installations that share an account, one restored from the other's backup, then delete each other's machines. It stands in for
`marker_of`, where the observer and the policy read a name.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from novitai.domain.ids import Marker, marker_of
from novitai.policies import strays
from novitai.reconcilers.observer import sightings

BUG = "a marker of another installation taken for ours"
OURS = "test"


def _marker_of(machine_name: str) -> Marker | None:
    marker = marker_of(machine_name)
    return msgspec.structs.replace(marker, installation=OURS) if marker is not None else None


@contextmanager
def planted() -> Iterator[None]:
    """Programs that run meanwhile have the bug."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sightings, "marker_of", _marker_of)
        patch.setattr(strays, "marker_of", _marker_of)
        yield
