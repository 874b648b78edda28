"""How fresh our view of Novita is: what the observer's sweeps saw last, kept in memory and shown to people.

Written by the observer, read by lists, `/health` and `/api/upstream`. It changes by itself with every poll, so none of
it is stored.
"""

from collections.abc import Mapping

from novitai.domain.ids import MachineId
from novitai.domain.machine import Machine
from novitai.ports.world import Clock


class Freshness:
    """The last complete sweep and the machines it showed."""

    def __init__(self, *, clock: Clock, quiet_interval: float) -> None:
        self._clock = clock
        self.started_at = clock.now()
        self.interval = quiet_interval
        """Seconds between polls now; stretches and shrinks with motion and the call budget."""
        self.sweep_interval = quiet_interval
        """Seconds between readings of the whole list while all is quiet; stretches with the number of pages."""
        self.running = False
        self.last_poll_at: float | None = None
        self.last_complete_at: float | None = None
        """When the last complete sweep began."""
        self.pages = 0
        self.sweeps = 0
        self.last_error: str | None = None
        self.failures_in_a_row = 0
        self.unknown = 0
        """Machines on the account that are not ours."""
        self._machines: dict[MachineId, tuple[Machine, float]] = {}

    @property
    def machines(self) -> Mapping[MachineId, tuple[Machine, float]]:
        """Every machine of the last sweeps with the time its reading began."""
        return self._machines

    def saw(self, machine: Machine, at: float) -> None:
        """A machine was read."""
        self._machines[machine.id] = (machine, at)

    def forget(self, before: float) -> None:
        """A complete sweep began at `before`: what it did not show is not there."""
        self._machines = {key: seen for key, seen in self._machines.items() if seen[1] >= before}

    def seen_at(self, machine_id: MachineId) -> float | None:
        """When a machine was last seen."""
        seen = self._machines.get(machine_id)
        return seen[1] if seen else None

    @property
    def stale(self) -> bool:
        """No complete sweep for two intervals. While something is in motion only that is read, which makes the rest no
        staler.
        """
        reference = self.last_complete_at if self.last_complete_at is not None else self.started_at
        return self._clock.now() - reference > 2 * self.sweep_interval + 1.0
