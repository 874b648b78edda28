"""What each commit is told of beside the receivers: one line in the log for each change of an instance's state, whoever asked
or noticed, and the figures of each move. No change is left out and none is told before it is true.
"""

from collections.abc import Callable

import structlog

from novitai.domain.events import FactType
from novitai.domain.lifecycle import State
from novitai.operations import records
from novitai.ports.store import Commit, Committed
from novitai.telemetry.metrics import Metrics

log = structlog.get_logger("novitai")

GRAVE = frozenset({State.FAILED, State.LOST})
"""What somebody has to look at: it may cost money, or is gone."""


def measure_moves(metrics: Metrics) -> Callable[[Commit, Committed], None]:
    """Count how long each instance was on its way back, by the commit that says that it is ready again."""

    def measure(commit: Commit, _result: Committed) -> None:
        for entry in commit.appends:
            if entry.log != records.EVENTS or FactType.MIGRATED.encode() not in entry.body:
                continue  # a quick look: hardly any commit tells of a move
            event = records.read_event(entry.body)
            if event.type is FactType.MIGRATED:
                data = event.data
                metrics.moved(way=data["way"], asked_seconds=data["secondsToAsk"], ready_seconds=data["secondsToReady"])

    return measure


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
