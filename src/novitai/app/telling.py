"""One line in the log for each change of an instance's state, told by the commit that made it: whoever asked or noticed,
no change is left out and none is told before it is true.
"""

import structlog

from novitai.domain.lifecycle import State
from novitai.operations import records
from novitai.ports.store import Commit, Committed

log = structlog.get_logger("novitai")

GRAVE = frozenset({State.FAILED, State.LOST})
"""What somebody has to look at: it may cost money, or is gone."""


def tell_changes(commit: Commit, _result: Committed) -> None:
    """Log the state changes of a commit, with their reason."""
    for entry in commit.appends:
        if entry.log != records.EVENTS:
            continue
        event = records.read_event(entry.body)
        if event.after is None or event.after is event.before:
            continue
        (log.error if event.after in GRAVE else log.info)(
            "state_changed",
            correlationId=event.correlation_id,
            instanceId=event.instance_id,
            before=event.before and str(event.before),
            after=str(event.after),
            type=str(event.type),
            by=event.actor,
            because=event.reason,
        )
