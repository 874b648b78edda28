"""When an instance counts as idle and what to do about it: the whole rule of the idle stop.

Idle is who shows no sign of use by any signal for the threshold. Evidence counts only after the instance was ready (or
failed to become it) and after a person's last word. Told uses are free to look at; measurements are read only when those say
idle and a decision is near, and what was not read is not idle. A stop is announced `warn_seconds` before, and never
comes sooner after its announcement than that. The second stage deletes what stands stopped for long, if that was asked for.

`judge` decides one instance at one moment. It knows nothing of calls, records or budgets: when it needs a reading it says so.
"""

from enum import StrEnum

import msgspec

from novitai.domain.idle import Deed, IdleRule, Signal, SignalName, Warned
from novitai.domain.instance import DesiredState, Instance, OperationStatus
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.domain.times import iso
from novitai.policies.usage import AHEAD_SECONDS, STALE_SECONDS, Reading, Trace, trace

LEAD_SECONDS = 90.0
"""Measurements are read from this long before a warning is due, so that it is in time when many are due together."""
FRESH_SECONDS = 30.0
"""A stop rests on a reading that is no older than this."""
AGAIN_SECONDS = 20.0
"""Between two readings of the same machine."""
WOBBLE_SECONDS = 30.0
"""Two readings may date the same last use differently by two intervals of measuring."""


class Step(StrEnum):
    """What is to be done about an instance now."""

    EXEMPT = "exempt"
    WAIT = "wait"
    READ = "read"
    WARN = "warn"
    ACT = "act"


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an instance beside its record. `trusted_since`: evidence before this moment was dated by a clock that
    has been set since.
    """

    last_used_at: float | None = None
    reading: Reading | None = None
    warned: Warned | None = None
    postponed_at: float | None = None
    trusted_since: float = 0.0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done, and why.

    `idle_since`: no use is known since then (None: exempt). `acts_at`: when the deed is due if that stays so. `due`: when to
    judge again, if nothing happens before.
    """

    step: Step
    because: str
    deed: Deed = Deed.STOP
    idle_since: float | None = None
    acts_at: float | None = None
    due: float | None = None
    warned: Warned | None = None
    signals: tuple[Signal, ...] = ()


def judge(instance: Instance, rule: IdleRule, known: Known, *, now: float) -> Verdict:
    """What the rule says about one instance now."""
    why = exemption(instance, rule)
    if why is not None:
        return Verdict(step=Step.EXEMPT, because=why)
    if instance.state is State.STOPPED:
        return _judge_stopped(instance, rule, known, now=now)
    return _judge_running(instance, rule, known, now=now)


def exemption(instance: Instance, rule: IdleRule) -> str | None:
    """Why an instance is not judged at all; None when it is."""
    if not rule.enabled:
        return "autoStop is off for it"
    if instance.state is State.STOPPED:
        return _not_deletable(instance, rule)
    if instance.wants is not DesiredState.RUNNING:
        return f"it is to be {instance.wants}"
    if instance.machine is None:
        return "it has no machine"
    if instance.state not in {State.READY, State.FAILED}:
        return f"it is {instance.state}: idleness counts from when it is ready"
    if instance.machine.status is not MachineStatus.RUNNING:
        return f"its machine is {instance.machine.status}"
    return None


def evidence(verdict: Verdict) -> str:
    """What a deed rests on, for people: since when, and the newest value of every signal."""
    told = [verdict.because]
    for signal in verdict.signals:
        if signal.value is not None and signal.at is not None:
            told.append(f"{signal.name} {signal.value:.1f} % at {iso(signal.at)}")
        elif signal.name is SignalName.LAST_USED:
            told.append("never told to be used" if signal.at is None else f"last told to be used at {iso(signal.at)}")
    return "; ".join(told)


def evidence_begins(instance: Instance, known: Known, *, now: float) -> float:
    """From when on evidence of idleness counts: ready or the failure, the last word of anybody, the last postponement."""
    arrived = instance.ready_at if instance.state is State.READY else instance.state_since
    if instance.state is State.STOPPED:
        arrived = instance.stopped_at or instance.state_since
    words = (
        instance.created_at,
        arrived,
        instance.desired.at,
        instance.operation.requested_at,
        known.postponed_at,
        known.last_used_at,
    )
    dated = [_dated(at, known, now=now) for at in words if at is not None]
    return max([known.trusted_since, *dated])


def usable(instance: Instance, known: Known, *, now: float) -> Reading | None:
    """The reading, if it is of the present machine and was dated by the clock of now."""
    machine, reading = instance.machine, known.reading
    if machine is None or reading is None or reading.machine_id != machine.id:
        return None
    return reading if known.trusted_since <= reading.at <= now + AHEAD_SECONDS else None


