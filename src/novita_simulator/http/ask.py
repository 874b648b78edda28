"""A request, as the routes see it: parsed, at a moment, and without any transport.

Routes are plain functions from an `Ask` to a JSON value (`EMPTY` for no body at all, `NO_CONTENT` for a status that says so), so they
can be read as a table.
"""

from collections.abc import Callable
from dataclasses import dataclass

from novita_simulator.fields import Fields
from novita_simulator.stage import Stage
from novita_simulator.world import World


@dataclass(frozen=True)
class Empty:
    """An answer that has no body."""

    status: int


EMPTY = Empty(200)
NO_CONTENT = Empty(204)


@dataclass(frozen=True, kw_only=True)
class Ask:
    stage: Stage
    now: float
    query: Fields
    body: Fields
    origin: str  # scheme and host by which the caller reached us

    @property
    def world(self) -> World:
        return self.stage.world


Route = Callable[[Ask], object]
Routes = tuple[tuple[str, str, Route], ...]  # method, path, route
