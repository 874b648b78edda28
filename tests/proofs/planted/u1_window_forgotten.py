"""A limiter that begins anew with each process: the window is kept in memory alone, as if a restart made Novita forget."""

from pathlib import Path

from novitai.coordination.local import LocalCoordination
from novitai.ports.world import Clock


def coordination(clock: Clock, limits: dict[str, int], _folder: Path) -> LocalCoordination:
    """In place of the one that keeps its window in the data directory."""
    return LocalCoordination(clock=clock, limits=limits)
