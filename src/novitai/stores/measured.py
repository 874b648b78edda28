"""A store that also counts: how commits end and how long they take. Wrapped around the engine by the composition root, so that neither
engines nor their users know of metrics.
"""

import math
import time
from collections.abc import Callable

import structlog

from novitai.ports.store import Commit, Committed, Conflict, Store, StoreUnavailable
from novitai.stores.notifying import NotifyingStore

log = structlog.get_logger("novitai.store")

SILENCE_SECONDS = 10.0
"""So long after it was said that the store is away, it is not said again: every caller and every job would say it."""


class MeasuredStore(NotifyingStore):
    """Tells `told` of each commit: `committed`, `conflict` or `unavailable`, and its seconds."""

    def __init__(self, inner: Store, *, told: Callable[[str, float], None], slow_seconds: float) -> None:
        super().__init__(inner)
        self._told = told
        self._slow_seconds = slow_seconds
        self._refused = 0
        self._silent_until = -math.inf

    async def commit(self, commit: Commit) -> Committed:
        """As the engine's."""
        began = time.perf_counter()
        outcome = "unavailable"
        try:
            result = await super().commit(commit)
            outcome = "committed"
        except Conflict:
            outcome = "conflict"
            raise
        except StoreUnavailable as error:
            self._say_away(error)
            raise
        finally:
            seconds = time.perf_counter() - began
            self._told(outcome, seconds)
            if seconds > self._slow_seconds:
                log.warning("commit_slow", ms=round(seconds * 1000), puts=len(commit.puts))
        return result

    def _say_away(self, error: StoreUnavailable) -> None:
        self._refused += 1
        now = time.perf_counter()
        if now >= self._silent_until:
            log.warning("store_away", error=str(error), commits=self._refused)
            self._refused, self._silent_until = 0, now + SILENCE_SECONDS
