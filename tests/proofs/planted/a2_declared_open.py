"""A route that opens itself: the keys of the API are listed by a route that was declared to need no key.

One wrong word in a declaration, as it would slip through a review. It stands in for the rule of `GET /api/keys`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from novitai.api.routes import every
from novitai.api.routing import GuardedRoute

BUG = "a route declared to need no key"


@contextmanager
def planted() -> Iterator[None]:
    """Programs that run meanwhile have the bug."""
    with pytest.MonkeyPatch.context() as patch:
        for route in every(production=False, metrics_public=False):
            if route.path == "/api/keys" and "GET" in (route.methods or ()):
                assert isinstance(route, GuardedRoute)
                patch.setattr(route, "rule", replace(route.rule, scope=None))
        yield
