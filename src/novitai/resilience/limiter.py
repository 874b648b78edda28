"""A sliding-window limiter with shares: never more than `limit` calls in any window, as the receiver counts them.

A slot is held from admission until one window after the call ended (or was given up). The receiver saw the call
somewhere in between, so whatever the network does with it, no window of the receiver's clock holds more than `limit`. A
slot stamped at sending would let jitter put 120 calls into one window.

Three shares have a guaranteed part; what a share leaves unused is lent to the others. Kept free for a share is what it
will probably want: all of its part while it waits, else twice what it used lately and a float that lets it begin at
once. Pure: time is passed in; waiting is `waiting`'s business, keeping the stamps over a restart is
`coordination`'s.
"""

import math
from collections import deque
from collections.abc import Iterable
from enum import StrEnum
from itertools import islice

import msgspec


class Share(StrEnum):
    """For whom a call is made, in order of priority."""

    ACT = "act"  # start, stop, delete, a waiting person
    OBSERVE = "observe"  # the list poll and what is read because of it
    BULK = "bulk"  # the backlog of creates, catalogue, metrics, bills


GUARANTEED_PER_HUNDRED = {Share.ACT: 30, Share.OBSERVE: 30, Share.BULK: 20}
# A quiet share keeps this part of its guarantee free, so its first calls need not wait for others to leave.
FLOAT_PART = 6
# For this part of a window after the time it was told to wait until, a share still counts as waiting: it comes back at
# that moment at the earliest, and whoever asks first must not have taken its slot.
GRACE_PART = 12
# How many leaving slots an estimate looks through; a wrong estimate only costs another question.
_HORIZON = 256
_EPSILON = 1e-9


class LimiterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`limit` calls in any `window` seconds. What a process sent before it was killed may reach the receiver as late as
    `longest_call` seconds after it was admitted, and no later: then it would have been given up.
    """

    limit: int = 100
    window: float = 60.0
    longest_call: float = 30.0

    @property
    def pace(self) -> float:
        """Seconds between lent admissions: a burst of them spreads over the window, and so do the slots it frees."""
        return self.window / self.limit

    def guaranteed(self, share: Share) -> int:
        """Calls in a window that nobody can take from this share."""
        return self.limit * GUARANTEED_PER_HUNDRED[share] // 100


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """Leave to make one call; to be settled when the call has ended, or released when it was never sent."""

    id: int
    share: Share


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """No slot now; asking again sooner than in `seconds` is most likely in vain."""

    seconds: float


class Stamp(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One held slot, as it is kept over a restart: `end` is None while the call is under way. Seconds of the passed-in
    clock.
    """

    start: float
    end: float | None
    share: Share


class _Ended(msgspec.Struct, frozen=True):
    end: float
    stamp: Stamp


