"""Which machines hang in `migrating` because the move of theirs has failed, and what is to be done about that.

A failed migration shows nowhere but in Novita's jobs: the machine stays `migrating` for ever (novita-wire.md 7.3). Two pieces of
evidence are needed and nothing else counts: the newest migration job of the machine says that it failed, and a single read
shows the machine still migrating. A job of an earlier move, a list that was not whole, a job that is not there yet: with any of
them nothing is concluded.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from novitai.domain.change import Change, with_fields
from novitai.domain.errors import Code
from novitai.domain.instance import DesiredState, Instance
from novitai.domain.lifecycle import State
from novitai.domain.machine import Machine, MachineStatus
from novitai.domain.migration import MoveOutcome, MoveRule, Strategy, Way
from novitai.policies import moves
from novitai.policies.migration import MOST_MOVES, WINDOW_SECONDS
from novitai.ports.provider import ProviderJob

MIGRATIONS = frozenset({"instanceMigrate", "autoInstanceMigrate"})
FAILED = frozenset({"fail", "break"})
CLOCK_TOLERANCE_SECONDS = 300.0
"""By how much the clocks of Novita and of this machine may differ. A machine whose migration failed hangs until it is deleted, so no
other move of it begins within this time after one that failed.
"""
YOUNGEST_SECONDS = 600.0
"""A machine that has been migrating for less is left alone. Novita's list of jobs may be as late as that: until the job of this move is
in it, that of an earlier one would be taken for it.
"""


class Finding(StrEnum):
    """What is known of one machine that is migrating."""

    MOVING = "moving"  # nothing speaks for a failure
    FAILED = "failed"  # its job has failed; a single read has to agree
    UNKNOWN = "unknown"  # the jobs do not tell


class Remedy(StrEnum):
    """What is done about a failed migration."""

    REPLACE = "replace"  # another machine under the same id of ours, and the dead one is removed
    TELL = "tell"
    NOTHING = "nothing"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the jobs say about a machine, in a sentence; `job`: the one that says it."""

    finding: Finding
    because: str
    job: ProviderJob | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What is done about a failure, and why."""

    remedy: Remedy
    because: str


def concerns(instance: Instance) -> bool:
    """Whether an instance waits for the end of a migration of its machine."""
    machine = instance.machine
    if instance.state is not State.MIGRATING or instance.replacing or machine is None:
        return False
    return machine.status is MachineStatus.MIGRATING


def began_after(instance: Instance) -> float:
    """A moment before which the present move cannot have begun: when we decided on it, or the last one at which the machine is
    known to have been doing something else, by our clock or by Novita's.
    """
    machine = instance.machine
    assert machine is not None, "only what has a machine migrates"
    move = instance.move
    asked = move.began_at if move is not None and move.way is Way.MIGRATE else None
    ours = (asked, instance.started_at, instance.running_at, instance.ready_at, instance.stopped_at)
    signs = (*ours, machine.before_since, machine.started_at)
    return max((sign for sign in signs if sign is not None and sign <= machine.since), default=instance.created_at)


def listed_since(instances: Sequence[Instance]) -> float:
    """From when on Novita's jobs have to be read for these instances."""
    return min(map(began_after, instances)) - CLOCK_TOLERANCE_SECONDS


def judge(instance: Instance, jobs: Sequence[ProviderJob], *, now: float) -> Verdict:
    """What these jobs (all since `listed_since`, in any order) say about the instance's machine."""
    machine = instance.machine
    assert machine is not None, "only what has a machine migrates"
    since = now - machine.since
    if since < YOUNGEST_SECONDS:
        return Verdict(finding=Finding.MOVING, because=f"it has been migrating for {since:.0f} s only")
    earliest = began_after(instance) - CLOCK_TOLERANCE_SECONDS
    moves = [
        job for job in jobs if job.instance_id == machine.id and job.type in MIGRATIONS and job.created_at >= earliest
    ]
    if not moves:
        return Verdict(finding=Finding.UNKNOWN, because="Novita lists no job of this move")
    newest = max(moves, key=lambda job: (job.created_at, job.state not in FAILED))
    if newest.state in FAILED:
        return Verdict(finding=Finding.FAILED, because=_why(newest), job=newest)
    return Verdict(finding=Finding.MOVING, because=f"Novita's job {newest.id} is '{newest.state}'", job=newest)


def still_migrating(machine: Machine) -> str | None:
    """Whether a single read agrees that the machine hangs: None, or what it is doing instead."""
    return None if machine.status is MachineStatus.MIGRATING else f"read singly, the machine is {machine.status}"


def decide(instance: Instance, rule: MoveRule, *, exempt: str | None, now: float) -> Decision:
    """What is done about an instance whose migration has failed; `exempt`: why no move may be begun for it (`migration.judge`).
    What is desired is never changed, and what is not wanted running is not brought back.
    """
    if instance.wants is DesiredState.DELETED:
        return Decision(remedy=Remedy.NOTHING, because="it is being deleted")
    if exempt is not None:
        return Decision(remedy=Remedy.TELL, because=exempt)
    if rule.strategy is Strategy.NOTIFY_ONLY:
        return Decision(remedy=Remedy.TELL, because="its strategy is notify-only")
    begun = sum(
        one.began_at > now - WINDOW_SECONDS and one.outcome is not MoveOutcome.CALLED_OFF for one in instance.moves
    )
    if begun >= MOST_MOVES:
        return Decision(remedy=Remedy.TELL, because=f"it has moved {begun} times in 24 hours")
    return Decision(remedy=Remedy.REPLACE, because="it is wanted running, and only another machine can run it")


def told(instance: Instance, *, because: str, at: float) -> Change:
    """The failure stands in the instance, which goes on as Novita shows it: migrating. It is not said again of this move, neither
    here nor for its length (`moves.stuck`).
    """
    failed = moves.in_vain(instance, code=Code.MACHINE_ERROR, message=because, at=at)
    said = with_fields(failed.instance, said=moves.said_stuck(instance))
    return msgspec.structs.replace(failed, instance=said)


def _why(job: ProviderJob) -> str:
    said = f": {job.error}" if job.error else ""
    word = "was broken off" if job.state == "break" else "failed"
    return f"Novita's move of the machine {word} (job {job.id}{said})"
