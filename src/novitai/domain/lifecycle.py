"""Which state an instance may take next: one table of state and event; everything absent is illegal.

What must live here: the states, the events, the table and the function that applies it. What must not be known here:
why an event happened, what it costs, what Novita calls it. Events have two kinds of writer, and the table says which:
*requests* are written by operations (what was asked), *observations* by reconcilers (what is seen). The diagram in
docs/reference/lifecycle.md is drawn from this table.

`ready` means that the health checks passed; `running` means only that Novita says so. `failed` is not an end: the
machine, if there is one, is kept and still watched. `lost` means recorded but gone, on two pieces of evidence; a lost
machine that is seen again is taken back.
"""

from enum import StrEnum


class State(StrEnum):
    """Where an instance is, in our words."""

    CREATING = "creating"
    STARTING = "starting"
    RUNNING = "running"
    HEALTH_CHECKING = "health_checking"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    MIGRATING = "migrating"
    DELETING = "deleting"
    DELETED = "deleted"
    FAILED = "failed"
    LOST = "lost"

    @property
    def live(self) -> bool:
        """Not yet deleted: shown in lists and watched."""
        return self is not State.DELETED

    @property
    def in_motion(self) -> bool:
        """Something is under way that Novita will show soon."""
        return self in {State.CREATING, State.STARTING, State.STOPPING, State.MIGRATING, State.DELETING}

    @property
    def probed(self) -> bool:
        """Its application may answer, so it is asked."""
        return self in {State.HEALTH_CHECKING, State.FAILED}


class Request(StrEnum):
    """What operations may ask of an instance."""

    START = "start requested"
    CREATE_AGAIN = "start requested without a machine"
    STOP = "stop requested"
    RESTART = "restart requested"
    DELETE = "delete requested"
    MOVE = "move requested"


class Observation(StrEnum):
    """What reconcilers may see."""

    MACHINE_RUNNING = "machine runs"
    CHECKS_BEGAN = "health checks began"
    CHECKS_PASSED = "health checks passed"
    START_SEEN = "machine is starting"
    STOP_SEEN = "machine is stopping"
    MACHINE_STOPPED = "machine stopped"
    NOTHING_TO_STOP = "there is no machine"
    QUEUED_START = "a queued start begins"
    START_REFUSED = "start refused"
    GAVE_UP = "gave up"
    MIGRATION_SEEN = "machine is migrating"
    REMOVED = "machine removed"
    VANISHED = "machine vanished"


Event = Request | Observation

_S, _R, _O = State, Request, Observation

_WITH_MACHINE: dict[Event, State] = {
    _R.DELETE: _S.DELETING,
    _O.REMOVED: _S.DELETED,
    _O.VANISHED: _S.LOST,
}
_UP: dict[Event, State] = {
    **_WITH_MACHINE,
    _R.STOP: _S.STOPPING,
    _R.RESTART: _S.STARTING,
    _R.MOVE: _S.MIGRATING,
    _O.START_SEEN: _S.STARTING,
    _O.STOP_SEEN: _S.STOPPING,
    _O.MACHINE_STOPPED: _S.STOPPED,
    _O.MIGRATION_SEEN: _S.MIGRATING,
    _O.GAVE_UP: _S.FAILED,
}

