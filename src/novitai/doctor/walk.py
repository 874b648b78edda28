"""The way through a live run: which step it is at, how long it may still take, and what it saw of the machine on it."""

from collections.abc import Callable, Iterator

from novitai.doctor.facts import STATES
from novitai.doctor.money import RUN_SECONDS
from novitai.doctor.probing import Answer
from novitai.doctor.report import Level
from novitai.domain.machine import Machine, MachineStatus
from novitai.novita.translate import STATUS
from novitai.ports.world import Clock

_PAUSES = (0.2, 0.5, 1.0, 2.0)
_LONGEST_PAUSE = 3.0


class TookTooLong(Exception):
    """The time by which the worst case was computed is over."""


class Walk:
    """`say` is told of each step."""

    def __init__(self, clock: Clock, say: Callable[[str], None]) -> None:
        self._clock = clock
        self._say = say
        self._deadline = clock.now() + RUN_SECONDS
        self._words: dict[str, MachineStatus] = {}
        self.step = "begin"

    def begin(self, step: str) -> None:
        """The next step."""
        self.step = step
        self._say(f"  {step}")

    def pauses(self) -> Iterator[float]:
        """Seconds between looks: short ones first, then the same for ever."""
        yield from _PAUSES
        while True:
            yield _LONGEST_PAUSE

    async def wait(self, seconds: float) -> None:
        """Raises TookTooLong at the end of the run's time."""
        if self._clock.now() + seconds > self._deadline:
            raise TookTooLong(f"not done within {RUN_SECONDS / 60:.0f} minutes")
        await self._clock.sleep(seconds)

    def saw(self, machine: Machine) -> None:
        """A machine as Novita shows it."""
        self._words.setdefault(machine.provider_status, machine.status)

    def states(self) -> Answer | None:
        """The status words that were seen; None before any was."""
        if not self._words:
            return None
        unknown = [word for word in self._words if word not in STATUS]
        words, how = ", ".join(self._words), "the status of each look"
        if unknown:
            advice = f"nothing is concluded from {', '.join(unknown)}; such an instance stays as it was"
            return Answer(STATES, list(self._words), words, how, Level.WARN, advice)
        return Answer(STATES, list(self._words), words, how)
