"""A circuit breaker with the exact rule we promise: after N consecutive failures nothing is sent for a while, then one
probe at a time.

CLOSED, five consecutive failures, OPEN for 60 s without a single call, HALF_OPEN with at most one probe in flight,
three successful probes in a row close it, one failed probe opens it again. Every change of state starts a new epoch and
each permit carries the epoch it was given in, so answers to calls sent before a change count for nothing afterwards.

Pure: time is passed in, what counts as a failure is the caller's word, and the whole state is one frozen value that a
keeper may store.
"""

from enum import StrEnum

import msgspec

# While the only probe is out, others are told to ask again this much later: its answer may come at any moment.
PROBE_POLL_SECONDS = 1.0


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults as promised. A probe nobody reported on for `open_seconds` (its process died) makes room for another."""

    failure_threshold: int = 5
    open_seconds: float = 60.0
    success_threshold: int = 3


class Phase(StrEnum):
    """The three states, in the words of the API."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class BreakerState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a breaker remembers. `probe` numbers the latest probe; `probe_at` is set while it is out.

    `successes` counts probes and means something in HALF_OPEN only.
    """

    phase: Phase = Phase.CLOSED
    epoch: int = 0
    failures: int = 0
    successes: int = 0
    opened_at: float | None = None
    probe: int = 0
    probe_at: float | None = None


class Permit(msgspec.Struct, frozen=True, kw_only=True):
    """Leave to make one call; hand it back with `record` or `abandon`."""

    epoch: int
    probe: int | None = None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """No call now; asking before `retry_at` is pointless."""

    retry_at: float


class Breaker:
    """One breaker over one state. Not shared between threads; between processes the state is shared, not the object."""

    def __init__(self, settings: BreakerSettings, state: BreakerState | None = None) -> None:
        self._settings = settings
        self._state = state or BreakerState()

    @property
    def snapshot(self) -> BreakerState:
        """The state as a value, to be stored and given to another breaker."""
        return self._state

    @property
    def state(self) -> Phase:
        """OPEN also covers the time between `retry_at` and the first probe."""
        return self._state.phase

    @property
    def failure_count(self) -> int:
        """Consecutive failures that led to, or may lead to, opening."""
        return self._state.failures

    @property
    def opened_at(self) -> float | None:
        """When it opened last; None while closed."""
        return self._state.opened_at

    @property
    def retry_at(self) -> float | None:
        """When the first probe is allowed; None unless open."""
        state = self._state
        return _retry_at(state, self._settings) if state.phase is Phase.OPEN else None

    def permit(self, now: float) -> Permit | Refusal:
        """Ask before every physical call."""
        self._notice_time(now)
        state = self._state
        match state.phase:
            case Phase.CLOSED:
                return Permit(epoch=state.epoch)
            case Phase.OPEN:
                return Refusal(retry_at=_retry_at(state, self._settings))
            case Phase.HALF_OPEN if state.probe_at is not None:
                return Refusal(retry_at=now + PROBE_POLL_SECONDS)
            case Phase.HALF_OPEN:
                self._change(probe=state.probe + 1, probe_at=now)
                return Permit(epoch=state.epoch, probe=self._state.probe)

    def record(self, permit: Permit, *, ok: bool, now: float) -> None:
        """Tell how the permitted call ended. Permits of an earlier epoch, or of a probe given up, change nothing."""
        if not self._counts(permit):
            return
        if permit.probe is not None:
            self._change(probe_at=None)
        if ok:
            self._succeeded()
        else:
            self._failed(now)

    def abandon(self, permit: Permit) -> None:
        """The permitted call was never sent: it counts neither way, and a probe's place is free again."""
        if permit.probe is not None and self._counts(permit):
            self._change(probe_at=None)

    def _notice_time(self, now: float) -> None:
        state = self._state
        # A wall clock set back must not prolong the pause: an opening in the future is an opening now.
        if state.opened_at is not None and now < state.opened_at:
            state = self._change(opened_at=now)
        if state.phase is Phase.OPEN and now >= _retry_at(state, self._settings):
            state = self._change(phase=Phase.HALF_OPEN, epoch=state.epoch + 1, successes=0, probe_at=None)
        if state.probe_at is not None and not 0 <= now - state.probe_at < self._settings.open_seconds:
            self._change(probe_at=None)

    def _counts(self, permit: Permit) -> bool:
        state = self._state
        if permit.epoch != state.epoch:
            return False
        return permit.probe is None or (permit.probe == state.probe and state.probe_at is not None)

    def _succeeded(self) -> None:
        state = self._state
        if state.phase is Phase.CLOSED:
            self._change(failures=0)
        elif state.successes + 1 < self._settings.success_threshold:
            self._change(successes=state.successes + 1)
        else:
            self._change(phase=Phase.CLOSED, epoch=state.epoch + 1, failures=0, opened_at=None)

    def _failed(self, now: float) -> None:
        state = self._change(failures=self._state.failures + 1)
        if state.phase is Phase.HALF_OPEN or state.failures >= self._settings.failure_threshold:
            self._change(phase=Phase.OPEN, epoch=state.epoch + 1, opened_at=now)

    def _change(self, **changes: object) -> BreakerState:
        self._state = msgspec.structs.replace(self._state, **changes)
        return self._state


def _retry_at(state: BreakerState, settings: BreakerSettings) -> float:
    assert state.opened_at is not None, "an open breaker has a time of opening"
    return state.opened_at + settings.open_seconds
