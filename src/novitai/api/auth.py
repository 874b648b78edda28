"""Who asks: the bearer key of a request, and the patience with wrong ones.

A wrong key is a guess the first time it is seen from an address; ten guesses a minute are answered 401, more are answered 429. The same
wrong key again (a client that was not told of a revocation) is no new guess, but all failures of an address together share the limit of
one key. A right key always passes, so nobody can lock out others behind the same address.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from novitai.domain.errors import Code, Refusal
from novitai.domain.keys import Actor
from novitai.operations.keys import Keys
from novitai.ports.world import Clock

GUESSES = 10
WINDOW_SECONDS = 60.0
REMEMBERED_ADDRESSES = 10_000
LONGEST_KEY = 512

MISSING = "send your key as 'Authorization: Bearer <key>'"
WRONG = "the key is unknown, expired or revoked"


@dataclass(slots=True)
class _Failures:
    since: float
    total: int = 0
    guesses: set[bytes] = field(default_factory=set)


class Doorkeeper:
    """Lets keys in. `most_failures`: failures of one address in a minute before all of them answer 429; 0 for no such limit."""

    def __init__(self, *, keys: Keys, clock: Clock, most_failures: int) -> None:
        self._keys = keys
        self._clock = clock
        self._most = most_failures
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def admit(self, headers: Sequence[bytes], *, client: str) -> tuple[Actor, str]:
        """The caller and the key as sent. Raises Refusal UNAUTHORIZED, or RATE_LIMIT_EXCEEDED after too many failures."""
        text = bearer(headers)
        actor = self._keys.actor(text) if text is not None else None
        if actor is not None and text is not None:
            return actor, text
        self._count(client, text)
        raise Refusal(Code.UNAUTHORIZED, WRONG if headers else MISSING)

    def recognise(self, headers: Sequence[bytes]) -> Actor | None:
        """The caller where no key is needed; a wrong key is as good as none."""
        text = bearer(headers)
        return self._keys.actor(text) if text is not None else None

    def _count(self, client: str, text: str | None) -> None:
        now = self._clock.now()
        failures = self._failures.get(client)
        if failures is None or not now - WINDOW_SECONDS < failures.since <= now:
            failures = self._failures[client] = _Failures(since=now)
            while len(self._failures) > REMEMBERED_ADDRESSES:
                self._failures.popitem(last=False)
        self._failures.move_to_end(client)
        failures.total += 1
        if text is not None and len(failures.guesses) <= GUESSES:
            failures.guesses.add(hashlib.sha256(text.encode("utf-8", "replace")).digest())
        if len(failures.guesses) > GUESSES or (self._most and failures.total > self._most):
            wait = failures.since + WINDOW_SECONDS - now
            raise Refusal(Code.RATE_LIMIT_EXCEEDED, "too many failed logins from this address", retry_after=wait)


def bearer(headers: Sequence[bytes]) -> str | None:
    """The key in the one `Authorization` header; None when there is none, several, or one of another form."""
    if len(headers) != 1 or len(headers[0]) > LONGEST_KEY:
        return None
    scheme, _, text = headers[0].decode("latin-1").strip().partition(" ")
    text = text.strip()
    return text if scheme.lower() == "bearer" and text and " " not in text else None
