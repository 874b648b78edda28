"""When failing work is tried again. Hours and days are stored as due times; retries within one call live in
`resilience`.
"""

from collections.abc import Sequence


def requeue_delay(attempts: int, *, random: float, base: float = 1.0, cap: float = 60.0) -> float:
    """Seconds until an instance's next try after `attempts` tries in a row that got nowhere: doubling, spread over
    the upper half.
    """
    ceiling = min(cap, base * 2.0 ** min(max(attempts - 1, 0), 16))
    return ceiling * (0.5 + 0.5 * random)


def delivery_delay(
    schedule: Sequence[float], failures: int, *, random: float, retry_after: float | None
) -> float | None:
    """Seconds until the next attempt of a delivery after `failures` failed ones, or None when the schedule has ended.

    Each step is spread by ±20 %. A receiver's `Retry-After` is obeyed up to an hour when it asks for longer than the
    schedule.
    """
    if failures > len(schedule):
        return None
    delay = schedule[failures - 1] * (0.8 + 0.4 * random)
    return max(delay, min(retry_after, 3600.0)) if retry_after is not None else delay


COOLDOWN_SECONDS = 180.0
_LONGEST_COOLDOWN = 1800.0


def offer_cooldown(refusals: int) -> float:
    """How long an offer is skipped that answered "no capacity" `refusals` times in a row: 3 minutes, doubling up to
    30.
    """
    return min(_LONGEST_COOLDOWN, COOLDOWN_SECONDS * 2.0 ** min(max(refusals - 1, 0), 8))
