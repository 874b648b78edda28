"""A route beside the rules: added to the application the way FastAPI's own documentation does it, so that no rule is asked.

The door still wants a key of some kind; which one, nobody looks. It stands in for `build_inner`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi import FastAPI

from novitai.api import app as api_app
from novitai.api.parts import ApiParts

BUG = "a route without a rule"
_real = api_app.build_inner


def _build_inner(parts: ApiParts) -> FastAPI:
    app = _real(parts)
    app.add_api_route("/api/everything", lambda: "everything", methods=["DELETE"])
    return app


@contextmanager
def planted() -> Iterator[None]:
    """Programs that run meanwhile have the bug."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api_app, "build_inner", _build_inner)
        yield