class Limiter:
    """One window. Give it one clock; small steps back are survived (held slots then count as ended now)."""

    def __init__(self, settings: LimiterSettings) -> None:
        self.settings = settings
        self._guaranteed = {share: settings.guaranteed(share) for share in Share}
        self._open: dict[int, Stamp] = {}
        self._ended: deque[_Ended] = deque()
        self._used = dict.fromkeys(Share, 0)
        self._waits_until = dict.fromkeys(Share, -math.inf)
        self._lent_at = -math.inf
        self._now = -math.inf
        self._last_id = 0

    def admit(self, share: Share, now: float) -> Slot | Wait:
        """A slot for one call of this share, or how long to wait."""
        self._advance(now)
        if not self._fits(share, self._used, now):
            pause = self._until_fit(share, now)
            # Whoever was told to wait is waiting until then, and what is theirs is not lent meanwhile.
            self._waits_until[share] = now + pause
            return Wait(seconds=pause)
        if self._used[share] >= self._guaranteed[share] and share is not Share.ACT:
            pause = self._lent_at + self.settings.pace - now
            if pause > _EPSILON:
                return Wait(seconds=pause)
            self._lent_at = now
        return self._take(share, now)

    def settle(self, slot_id: int, now: float) -> None:
        """The call has ended or was given up: its slot is free one window later. Unknown ids are ignored."""
        self._advance(now)
        stamp = self._open.pop(slot_id, None)
        if stamp is not None:
            self._note_end(_Ended(now, stamp))

    def release(self, slot_id: int) -> None:
        """The call was never sent: its slot is free at once. Unknown ids are ignored."""
        stamp = self._open.pop(slot_id, None)
        if stamp is not None:
            self._used[stamp.share] -= 1

    def used(self, now: float) -> int:
        """Slots held now."""
        return sum(self.used_by_share(now).values())

    def used_by_share(self, now: float) -> dict[Share, int]:
        """Slots held now, by share."""
        self._advance(now)
        return dict(self._used)

    def dump(self, now: float) -> list[Stamp]:
        """The held slots, for `load`. Calls of a dead process that may not have arrived yet are still under way."""
        self._advance(now)
        ended = (msgspec.structs.replace(one.stamp, end=one.end if one.end <= now else None) for one in self._ended)
        return [*ended, *self._open.values()]

    def load(self, stamps: Iterable[Stamp], now: float) -> None:
        """Start from these held slots instead of none. Their process is dead, but what it had sent may still arrive."""
        known = [(self.latest_arrival(stamp, now), stamp) for stamp in stamps]
        self._open = {}
        self._ended = deque(_Ended(end, stamp) for end, stamp in sorted(known, key=lambda pair: pair[0]))
        self._used = dict.fromkeys(Share, 0)
        for _, stamp in known:
            self._used[stamp.share] += 1
        self._advance(now)

    def latest_arrival(self, stamp: Stamp, now: float) -> float:
        """When the receiver has seen the call of a dead process at the latest. A time that a clock set back has put into
        the future is now.
        """
        if stamp.end is not None:
            return min(stamp.end, now)
        return min(max(stamp.start + self.settings.longest_call, now), now + self.settings.longest_call)

    def _note_end(self, ended: _Ended) -> None:
        # In order of their ends: those of a dead process may lie ahead.
        place = len(self._ended)
        while place and self._ended[place - 1].end > ended.end:
            place -= 1
        self._ended.insert(place, ended)

    def _advance(self, now: float) -> None:
        if now < self._now:
            self._step_back(now)
        self._now = now
        while self._ended and self._ended[0].end + self.settings.window <= now:
            self._used[self._ended.popleft().stamp.share] -= 1

    def _step_back(self, now: float) -> None:
        grace = self.settings.longest_call
        self._ended = deque(
            _Ended(min(one.end, now + grace if one.end > self._now else now), one.stamp) for one in self._ended
        )
        self._waits_until = {share: min(at, now) for share, at in self._waits_until.items()}
        self._lent_at = min(self._lent_at, now)

    def _take(self, share: Share, now: float) -> Slot:
        self._last_id += 1
        self._open[self._last_id] = Stamp(start=now, end=None, share=share)
        self._used[share] += 1
        return Slot(id=self._last_id, share=share)

    def _fits(self, share: Share, used: dict[Share, int], at: float) -> bool:
        total = sum(used.values())
        if total >= self.settings.limit:
            return False
        if used[share] < self._guaranteed[share]:
            return True
        kept_free = sum(self._kept_free(other, used[other], at) for other in Share if other is not share)
        return total + kept_free < self.settings.limit

    def _kept_free(self, share: Share, used: int, at: float) -> int:
        guaranteed = self._guaranteed[share]
        if at < self._waits_until[share] + self.settings.window / GRACE_PART:
            return max(0, guaranteed - used)
        wanted = 2 * used + math.ceil(guaranteed / FLOAT_PART)
        return max(0, min(guaranteed, wanted) - used)

    def _until_fit(self, share: Share, now: float) -> float:
        """Seconds until slots that leave, or shares that fall quiet, make room. Calls still under way leave after a
        whole window at best.
        """
        window = self.settings.window
        used = dict(self._used)
        leaving = [(one.end + window, one.stamp.share) for one in islice(self._ended, _HORIZON)]
        grace = window / GRACE_PART
        quiet = [(until + grace, None) for until in self._waits_until.values() if now < until + grace]
        for at, gone in sorted([*leaving, *quiet], key=lambda event: event[0]):
            if gone is not None:
                used[gone] -= 1
            if self._fits(share, used, at):
                return at - now
        return leaving[-1][0] - now if len(leaving) == _HORIZON else window
