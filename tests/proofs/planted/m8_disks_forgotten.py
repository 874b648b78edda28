"""The disk of a machine that stands is forgotten: its charge ends with that of the GPU.

Who takes "stopped" for "costs nothing" writes this. It stands in for the meter's own reading of a machine that does not run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from novitai.policies import costs

BUG = "disks of stopped machines that are forgotten"


@contextmanager
def planted() -> Iterator[None]:
    """What is judged meanwhile has the bug."""
    keeper = costs._Keeper
    stands = keeper._stands

    def forgetful(self: Any, reading: costs.Reading) -> None:
        stands(self, reading)
        self.end(reading.machine, at=reading.stopped_at or reading.since)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeper, "_stands", forgetful)
        yield
