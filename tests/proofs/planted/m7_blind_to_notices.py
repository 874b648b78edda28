"""Only a machine that is down makes anything happen: its notice is told of, and not acted on.

Who waits for the deadline writes this. It stands in for `_cause`, by which the migration rule knows why an instance should move.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from novitai.domain.instance import Instance
from novitai.domain.migration import Cause
from novitai.policies import migration

BUG = "replacing only once the machine is gone"
_real = migration._cause


def _cause(instance: Instance) -> Cause | None:
    cause = _real(instance)
    return None if cause is Cause.NOTICE else cause


@contextmanager
def planted() -> Iterator[None]:
    """Programs that run meanwhile have the bug."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migration, "_cause", _cause)
        yield
