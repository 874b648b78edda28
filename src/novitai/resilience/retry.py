"""How long to pause before trying again: our own growing pause with full jitter, and the peer's word (`Retry-After`).

Pure: the jitter is a number passed in, and so is the time. Whether a retry is worth it is decided by the caller and its
budget.
"""

import math
import re
from datetime import UTC
from email.utils import parsedate_to_datetime

# 2**64 seconds is beyond any cap; without the bound a long-lived counter would overflow a float.
_MAX_DOUBLINGS = 64
_SECONDS = re.compile(r"[+-]?\d{1,400}(\.\d{1,20})?", re.ASCII)


def delay(attempt: int, *, base: float, cap: float, random01: float) -> float:
    """Seconds to pause after failed attempt number `attempt` (from 1): evenly spread in [0, min(cap, base *
    2^(attempt-1))).

    Full jitter spreads those who failed together over the whole pause. `random01` is in [0, 1).
    """
    doublings = min(max(attempt - 1, 0), _MAX_DOUBLINGS)
    return random01 * min(cap, base * 2.0**doublings)


def parse_retry_after(value: str | None, *, now: float, cap: float) -> float | None:
    """Seconds to wait by a `Retry-After` header (RFC 9110 10.2.3), between 0 and `cap`; None when absent or nonsense.

    Takes seconds (a fraction too, which some servers send) and the three HTTP date forms; what lies in the past, or is
    negative, is 0.
    """
    text = (value or "").strip()
    seconds = float(text) if _SECONDS.fullmatch(text) else _seconds_until(text, now)
    return None if seconds is None else min(max(seconds, 0.0), cap)


def _seconds_until(date: str, now: float) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return at - now if math.isfinite(at) else None
