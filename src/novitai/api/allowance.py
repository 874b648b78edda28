"""How much a key may still ask in the present window, and the headers that say so."""

from dataclasses import dataclass
from math import ceil

from novitai.domain.keys import Actor
from novitai.ports.world import Clock

MINUTE = 60.0


@dataclass(slots=True)
class _Window:
    ends: float
    used: int = 0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left: `reset` in whole seconds until the window ends; `exceeded`: this request is one too many."""

    limit: int
    remaining: int
    reset: int
    exceeded: bool

    def headers(self) -> list[tuple[bytes, bytes]]:
        """`RateLimit-*` of an answer."""
        return [
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % self.remaining),
            (b"ratelimit-reset", b"%d" % self.reset),
        ]


class Allowances:
    """Windows by key, each beginning with a request; there are never more of them than keys."""

    def __init__(self, *, clock: Clock, window_seconds: float, most_requests: int) -> None:
        self._clock = clock
        self._seconds = window_seconds
        self._most = most_requests
        self._windows: dict[str, _Window] = {}

    def take(self, actor: Actor) -> Allowance | None:
        """Count a request; None when this key has no limit. A key's own limit (a minute's) replaces the general one."""
        own = actor.limits.requests_per_minute
        limit, seconds = (own, MINUTE) if own is not None else (self._most, self._seconds)
        if own is None and limit == 0:
            return None
        now = self._clock.now()
        window = self._windows.get(actor.owner)
        if window is None or not window.ends - seconds <= now < window.ends:
            window = self._windows[actor.owner] = _Window(ends=now + seconds)
        exceeded = window.used >= limit
        window.used += not exceeded
        return Allowance(
            limit=limit, remaining=limit - window.used, reset=max(1, ceil(window.ends - now)), exceeded=exceeded
        )