def _judge_running(instance: Instance, rule: IdleRule, known: Known, *, now: float) -> Verdict:
    heard = SignalName.LAST_USED in rule.signals
    floor = evidence_begins(instance, known if heard else msgspec.structs.replace(known, last_used_at=None), now=now)
    reading = usable(instance, known, now=now)
    measured = tuple(signal for signal in rule.signals if signal.measured)
    traces = {signal: trace(reading, signal, since=floor) for signal in measured} if reading is not None else {}
    used = max([floor, *(found.used_until for found in traces.values() if found.used_until is not None)])
    since = max(used, reading.since) if reading is not None and measured else used
    signals = tuple(_signal(name, traces.get(name), known, floor, rule, now=now) for name in rule.signals)
    seen = _Seen(traces=traces, reading=reading, measured=bool(measured), used=used)
    return _timed(Deed.STOP, rule.idle_seconds, rule, known, seen, since=since, signals=signals, now=now)


def _judge_stopped(instance: Instance, rule: IdleRule, known: Known, *, now: float) -> Verdict:
    since = evidence_begins(instance, known, now=now)
    wait = rule.delete_after_stopped_seconds or 0.0
    seen = _Seen(traces={}, reading=None, measured=False, used=since)
    return _timed(Deed.DELETE, wait, rule, known, seen, since=since, signals=(), now=now)


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What the signals show: `used` is the last known use."""

    traces: dict[SignalName, Trace]
    reading: Reading | None
    measured: bool
    used: float

    def fresh(self, at: float, *, read_after: float) -> bool:
        """Whether this reading may still be rested on at a moment, and was made late enough."""
        if not self.measured:
            return True
        if self.reading is None or self.reading.at < read_after:
            return False
        newest = [found.newest.at for found in self.traces.values() if found.newest is not None]
        return min(newest) >= max(at - STALE_SECONDS, self.used) if newest else False


def _timed(
    deed: Deed,
    threshold: float,
    rule: IdleRule,
    known: Known,
    seen: _Seen,
    *,
    since: float,
    signals: tuple[Signal, ...],
    now: float,
) -> Verdict:
    """Where this instance stands between its last use, the warning and the deed."""
    warned = known.warned if known.warned is not None and _holds(known.warned, deed, seen.used) else None
    warn = min(rule.warn_seconds, threshold / 2) if deed is Deed.DELETE else rule.warn_seconds
    warn_at, acts_at = since + threshold - warn, since + threshold
    if warned is not None:
        acts_at = max(acts_at, warned.acts_at)
        begin, moment, read_after = acts_at, acts_at, now - FRESH_SECONDS
    else:
        begin, moment, read_after = warn_at - (LEAD_SECONDS if seen.measured else 0.0), warn_at, warn_at - LEAD_SECONDS
    found = Verdict(
        step=Step.WAIT,
        because=_told(deed, since, warned),
        deed=deed,
        idle_since=since,
        acts_at=acts_at,
        warned=warned,
        signals=signals,
    )
    if now < begin:
        return msgspec.structs.replace(found, due=begin)
    if not seen.fresh(max(now, moment), read_after=read_after):
        again = seen.reading.at + AGAIN_SECONDS if seen.reading is not None else now
        if now < again:
            return msgspec.structs.replace(found, due=again)
        return msgspec.structs.replace(found, step=Step.READ, due=now)
    if now < moment:
        return msgspec.structs.replace(found, due=moment)
    if warned is not None:
        return msgspec.structs.replace(found, step=Step.ACT, due=now)
    return msgspec.structs.replace(found, step=Step.WARN, acts_at=max(acts_at, now + warn), due=now)


def _holds(warned: Warned, deed: Deed, used: float) -> bool:
    """Whether an announcement still stands: nothing happened since what it rested on."""
    return warned.deed is deed and used <= warned.idle_since + WOBBLE_SECONDS and used < warned.at


def _signal(name: SignalName, found: Trace | None, known: Known, floor: float, rule: IdleRule, *, now: float) -> Signal:
    if not name.measured:
        idle = floor <= now - rule.idle_seconds
        return Signal(name=name, value=None, at=known.last_used_at, idle=idle)
    if found is None:
        return Signal(name=name, value=None, at=None, idle=None)
    newest, long_ago = found.newest, found.used_until is None or found.used_until <= now - rule.idle_seconds
    value, at = (newest.value, newest.at) if newest is not None else (None, None)
    return Signal(name=name, value=value, at=at, idle=not found.missing and long_ago)


def _dated(at: float, known: Known, *, now: float) -> float:
    """A moment by the clock of now. What lies ahead was dated before the clock was set back: it counts from when that was
    noticed, or, unnoticed, as just now.
    """
    return at if at <= now + AHEAD_SECONDS else (known.trusted_since or now)


def _not_deletable(instance: Instance, rule: IdleRule) -> str | None:
    operation = instance.operation
    if rule.delete_after_stopped_seconds is None:
        return "it is stopped, and deleteAfterStoppedHours is not set"
    if instance.spec.protect:
        return "it is stopped, and protect forbids to delete it"
    if instance.wants is not DesiredState.STOPPED:
        return f"it is stopped, but is to be {instance.wants}"
    if operation.makes_ready and operation.status is OperationStatus.FAILED:
        return "it is stopped because a start failed, which never deletes"
    return None


def _told(deed: Deed, since: float, warned: Warned | None) -> str:
    what = "no use is known" if deed is Deed.STOP else "it stands stopped"
    return f"{what} since {iso(since)}" + ("" if warned is None else f", as announced at {iso(warned.at)}")
