"""What happened: pages of the event log and of deliveries, newest first; and the tail of the log for those who follow it."""

from collections.abc import Sequence

import msgspec

from novitai.domain.delivery import Delivery
from novitai.domain.events import Event
from novitai.operations import records
from novitai.ports.store import Store

ALL = "all"
SEARCHED_AT_ONCE = 500
"""Entries read at once in search of an event. Ids sort by their making, so a whole page of older ones ends the search."""


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """Events, newest first; `next_position` goes on from there, None at the end."""

    events: tuple[Event, ...]
    total: int
    next_position: int | None


class Positioned(msgspec.Struct, frozen=True):
    """An event with its place in the log, which only grows."""

    position: int
    event: Event


class DeliveryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries, newest first; `next_cursor` goes on from there, None at the end."""

    deliveries: tuple[Delivery, ...]
    total: int
    next_cursor: str | None


class History:
    """Reads the past."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def events(self, *, key: str = ALL, before: int | None = None, limit: int) -> EventPage:
        """A page of events under a key of the log (`all`, `instance:<id>`, `type:<type>`), older than a position."""
        page = await self._store.read_log(records.EVENTS, key, after=before, limit=limit, descending=True)
        return EventPage(
            events=tuple(records.read_event(entry.body) for entry in page.entries),
            total=await self._store.count_log(records.EVENTS, key),
            next_position=page.next_position,
        )

    async def end(self) -> int:
        """The position of the newest event; 0 when there is none."""
        page = await self._store.read_log(records.EVENTS, ALL, limit=1, descending=True)
        return page.entries[0].position if page.entries else 0

    async def after(self, position: int, *, limit: int) -> Sequence[Positioned]:
        """The events after a position, oldest first."""
        page = await self._store.read_log(records.EVENTS, ALL, after=position, limit=limit)
        return [Positioned(entry.position, records.read_event(entry.body)) for entry in page.entries]

    async def position_of(self, event_id: str) -> int | None:
        """Where an event stands in the log, searched from the newest; None when it is not there, or not any more."""
        before: int | None = None
        while True:
            page = await self._store.read_log(
                records.EVENTS, ALL, after=before, limit=SEARCHED_AT_ONCE, descending=True
            )
            ids = {records.read_event(entry.body).id: entry.position for entry in page.entries}
            if event_id in ids:
                return ids[event_id]
            before = page.next_position
            if before is None or max(ids) < event_id:
                return None

    async def deliveries(self, instance_id: str, *, cursor: str | None, limit: int) -> DeliveryPage:
        """A page of an instance's deliveries. Raises ValueError for a cursor of another list."""
        partition = records.instance_key(instance_id)
        page = await self._store.list(records.DELIVERIES, partition, cursor=cursor, limit=limit, descending=True)
        return DeliveryPage(
            deliveries=tuple(records.read_delivery(record) for record in page.records),
            total=await self._store.count(records.DELIVERIES, partition),
            next_cursor=page.next_cursor,
        )
