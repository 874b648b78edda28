"""A key that was revoked goes on working: the check of a key looks at its secret and forgets to ask whether it still holds.

Caches of keys that nobody clears behave so. It stands in for `ApiKey.valid`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from novitai.domain.keys import ApiKey

BUG = "a revoked key that still opens"


@contextmanager
def planted() -> Iterator[None]:
    """Programs that run meanwhile have the bug."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ApiKey, "valid", lambda _self, _now: True)
        yield
