"""The job is believed alone: what Novita's list of jobs calls failed is replaced without looking at the machine.

What we hold of a machine may be as old as the list that showed it, and by now it may run. It stands in for
`failed_migrations.still_migrating`, the second piece of evidence.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from novitai.policies import failed_migrations

BUG = "a failed job is believed without a single read"


@contextmanager
def planted() -> Iterator[None]:
    """Programs that run meanwhile have the bug."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failed_migrations, "still_migrating", lambda _machine: None)
        yield
