"""One absence is enough: a machine that is not found once counts as gone.

Lists lag and single reads err, so one "not found" proves nothing. It stands in for `observed.missing`, which wants two pieces of evidence that lie
apart in time.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from novitai.domain.change import Change
from novitai.domain.instance import Instance
from novitai.policies import observed

BUG = "one absence is enough"
_real = observed.missing


def _missing(instance: Instance, *, at: float) -> Change:
    machine = instance.machine
    if machine is None or machine.missing:
        return _real(instance, at=at)
    earlier = msgspec.structs.replace(machine, missing=(at - observed.EVIDENCE_APART_SECONDS,))
    return _real(msgspec.structs.replace(instance, machine=earlier), at=at)


@contextmanager
def planted() -> Iterator[None]:
    """Programs that run meanwhile have the bug."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(observed, "missing", _missing)
        yield
