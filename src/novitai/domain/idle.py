"""Idleness in words: what may be asked of the idle stop, what then holds, what is known of an instance, what was announced.

The rule itself is `policies/idle.py`. All durations are seconds, all times Unix seconds.
"""

from enum import StrEnum

import msgspec

from novitai.domain.ids import InstanceId
from novitai.domain.money import Usd


class SignalName(StrEnum):
    """What can show that an instance is used. Memory is none: an idle model server holds its model in it."""

    LAST_USED = "last-used"
    GPU = "gpu"
    CPU = "cpu"

    @property
    def measured(self) -> bool:
        """Whether it is read from Novita; such a signal can be missing."""
        return self is not SignalName.LAST_USED


EVERY_SIGNAL = tuple(SignalName)


class AutoStop(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked for one instance. None: not said; the settings' value holds."""

    enabled: bool | None = None
    dry_run: bool | None = None
    idle_seconds: float | None = None
    warn_seconds: float | None = None
    signals: tuple[SignalName, ...] | None = None
    delete_after_stopped_seconds: float | None = None


class IdleRule(msgspec.Struct, frozen=True, kw_only=True):
    """What holds. `delete_after_stopped_seconds` None: a stopped instance is never deleted by itself."""

    enabled: bool = True
    dry_run: bool = False
    idle_seconds: float = 1200.0
    warn_seconds: float = 300.0
    signals: tuple[SignalName, ...] = EVERY_SIGNAL
    delete_after_stopped_seconds: float | None = None


def resolved(asked: AutoStop | None, usual: IdleRule) -> IdleRule:
    """What was asked, over the settings.

    A warning as long as the whole threshold would come at once; where the two come from different places it takes half of
    the threshold.
    """
    if asked is None:
        return usual
    said = {name: value for name in asked.__struct_fields__ if (value := getattr(asked, name)) is not None}
    rule = msgspec.structs.replace(usual, **said)
    if rule.warn_seconds < rule.idle_seconds:
        return rule
    return msgspec.structs.replace(rule, warn_seconds=rule.idle_seconds / 2)


def over(held: AutoStop | None, change: AutoStop | None) -> AutoStop | None:
    """What was asked before, with what a change says; None clears it all."""
    if held is None or change is None:
        return change
    said = {name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not None}
    return msgspec.structs.replace(held, **said)


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One signal as it stands: its newest value (a percentage; None for last-used), from when, and whether it says idle.

    `idle` None: not read yet, which is not idle.
    """

    name: SignalName
    value: float | None
    at: float | None
    idle: bool | None


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """When an instance was last used, as its users told; a record of its own, so that telling never contends with
    the lifecycle.
    """

    instance_id: InstanceId
    last_used_at: float


class Deed(StrEnum):
    """What is done to an instance that nobody uses."""

    STOP = "stop"
    DELETE = "delete"


class Warned(msgspec.Struct, frozen=True, kw_only=True):
    """An announcement: `id` is what the link to postpone it is made of, `idle_since` what it rests on, `acts_at` what it said."""

    id: str
    deed: Deed
    at: float
    idle_since: float
    acts_at: float


class Saving(msgspec.Struct, frozen=True, kw_only=True):
    """An idle stop that still holds: from when, and what each hour of it saves."""

    since: float
    price_per_hour: Usd


class IdleMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be remembered of one instance: a record of its own, so that it never contends with the lifecycle.

    `postponed_at`: when somebody last asked for more time; it counts like a use.
    """

    instance_id: InstanceId
    warned: Warned | None = None
    postponed_at: float | None = None
    saving: Saving | None = None


class IdleTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What the idle stop did so far. `saved`: by stops that are over; `trusted_since`: when a clock that was set was last noticed."""

    warned: int = 0
    postponed: int = 0
    stopped: int = 0
    deleted: int = 0
    saved: Usd = Usd(0)
    trusted_since: float = 0.0
