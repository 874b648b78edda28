"""A measurement that is missing counts as idle: the signal is taken to be at rest for as long as nothing says otherwise.

Who writes `value or 0` writes this. It stands in for `trace`, as the rule of the idle stop calls it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from novitai.domain.idle import SignalName
from novitai.domain.metrics import Sample
from novitai.policies import idle
from novitai.policies.usage import Reading, Trace, trace

BUG = "missing measurements that count as idle"


def _trace(reading: Reading, signal: SignalName, *, since: float) -> Trace:
    found = trace(reading, signal, since=since)
    if not found.missing:
        return found
    return Trace(newest=Sample(reading.at, 0.0), used_until=None, missing=False)


@contextmanager
def planted() -> Iterator[None]:
    """What is judged meanwhile has the bug."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(idle, "trace", _trace)
        yield
