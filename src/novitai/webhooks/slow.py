"""One bad receiver hurts only itself: endpoints whose last attempt timed out share a few places, all others share
the rest.
"""

from types import TracebackType
from typing import Self

SLOW_PLACES = 16
MOST_REMEMBERED = 10_000
LONGEST_TURN_SECONDS = 60.0


class Place:
    """Leave to make one attempt; a context manager that gives it back."""

    def __init__(self, owner: "SlowEndpoints", url: str, *, slow: bool) -> None:
        self._owner = owner
        self._url = url
        self._slow = slow

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._slow:
            self._owner.in_use -= 1

    def ended(self, *, timed_out: bool) -> None:
        """How the attempt ended: the endpoint's next one is judged by it."""
        self._owner.note(self._url, timed_out=timed_out)


class SlowEndpoints:
    """Which endpoints timed out last, and how many attempts to such ones are under way."""

    def __init__(self, places: int = SLOW_PLACES) -> None:
        self._places = places
        self._urls: dict[str, None] = {}
        self._last_turn = 0.0
        self.in_use = 0

    def enter(self, url: str) -> Place | None:
        """A place for an attempt, or None while the slow ones' places are all taken."""
        slow = url in self._urls
        if slow and self.in_use >= self._places:
            return None
        if slow:
            self.in_use += 1
        return Place(self, url, slow=slow)

    def turn(self, now: float, *, seconds: float) -> float:
        """When one who found no place may come again: they are spread at the pace at which places come free if every
        attempt takes `seconds`, so that those who wait do not crowd out those who could be served.
        """
        self._last_turn = min(max(now, self._last_turn) + seconds / self._places, now + LONGEST_TURN_SECONDS)
        return self._last_turn

    def note(self, url: str, *, timed_out: bool) -> None:
        """Remember or forgive an endpoint."""
        if not timed_out:
            self._urls.pop(url, None)
            return
        self._urls[url] = None
        while len(self._urls) > MOST_REMEMBERED:
            del self._urls[next(iter(self._urls))]
