"""A moment by which something must be over; handed down instead of a time-out, so nested waits share one budget."""

from typing import Self

import msgspec


class Deadline(msgspec.Struct, frozen=True):
    """`at` is in seconds of the same clock as every `now` given to it."""

    at: float

    @classmethod
    def after(cls, seconds: float, now: float) -> Self:
        """The deadline that many seconds from now; already expired for 0 or less."""
        return cls(now + seconds)

    def remaining(self, now: float) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - now)

    def expired(self, now: float) -> bool:
        """True from the moment itself on."""
        return now >= self.at
