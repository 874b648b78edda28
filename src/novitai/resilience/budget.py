"""A retry budget: successes pay for retries, so an outage is not amplified by those who retry into it.

The token bucket of botocore's standard mode: a retry costs five successes. While everything fails, what is in the
bucket buys its retries once and then each request is a single call; while most succeeds, up to one call in five may be
a retry.
"""

import msgspec


class BudgetSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens. The defaults let 10 retries pass in an outage: from 50 requests on, calls / requests stay at or below
    1.2.
    """

    capacity: int = 50
    retry_cost: int = 5
    success_returns: int = 1


class RetryBudget:
    """Starts full. One budget for each peer whose outages must not be amplified."""

    def __init__(self, settings: BudgetSettings) -> None:
        self._settings = settings
        self._tokens = settings.capacity

    @property
    def tokens(self) -> int:
        """What is left, between 0 and the capacity."""
        return self._tokens

    def spend(self) -> bool:
        """Ask before each retry (not before a first try); False means: do not retry."""
        if self._tokens < self._settings.retry_cost:
            return False
        self._tokens -= self._settings.retry_cost
        return True

    def succeeded(self) -> None:
        """Tell of each successful call."""
        self._tokens = min(self._settings.capacity, self._tokens + self._settings.success_returns)
