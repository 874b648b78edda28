"""Events as callers see them."""

from novitai.api.schemas.events import EventAnswer
from novitai.domain.events import Event
from novitai.domain.times import iso


def event_answer(event: Event) -> EventAnswer:
    """An entry of the event log."""
    return EventAnswer(
        id=event.id,
        sequence=event.sequence,
        type=str(event.type),
        instance_id=event.instance_id,
        novita_instance_id=event.machine_id,
        at=iso(event.at),
        actor=event.actor,
        reason=event.reason,
        before=str(event.before) if event.before else None,
        after=str(event.after) if event.after else None,
        correlation_id=event.correlation_id,
        elapsed_time=event.elapsed_ms,
        data=event.data,
    )
