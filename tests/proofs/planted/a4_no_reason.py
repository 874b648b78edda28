"""What is concluded from a reading or an answer is committed without its reason: whoever asks later why is told nothing.

It stands in for `explained` where the ledger applies facts, and takes every change for one that somebody asked for.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from novitai.domain.change import Change
from novitai.domain.instance import Instance
from novitai.operations import ledger

BUG = "what is concluded is written down without its reason"


def _explained(_before: Instance, change: Change) -> Change:
    return change


@contextmanager
def planted() -> Iterator[None]:
    """Programs that run meanwhile have the bug."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "explained", _explained)
        yield
