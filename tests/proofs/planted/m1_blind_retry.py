"""A blind retry of create: an unclear answer is taken for a refusal, so the call is sent again at once.

This is what most clients do with a time-out or a 502. It stands in for `Buying._failed`, which keeps the attempt open and looks first.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from novitai.domain.errors import ProviderFailure, TryLater, Unclear
from novitai.domain.instance import Attempt, Instance
from novitai.reconcilers.lifecycle.buying import Buying

BUG = "a blind retry of create"
_real = Buying._failed


async def _failed(self: Buying, instance: Instance, attempt: Attempt, failure: ProviderFailure) -> None:
    taken = TryLater(failure.message, retry_after=1.0) if isinstance(failure, Unclear) else failure
    await _real(self, instance, attempt, taken)


@contextmanager
def planted() -> Iterator[None]:
    """Programs that run meanwhile have the bug."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Buying, "_failed", _failed)
        yield
