"""Who asks: the bearer key of a request, and the patience with wrong ones.

A wrong key is a guess the first time it is seen from an address; ten guesses a minute are answered 401, more are answered 429. The same
wrong key again (a client that was not told of a revocation) is no new guess, but all failures of an address together share the limit of
one key. Whoever has a whole IPv6 network has 2^64 addresses, so these count by network.

While an address is answered 429, keys from it that could be guessed are not looked at, be they right or wrong: a guess must not be worth
more than its answer. A long key cannot be guessed, so it always passes, and nobody can lock out others behind the same address.
"""

import hashlib
import ipaddress
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
BEYOND_GUESSING = 32
"""Characters from which on a key is no matter of trying. Those that we make have 60 and more; one in the settings may have 16."""
IPV6_NETWORK = 64

MISSING = "send your key as 'Authorization: Bearer <key>'"
WRONG = "the key is unknown, expired or revoked"
SLOW_DOWN = "too many failed logins from this address"


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

    def admit(self, headers: Sequence[bytes], *, address: str) -> tuple[Actor, str]:
        """The caller and the key as sent. Raises Refusal UNAUTHORIZED, or RATE_LIMIT_EXCEEDED after too many failures."""
        text = bearer(headers)
        actor = self._keys.actor(text) if text is not None else None
        who = network_of(address)
        if actor is not None and text is not None:
            if len(text) < BEYOND_GUESSING and self._out_of_patience(who):
                raise self._slow_down(who)
            return actor, text
        self._count(who, text)
        if self._out_of_patience(who):
            raise self._slow_down(who)
        raise Refusal(Code.UNAUTHORIZED, WRONG if headers else MISSING)

    def recognise(self, headers: Sequence[bytes], *, address: str) -> Actor | None:
        """The caller where no key is needed; a wrong key is as good as none, and counts as a guess all the same."""
        if not headers:
            return None
        try:
            return self.admit(headers, address=address)[0]
        except Refusal:
            return None

    def _count(self, who: str, text: str | None) -> None:
        failures = self._current(who)
        if failures is None:
            failures = self._failures[who] = _Failures(since=self._clock.now())
            while len(self._failures) > REMEMBERED_ADDRESSES:
                self._failures.popitem(last=False)
        self._failures.move_to_end(who)
        failures.total += 1
        if text is not None and len(failures.guesses) <= GUESSES:
            failures.guesses.add(hashlib.sha256(text.encode("utf-8", "replace")).digest())

    def _current(self, who: str) -> _Failures | None:
        """The failures of the present window."""
        now, failures = self._clock.now(), self._failures.get(who)
        return failures if failures is not None and now - WINDOW_SECONDS < failures.since <= now else None

    def _out_of_patience(self, who: str) -> bool:
        failures = self._current(who)
        if failures is None:
            return False
        return len(failures.guesses) > GUESSES or bool(self._most and failures.total > self._most)

    def _slow_down(self, who: str) -> Refusal:
        wait = self._failures[who].since + WINDOW_SECONDS - self._clock.now()
        return Refusal(Code.RATE_LIMIT_EXCEEDED, SLOW_DOWN, retry_after=wait)


def network_of(address: str) -> str:
    """What failures are counted by: an address of IPv4, the network of one of IPv6."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if found.version == 4 else str(ipaddress.ip_network((int(found), IPV6_NETWORK), strict=False))


def bearer(headers: Sequence[bytes]) -> str | None:
    """The key in the one `Authorization` header; None when there is none, several, or one of another form."""
    if len(headers) != 1 or len(headers[0]) > LONGEST_KEY:
        return None
    scheme, _, text = headers[0].decode("latin-1").strip().partition(" ")
    text = text.strip()
    return text if scheme.lower() == "bearer" and text and " " not in text else None
