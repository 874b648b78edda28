"""Reads the use of machines from Novita, within the cap: at most 20 calls a minute for all of them (semantics.md 1).

What was read is kept until the next reading of the same machine. A call that failed is no reading: it says nothing, and
the machine is left alone for a while.
"""

from collections import deque
from collections.abc import Callable

import structlog

from novitai.domain.errors import ProviderFailure
from novitai.domain.ids import MachineId
from novitai.domain.metrics import Window
from novitai.policies.usage import Reading
from novitai.ports.coordination import Share
from novitai.ports.provider import Call, Provider
from novitai.ports.world import Clock

CALLS, SECONDS = 20, 60.0
LONGEST_WAIT = 5.0
LONGEST_CALL = 10.0
AFTER_FAILURE = 15.0

log = structlog.get_logger("novitai.idle")


class Budget:
    """So many calls in any so many seconds, counted from when each began."""

    def __init__(self, calls: int = CALLS, seconds: float = SECONDS) -> None:
        self._calls = calls
        self._seconds = seconds
        self._begun: deque[float] = deque()

    def left(self, now: float) -> int:
        """How many calls may begin now."""
        while self._begun and not now - self._seconds < self._begun[0] <= now:
            self._begun.popleft()  # also when the clock was set back: what is dated later cannot be counted
        return self._calls - len(self._begun)

    def take(self, now: float) -> None:
        """A call begins."""
        self._begun.append(now)

    def next(self, now: float) -> float:
        """When a call may begin again."""
        return now if self.left(now) > 0 else self._begun[0] + self._seconds


class Metering:
    """Readings by machine."""

    def __init__(self, *, provider: Provider, clock: Clock, hushed: Callable[[], bool] = lambda: False) -> None:
        """`hushed`: whether nothing is to be asked of Novita now; then nothing is read."""
        self._provider = provider
        self._clock = clock
        self._hushed = hushed
        self._readings: dict[MachineId, Reading] = {}
        self._resting: dict[MachineId, float] = {}
        self.budget = Budget()

    def reading(self, machine_id: MachineId) -> Reading | None:
        """The latest reading of a machine."""
        return self._readings.get(machine_id)

    def rests_until(self, machine_id: MachineId) -> float:
        """When a machine may be read again after a call that failed."""
        return self._resting.get(machine_id, 0.0)

    async def read(self, machine_id: MachineId, window: Window) -> bool:
        """Read a machine; whether there is something new. The caller has looked at the budget."""
        began = self._clock.now()
        if self._hushed():
            self._resting[machine_id] = began + AFTER_FAILURE
            return False
        self.budget.take(began)
        call = Call(share=Share.BULK, longest_wait=LONGEST_WAIT, deadline=LONGEST_CALL)
        try:
            metrics = await self._provider.metrics(machine_id, window, call)
        except ProviderFailure as failure:
            log.warning("metrics_not_read", machineId=machine_id, error=failure.message)
            self._resting[machine_id] = self._clock.now() + AFTER_FAILURE
            return False
        # When it began, not the time of the answer: what came in between may not be in it.
        self._readings[machine_id] = Reading(machine_id=machine_id, at=began, since=window.since, metrics=metrics)
        self._resting.pop(machine_id, None)
        return True

    def keep_only(self, machines: set[MachineId]) -> None:
        """Forget machines that are no more."""
        for gone in [known for known in self._readings if known not in machines]:
            del self._readings[gone]
        for gone in [known for known in self._resting if known not in machines]:
            del self._resting[gone]
