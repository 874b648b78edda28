"""Random walks of a machine beside its model, and the shortest way to where they part.

A `Side` plays one step on both and raises when they differ. Steps are values, drawn without looking at the machine, so a way can be walked again:
after a difference it is shortened until nothing can be left out, and what remains is what a reader is shown.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

Step = tuple[str, dict[str, Any]]


class Side(Protocol):
    """A machine and its model, side by side. Steps are methods; each raises AssertionError when the two differ after it."""

    def close(self) -> None: ...


@dataclass
class Walk:
    """What was walked, and each difference as the shortest way there."""

    steps: int = 0
    differences: list[str] = field(default_factory=list)


def walk(
    begin: Callable[[], Side], draw: Callable[[random.Random], Step], *, steps: int, seed: int, stretch: int = 100
) -> Walk:
    """So many random steps, beginning anew after each stretch; a difference ends its stretch."""
    chance, walked = random.Random(seed), Walk()
    while walked.steps < steps:
        way = [draw(chance) for _ in range(stretch)]
        parted = _parted(begin, way)
        walked.steps += len(way) if parted is None else parted + 1
        if parted is not None:
            walked.differences.append(_told(begin, _shortest(begin, way[: parted + 1])))
            if len(walked.differences) == 5:
                break
    return walked


def _parted(begin: Callable[[], Side], way: list[Step]) -> int | None:
    """At which step the two differ."""
    side = begin()
    try:
        for number, (name, fields) in enumerate(way):
            try:
                getattr(side, name)(**fields)
            except AssertionError:
                return number
    finally:
        side.close()
    return None


def _shortest(begin: Callable[[], Side], way: list[Step]) -> list[Step]:
    """Leave out whatever can be left out, larger pieces first."""
    piece = len(way) // 2
    while piece:
        at = 0
        while at < len(way):
            shorter = way[:at] + way[at + piece :]
            if shorter and _parted(begin, shorter) is not None:
                way = shorter
            else:
                at += piece
        piece //= 2
    return way


def _told(begin: Callable[[], Side], way: list[Step]) -> str:
    side, why = begin(), ""
    try:
        for name, fields in way:
            getattr(side, name)(**fields)
    except AssertionError as error:
        why = str(error).splitlines()[0] if str(error) else "they differ"
    finally:
        side.close()
    return (
        " → ".join(f"{name}({', '.join(f'{k}={v!r}' for k, v in fields.items())})" for name, fields in way) + f": {why}"
    )
