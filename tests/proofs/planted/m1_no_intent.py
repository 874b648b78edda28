"""No durable intent: the create is sent without a word in the store, which hears of it from the answer alone.

A process that ends between call and answer then knows of nothing that it could look for. It stands in for `Run.intent`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from novitai.reconcilers.lifecycle.run import Run

BUG = "no durable intent before the call"


def _intent(self: Run, snapshot: object, change: object, put: object, *, decision: object = None) -> Callable[[], Any]:
    async def before_send() -> None:
        return None

    return before_send


@contextmanager
def planted() -> Iterator[None]:
    """Programs that run meanwhile have the bug."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "intent", _intent)
        yield
