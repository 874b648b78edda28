"""Any failure will do: a machine that migrates, and of which Novita lists a failed migration, counts as hanging, whenever that was.

Lists lag, so the job of the present move may not be there yet while that of an earlier one is. It stands in for
`failed_migrations.began_after`, which says before when a job cannot be of this move.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from novitai.policies import failed_migrations

BUG = "a failure of an earlier migration counts"


@contextmanager
def planted() -> Iterator[None]:
    """Programs that run meanwhile have the bug."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failed_migrations, "began_after", lambda _instance: 1.0)
        yield