TABLE: dict[State, dict[Event, State]] = {
    _S.CREATING: {
        **_WITH_MACHINE,
        _R.STOP: _S.STOPPING,
        _O.MACHINE_RUNNING: _S.RUNNING,
        _O.STOP_SEEN: _S.STOPPING,
        _O.MACHINE_STOPPED: _S.STOPPED,
        _O.MIGRATION_SEEN: _S.MIGRATING,
        _O.GAVE_UP: _S.FAILED,
    },
    _S.STARTING: {
        **_WITH_MACHINE,
        _R.STOP: _S.STOPPING,
        _O.MACHINE_RUNNING: _S.RUNNING,
        _O.START_REFUSED: _S.STOPPED,
        _O.STOP_SEEN: _S.STOPPING,
        _O.MACHINE_STOPPED: _S.STOPPED,
        _O.MIGRATION_SEEN: _S.MIGRATING,
        _O.GAVE_UP: _S.FAILED,
    },
    _S.RUNNING: {**_UP, _O.CHECKS_BEGAN: _S.HEALTH_CHECKING, _O.CHECKS_PASSED: _S.READY},
    _S.HEALTH_CHECKING: {**_UP, _O.CHECKS_PASSED: _S.READY},
    _S.READY: _UP,
    _S.STOPPING: {
        **_WITH_MACHINE,
        _R.START: _S.STOPPING,
        _O.MACHINE_STOPPED: _S.STOPPED,
        _O.NOTHING_TO_STOP: _S.STOPPED,
        _O.MACHINE_RUNNING: _S.RUNNING,
        _O.START_SEEN: _S.STARTING,
        _O.GAVE_UP: _S.FAILED,
    },
    _S.STOPPED: {
        **_WITH_MACHINE,
        _R.START: _S.STARTING,
        _R.CREATE_AGAIN: _S.CREATING,
        _R.MOVE: _S.MIGRATING,
        _O.QUEUED_START: _S.STARTING,
        _O.START_SEEN: _S.STARTING,
        _O.MACHINE_RUNNING: _S.RUNNING,
        _O.MIGRATION_SEEN: _S.MIGRATING,
    },
    _S.MIGRATING: {
        **_WITH_MACHINE,
        _R.START: _S.MIGRATING,
        _R.STOP: _S.MIGRATING,
        _R.MOVE: _S.MIGRATING,
        _O.MACHINE_RUNNING: _S.RUNNING,
        _O.START_SEEN: _S.STARTING,
        _O.MACHINE_STOPPED: _S.STOPPED,
        _O.GAVE_UP: _S.FAILED,
    },
    _S.DELETING: {_R.DELETE: _S.DELETING, _O.REMOVED: _S.DELETED},
    _S.DELETED: {},
    _S.FAILED: {
        **_WITH_MACHINE,
        _R.START: _S.STARTING,
        _R.CREATE_AGAIN: _S.CREATING,
        _R.STOP: _S.STOPPING,
        _R.RESTART: _S.STARTING,
        _R.MOVE: _S.MIGRATING,
        _O.CHECKS_PASSED: _S.READY,
        _O.MACHINE_RUNNING: _S.RUNNING,
        _O.START_SEEN: _S.STARTING,
        _O.STOP_SEEN: _S.STOPPING,
        _O.MACHINE_STOPPED: _S.STOPPED,
        _O.MIGRATION_SEEN: _S.MIGRATING,
    },
    _S.LOST: {
        _R.DELETE: _S.DELETING,
        _R.MOVE: _S.MIGRATING,
        _O.REMOVED: _S.DELETED,
        _O.MACHINE_RUNNING: _S.RUNNING,
        _O.START_SEEN: _S.STARTING,
        _O.STOP_SEEN: _S.STOPPING,
        _O.MACHINE_STOPPED: _S.STOPPED,
        _O.MIGRATION_SEEN: _S.MIGRATING,
    },
}


class IllegalTransition(ValueError):
    """The table has no such step. The state is left as it was."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"an instance that is {state} knows no event '{event}'")
        self.state = state
        self.event = event


def after(state: State, event: Event) -> State:
    """The state that follows. Raises IllegalTransition for everything that the table does not hold."""
    try:
        return TABLE[state][event]
    except KeyError:
        raise IllegalTransition(state, event) from None


def allows(state: State, event: Event) -> bool:
    """Whether the table knows this step."""
    return event in TABLE[state]


def diagram() -> str:
    """The table as a Mermaid state diagram; requests are written as commands, observations as they are seen."""
    lines = ["stateDiagram-v2", "    [*] --> creating"]
    for state, steps in TABLE.items():
        targets: dict[State, list[str]] = {}
        for event, target in steps.items():
            targets.setdefault(target, []).append(str(event))
        lines += [f"    {state} --> {target}: {' / '.join(events)}" for target, events in targets.items()]
    lines.append("    deleted --> [*]")
    return "\n".join(lines)
