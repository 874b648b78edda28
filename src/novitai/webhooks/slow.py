"""One bad receiver hurts only itself: whether an endpoint may be attempted now, by how it did last.

- *prompt*: its last attempt ended before its time was over, with any status or none (what matters is that it does not
  make us wait). It uses the lane's places, `AT_ONCE` at most, and an attempt that has waited for `PATIENCE` seconds
  steps aside: a receiver that goes bad takes places from others for that long and no longer.
- *doubtful*: never attempted here; or an attempt that stepped aside is without an answer, and so are all begun after
  it. Two attempts at once, aside from the start: at first contact nobody can tell who will hang.
- *timed out*: so ended its last attempt. Two attempts at once, all such endpoints together in `SLOW_PLACES` of the
  lane's places.

Who finds no room comes again later, which counts as no attempt. So at most the lane's places and `ASIDE` connections
are open at once. "Last" means begun last: one stuck attempt says nothing against an endpoint that answered a later one.
All this is the memory of one process; losing it costs one first contact each.
"""

import itertools
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Self

SLOW_PLACES = 16
ASIDE = 256
AT_ONCE = 64
AT_ONCE_UNLESS_PROMPT = 2
PATIENCE = 0.5
SHORTEST_TURN_SECONDS = 0.1
LONGEST_TURN_SECONDS = 60.0
MOST_REMEMBERED = 10_000
_SPREAD_SECONDS = 0.02


class Standing(Enum):
    """How an endpoint did last; see the module's text."""

    PROMPT = "prompt"
    DOUBTFUL = "doubtful"
    TIMED_OUT = "timed out"


@dataclass
class Endpoint:
    """What is remembered of one. `begun`: when its attempts under way began, by number. `answered`: no attempt up to
    this number is evidence against it.
    """

    standing: Standing = Standing.DOUBTFUL
    answered: int = 0
    begun: dict[int, float] = field(default_factory=dict)
    last_turn: float = 0.0

    @property
    def is_full(self) -> bool:
        """As many attempts under way as it may have at once."""
        return len(self.begun) >= (AT_ONCE if self.standing is Standing.PROMPT else AT_ONCE_UNLESS_PROMPT)


@dataclass
class Room:
    """What all endpoints share. `slow`, `aside`: how many attempts under way hold a slow one's place, and none."""

    slow_places: int = SLOW_PLACES
    most_aside: int = ASIDE
    slow: int = 0
    aside: int = 0

    def admits(self, endpoint: Endpoint) -> bool:
        """Whether an attempt of it finds room."""
        match endpoint.standing:
            case Standing.PROMPT:
                return True
            case Standing.DOUBTFUL:
                return self.aside < self.most_aside
            case Standing.TIMED_OUT:
                return self.slow < self.slow_places


class Place:
    """Leave to make one attempt; a context manager that gives it back.

    `aside`: it holds none of the lane's places. `slow`: it holds one of those that the slow ones share, to its end.
    """

    def __init__(self, room: Room, endpoint: Endpoint, number: int) -> None:
        self.aside = endpoint.standing is Standing.DOUBTFUL
        self.slow = endpoint.standing is Standing.TIMED_OUT
        self._room = room
        self._endpoint = endpoint
        self._number = number

    def __enter__(self) -> Self:
        self._room.slow += self.slow
        self._room.aside += self.aside
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._room.slow -= self.slow
        self._room.aside -= self.aside
        del self._endpoint.begun[self._number]

    def step_aside(self) -> bool:
        """Give the lane's place back and go on. False while there is no room to, and always for a slow one."""
        if self.slow or self.aside or self._room.aside >= self._room.most_aside:
            return False
        self.aside = True
        self._room.aside += 1
        if self._number > self._endpoint.answered and self._endpoint.standing is Standing.PROMPT:
            self._endpoint.standing = Standing.DOUBTFUL
        return True

    def ended(self, *, timed_out: bool) -> None:
        """How the attempt ended: the endpoint's next one is judged by it."""
        endpoint = self._endpoint
        if not timed_out:
            endpoint.standing = Standing.PROMPT
            endpoint.answered = max(endpoint.begun)
            endpoint.last_turn = 0.0
        elif self._number > endpoint.answered:
            endpoint.standing = Standing.TIMED_OUT


class Endpoints:
    """All endpoints that this process has met lately."""

    def __init__(self, *, slow_places: int = SLOW_PLACES, most_aside: int = ASIDE) -> None:
        self.room = Room(slow_places=slow_places, most_aside=most_aside)
        self._numbers = itertools.count(1)
        self._known: dict[str, Endpoint] = {}
        self._slow_queue = _Queue(slow_places)
        self._aside_queue = _Queue(most_aside)

    def __len__(self) -> int:
        return len(self._known)

    def enter(self, url: str, now: float) -> Place | None:
        """A place for an attempt that begins now, or None while there is no room for this endpoint."""
        endpoint = self._meet(url)
        if endpoint.is_full or not self.room.admits(endpoint):
            return None
        number = next(self._numbers)
        endpoint.begun[number] = now
        return Place(self.room, endpoint, number)

    def turn(self, url: str, now: float, *, seconds: float) -> float:
        """When one who found no room may come again, if an attempt takes at most `seconds`.

        Those who wait for a shared place queue at the pace at which these come free; those who wait for the endpoint
        itself come when its oldest attempt is twice as old as now.
        """
        endpoint = self._meet(url)
        if endpoint.standing is Standing.TIMED_OUT:
            return self._slow_queue.turn(now, seconds=seconds)
        if not endpoint.is_full:
            return self._aside_queue.turn(now, seconds=seconds)
        soonest = now + max(SHORTEST_TURN_SECONDS, now - min(endpoint.begun.values()))
        endpoint.last_turn = min(max(soonest, endpoint.last_turn + _SPREAD_SECONDS), now + LONGEST_TURN_SECONDS)
        return endpoint.last_turn

    def standing(self, url: str) -> Standing:
        """How an endpoint did last."""
        return self._known.get(url, Endpoint()).standing

    def _meet(self, url: str) -> Endpoint:
        endpoint = self._known.pop(url, None) or Endpoint()
        self._known[url] = endpoint
        if len(self._known) > MOST_REMEMBERED:
            # Those under way are few, and must not be forgotten: they count against their endpoint.
            del self._known[next(known for known, one in self._known.items() if not one.begun)]
        return endpoint


class _Queue:
    """Turns at the pace at which `places` come free if every attempt takes as long as it may, so that those who wait do
    not crowd out those who could be served.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._last = 0.0

    def turn(self, now: float, *, seconds: float) -> float:
        self._last = min(max(now, self._last) + seconds / self._places, now + LONGEST_TURN_SECONDS)
        return self._last
