"""When a failed request is sent again: pure rules, with time and chance handed in.

Reads may always be repeated. Changes carry an Idempotency-Key, so repeating them cannot do them twice, but they are
repeated only when the server was not reached, broke off, or said that it did nothing.
"""

from email.utils import parsedate_to_datetime

import msgspec

from novitai_client._calls import Call


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how long. Pauses are random between zero and a limit that doubles from `base` to `cap` seconds;
    with a `Retry-After` they are as long as it says. Nothing is tried again once `total` seconds would be over.
    """

    attempts: int = 4
    total: float = 20.0
    base: float = 0.25
    cap: float = 4.0

    def pause(self, *, attempt: int, elapsed: float, chance: float, retry_after: float | None = None) -> float | None:
        """Seconds to wait after attempt number `attempt` (from 1), None: give up. `chance` is in [0, 1)."""
        if attempt >= self.attempts:
            return None
        wait = self.backoff(attempt, chance) if retry_after is None else max(0.0, retry_after)
        return wait if elapsed + wait <= self.total else None

    def backoff(self, attempt: int, chance: float) -> float:
        """A random pause after attempt number `attempt` (from 1), in seconds."""
        return chance * min(self.cap, self.base * 2.0 ** min(attempt - 1, 30))


_REPEAT_READ = frozenset({429, 502, 503, 504})
_REPEAT_CHANGE = frozenset({429, 503})


def repeatable(call: Call, *, status: int, code: str | None, attempt: int) -> bool:
    """Whether an error answer may go away by asking again.

    A repeated change can meet its own first attempt still at work (`OPERATION_IN_PROGRESS`); that is waited out.
    """
    if code == "OPERATION_IN_PROGRESS":
        return attempt > 1
    return status in (_REPEAT_READ if call.is_read else _REPEAT_CHANGE)


def retry_after_seconds(retry_after: str | None, *, date: str | None) -> float | None:
    """What a `Retry-After` header says, in seconds; None when it says nothing readable.

    When it names a moment, the answer's own `Date` is what it is counted from: the clocks of two machines differ.
    """
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return float(text)
    try:
        until, now = parsedate_to_datetime(text), parsedate_to_datetime(date or "")
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None
