# Generated from src/novitai_client/_async/events.py
# by scripts/generate_sync_client.py: change that file, then run the script.

"""Calls about the event log: reading it, and following it as it grows."""

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from time import monotonic

import httpx2

from novitai_client._answers import Answer, Failure, failure
from novitai_client._calls import path
from novitai_client._retries import Retries, repeatable
from novitai_client._stream import STREAM, Interrupted, MessageReader, events_in
from novitai_client._sync.connection import Connection
from novitai_client.errors import ServerAway
from novitai_client.models import Event, EventPage

# Once the stream has run, an outage of the server is waited out this patiently before it is reported.
_PATIENCE = Retries(attempts=60, total=300.0, base=0.25, cap=10.0)
# Longer than the pause between the server's signs of life; then the connection is dead and another is made.
_SILENCE_SECONDS = 90.0


class EventCalls(Connection):
    """Calls about events."""

    def events_page(
        self, instance: str | None = None, *, limit: int | None = None, cursor: str | None = None
    ) -> EventPage:
        """One page of the event log, of one instance (id or unique name) or of all."""
        where = path("events") if instance is None else path("instances", instance, "events")
        return self._get(EventPage, where, {"limit": limit, "cursor": cursor})

    def events(self, instance: str | None = None) -> Iterator[Event]:
        """Every event, page after page as you go on."""
        cursor = None
        while True:
            page = self.events_page(instance, cursor=cursor)
            yield from page.events
            cursor = page.next_cursor
            if not cursor:
                return

    def follow_events(self, *, last_event_id: str | None = None) -> Iterator[Event]:
        """Events as they happen, without end; with `last_event_id` beginning after that one.

        A broken connection is made again and goes on after the last event seen. Raises ServerAway when the server cannot
        be reached at first, or stays away for five minutes later; NotAllowed when the key is refused.
        """
        reader = MessageReader(last_event_id or "")
        patience, attempt, contact = self._retries, 1, monotonic()
        while True:
            reader.restart()
            try:
                with closing(self._chunks(reader.last_id)) as chunks:
                    for chunk in chunks:
                        patience, attempt, contact = _PATIENCE, 1, monotonic()
                        yield from events_in(reader.feed(chunk))
            except Interrupted as interrupted:
                lost = interrupted.failure
            else:
                lost = Failure(error=ServerAway(f"the server at {self.base_url} ended the stream of events"))
            pause = patience.pause(
                attempt=attempt,
                elapsed=monotonic() - contact,
                chance=self._chance(),
                retry_after=reader.retry if lost.retry_after is None else lost.retry_after,
            )
            if pause is None:
                raise lost.error
            time.sleep(pause)
            attempt += 1

    def _chunks(self, last_id: str) -> Generator[bytes]:
        """The bytes of one connection. Raises Interrupted when it breaks, or the error that another one would meet, too."""
        headers = {**self._headers(), "Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        timeout = httpx2.Timeout(self._timeout, read=_SILENCE_SECONDS)
        try:
            with self._http.stream("GET", self.base_url + STREAM.path, headers=headers, timeout=timeout) as response:
                if response.status_code != 200:
                    raise _refused(response.status_code, response.headers, response.read())
                yield from response.iter_bytes()
        except httpx2.TransportError as broken:
            raise Interrupted(Failure(error=self._away(broken, STREAM))) from broken


def _refused(status: int, headers: Mapping[str, str], body: bytes) -> Exception:
    refusal = failure(Answer(status=status, headers=headers, body=body), STREAM)
    if repeatable(STREAM, status=status, code=refusal.code, attempt=1):
        return Interrupted(refusal)
    return refusal.error
