"""What is due when: a heap of moments with something to do at each.

The world moves from one entry to the next and never looks at machines that have nothing due, so thousands of them cost
nothing while they are quiet.
"""

import heapq
import itertools
from collections.abc import Callable

Due = Callable[[float], None]  # called with the moment it was due, not the moment it was noticed


class Agenda:
    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Due]] = []
        self._order = itertools.count()

    def add(self, at: float, due: Due) -> None:
        heapq.heappush(self._heap, (at, next(self._order), due))

    def next_at(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def run_until(self, now: float) -> None:
        """Do everything due by now, in order of time; entries added on the way are done too when they are due."""
        while self._heap and self._heap[0][0] <= now:
            at, _, due = heapq.heappop(self._heap)
            due(at)
