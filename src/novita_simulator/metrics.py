"""GPU and CPU use of a machine, as its load was scripted.

A script is a list of moments from which a load holds. Asked for a window, it gives one point per interval, none of them younger
than the lag and none from a time at which the machine did not run (novita-wire.md 3.16).
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_WINDOW, DEFAULT_INTERVAL = 60, 15
_MOST_POINTS = 5_000


@dataclass(frozen=True, kw_only=True)
class Load:
    """Percentages. `running` is false from the moment the machine stops."""

    gpu: float = 0
    gpu_memory: float = 0
    cpu: float = 3
    memory: float = 12
    disk: float = 8
    running: bool = True


class LoadScript:
    def __init__(self) -> None:
        self._since: list[float] = []
        self._loads: list[Load] = []
        self.planned = Load()

    def set(self, load: Load, now: float) -> None:
        """The load from now on; while the machine is stopped, from its next start on."""
        self.planned = load
        if self._loads and self._loads[-1].running:
            self._append(load, now)

    def start(self, now: float) -> None:
        self._append(self.planned, now)

    def stop(self, now: float) -> None:
        if self._loads:
            self._append(Load(running=False), now)

    def at(self, moment: float) -> Load | None:
        index = bisect_right(self._since, moment) - 1
        load = self._loads[index] if index >= 0 else None
        return load if load and load.running else None

    def _append(self, load: Load, now: float) -> None:
        self._since.append(now)
        self._loads.append(load)


@dataclass(frozen=True, kw_only=True)
class Window:
    start: int
    end: int
    interval: int = DEFAULT_INTERVAL

    def moments(self) -> range:
        return range(self.start, self.end + 1, self.interval)


@dataclass(frozen=True)
class Point:
    at: int
    load: Load


def window_of(query: Mapping[str, str], now: float) -> Window:
    """The window asked for; values that make no sense fall back to the defaults, as Novita's do."""
    end = _number(query.get("endTime"), int(now))
    start = min(_number(query.get("startTime"), end - DEFAULT_WINDOW), end - DEFAULT_WINDOW)
    interval = _number(query.get("interval"), DEFAULT_INTERVAL)
    if (end - start) // interval > _MOST_POINTS:
        interval = (end - start) // _MOST_POINTS
    return Window(start=start, end=end, interval=interval)


def series(script: LoadScript, window: Window, *, newest: float) -> list[Point]:
    """The points of a window up to the newest one that is known already."""
    points = ((moment, script.at(moment)) for moment in window.moments() if moment <= newest)
    return [Point(moment, load) for moment, load in points if load]


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() and int(text) > 0 else default
