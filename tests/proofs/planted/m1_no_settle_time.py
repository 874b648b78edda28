"""The settle time is not waited for: the first whole list without the machine counts as proof that there is none.

Lists lag, so such a list proves nothing yet. It stands in for the settle time that `Sightings` is made with.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from novitai.reconcilers.observer.sightings import Sightings

BUG = "a list that is believed before the settle time"
_real = Sightings.__init__


def _init(self: Sightings, **parts: Any) -> None:
    _real(self, **{**parts, "settle_time": 0.0})


@contextmanager
def planted() -> Iterator[None]:
    """Programs that run meanwhile have the bug."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sightings, "__init__", _init)
        yield
