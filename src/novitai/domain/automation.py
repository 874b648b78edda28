"""The switch for a bad night: which parts of what acts by itself are paused, by whom, since when and why."""

from enum import StrEnum

import msgspec


class Part(StrEnum):
    """What can be paused. `jobs` is all durable work, people's requests included: it waits, and nothing of it is lost."""

    ADOPTION = "adoption"
    IDLE = "idle"
    MIGRATION = "migration"
    SCHEDULE = "schedule"
    BUDGET = "budget"
    JOBS = "jobs"


POLICIES = (Part.ADOPTION, Part.IDLE, Part.MIGRATION, Part.SCHEDULE, Part.BUDGET)
"""What `all` means: everything that decides by itself. Work that was asked for goes on unless `jobs` is paused by name."""


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """One part's pause."""

    by: str
    at: float
    reason: str


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """Every pause that holds, by part."""

    paused: dict[Part, Pause] = {}

    def holds(self, part: Part) -> bool:
        """Whether a part is paused."""
        return part in self.paused


def pause(switch: Switch, parts: tuple[Part, ...], why: Pause) -> Switch:
    """The switch with these parts paused; a pause that holds already keeps its words."""
    return Switch(paused={**dict.fromkeys(parts, why), **switch.paused})


def resume(switch: Switch, parts: tuple[Part, ...]) -> Switch:
    """The switch with these parts running again."""
    return Switch(paused={part: held for part, held in switch.paused.items() if part not in parts})
