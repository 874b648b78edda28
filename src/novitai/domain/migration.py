"""Moves in words: what may be asked of migration, what then holds, and what is remembered of each move.

A *move* gives an instance another machine, or its machine another node, without anybody asking: Novita takes a spot machine
back, or a move of Novita's own has failed. When and whither is decided in `policies/migration.py`, how it goes in
`policies/moves.py`. All times are Unix seconds.
"""

from enum import StrEnum

import msgspec

from novitai.domain.ids import MachineId


class Strategy(StrEnum):
    """What is done about a spot machine that Novita takes back."""

    MIGRATE = "migrate"  # Novita moves it once it stands still; the system disk is lost
    REPLACE = "replace"  # another machine is bought on the notice; every local disk is lost
    NOTIFY_ONLY = "notify-only"


class Migration(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked for one instance. None: not said; the settings' value holds."""

    enabled: bool | None = None
    strategy: Strategy | None = None


class MoveRule(msgspec.Struct, frozen=True, kw_only=True):
    """What holds."""

    enabled: bool = True
    dry_run: bool = False
    strategy: Strategy = Strategy.MIGRATE


def resolved(asked: Migration | None, usual: MoveRule) -> MoveRule:
    """What was asked, over the settings."""
    if asked is None:
        return usual
    said = {name: value for name in asked.__struct_fields__ if (value := getattr(asked, name)) is not None}
    return msgspec.structs.replace(usual, **said)


def over(held: Migration | None, change: Migration | None) -> Migration | None:
    """What was asked before, with what a change says; None clears it all."""
    if held is None or change is None:
        return change
    said = {name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not None}
    return msgspec.structs.replace(held, **said)


class Way(StrEnum):
    """How an instance moves: Novita's own move of its machine, or another machine in its place."""

    MIGRATE = "migrate"
    REPLACE = "replace"


class Cause(StrEnum):
    """Why it moves: Novita announced that it takes the machine back, has done so, or failed to move it."""

    NOTICE = "notice"
    RECLAIM = "reclaim"
    REPAIR = "repair"


class MoveOutcome(StrEnum):
    """What came of a move."""

    UNDER_WAY = "in_progress"
    MOVED = "moved"
    FAILED = "failed"
    CALLED_OFF = "called_off"


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One move. `since`: when its cause was first seen, from where recovery is counted; `asked_at`: when Novita was first
    asked for something that brings the instance back.
    """

    way: Way
    cause: Cause
    since: float
    began_at: float
    source: MachineId
    asked_at: float | None = None
    ended_at: float | None = None
    outcome: MoveOutcome = MoveOutcome.UNDER_WAY
    target: MachineId | None = None

    @property
    def under_way(self) -> bool:
        return self.outcome is MoveOutcome.UNDER_WAY

    @property
    def recovery_seconds(self) -> float | None:
        """From the notice or the reclaim to ready; None when it did not come to that."""
        return self.ended_at - self.since if self.outcome is MoveOutcome.MOVED and self.ended_at is not None else None


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is said once for each cause: `what`, of a cause first seen at `since`."""

    what: str
    since: float
