"""Which status follows which, as a table (novita-wire.md 7.1).

A path is what an action sets in motion: the statuses a machine goes through, each with the name of the delay it stays for. The
last status of a path is where the machine rests.
"""

from dataclasses import dataclass

PENDING, TO_CREATE, CREATING, PULLING, RUNNING = "pending", "toCreate", "creating", "pulling", "running"
TO_START, STARTING = "toStart", "starting"
TO_STOP, STOPPING, EXITED = "toStop", "stopping", "exited"
TO_RESTART, RESTARTING = "toRestart", "restarting"
TO_RESET, RESETTING = "toReset", "resetting"
TO_REMOVE, REMOVING, REMOVED = "toRemove", "removing", "removed"
MIGRATING = "migrating"

AT_REST = frozenset({RUNNING, EXITED})
GOING_AWAY = frozenset({TO_REMOVE, REMOVING, REMOVED})
STATUSES = frozenset(
    {PENDING, TO_CREATE, CREATING, PULLING, TO_START, STARTING, TO_STOP, STOPPING, TO_RESTART, RESTARTING, TO_RESET}
    | {RESETTING, MIGRATING, "freezing"}
    | AT_REST
    | GOING_AWAY
)


@dataclass(frozen=True)
class Path:
    steps: tuple[tuple[str, str], ...]  # status, delay
    end: str


CREATE = Path(
    ((PENDING, "pending"), (TO_CREATE, "to_create"), (CREATING, "creating"), (PULLING, "pulling")),
    end=RUNNING,
)
START = Path(((TO_START, "to_start"), (STARTING, "starting"), (PULLING, "start_pulling")), end=RUNNING)
STOP = Path(((TO_STOP, "to_stop"), (STOPPING, "stopping")), end=EXITED)
RESTART = Path(((TO_RESTART, "to_restart"), (RESTARTING, "restarting")), end=RUNNING)
RESET = Path(((TO_RESET, "to_reset"), (RESETTING, "resetting")), end=RUNNING)
RESET_STOPPED = Path(((TO_RESET, "to_reset"), (RESETTING, "resetting")), end=EXITED)
REMOVE = Path(((TO_REMOVE, "to_remove"), (REMOVING, "removing")), end=REMOVED)

# The statuses in which an action has nothing left to do, or is under way.
REACHED = {
    "start": frozenset({TO_START, STARTING, PULLING, RUNNING}),
    "stop": frozenset({TO_STOP, STOPPING, EXITED}),
    "delete": GOING_AWAY,
}

# The statuses in which each action is taken; anything else is "invalid state change".
ALLOWED = {
    "start": frozenset({EXITED}),
    "stop": frozenset({RUNNING}),
    "restart": frozenset({RUNNING}),
    "delete": STATUSES - GOING_AWAY,
    "migrate": AT_REST,
    "edit": AT_REST,
    "upgrade": AT_REST,
    "saveImage": AT_REST,
    "toMonthly": frozenset({RUNNING}),
}
