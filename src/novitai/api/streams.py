"""Following the event log: one reader of the tail for all listeners of this process, and the answer that passes it on.

The hub looks into the log when an instance changed, and every other second for what other replicas and the system wrote;
while nobody listens it does nothing. Each listener has a queue of its own; one that is full belongs to a reader who does not
keep up and is let go.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.responses import Response

from novitai.api.events_view import event_answer
from novitai.operations.history import History, Positioned
from novitai.operations.reads import ReadModel
from novitai.ports.store import StoreError
from novitai.ports.world import Clock

LOOK_SECONDS = 2.0
BEAT_SECONDS = 15.0
SEND_SECONDS = 30.0
QUEUE_LENGTH = 1_000
BATCH = 200

Message = MutableMapping[str, Any]


class Listener:
    """One reader's queue. `dropped` is set when it ran over."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Positioned] = asyncio.Queue(QUEUE_LENGTH)
        self.dropped = asyncio.Event()

    def offer(self, entry: Positioned) -> None:
        """Give an entry without waiting."""
        try:
            self.queue.put_nowait(entry)
        except asyncio.QueueFull:
            self.dropped.set()


class Hub:
    """Reads the tail of the log for everybody who listens."""

    def __init__(self, *, history: History, reads: ReadModel, clock: Clock) -> None:
        self.history = history
        self.clock = clock
        self._listeners: set[Listener] = set()
        self._changed = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._position = 0
        reads.listen(lambda _: self._changed.set())

    async def join(self) -> tuple[Listener, int]:
        """A new listener, and the position after which it is given everything."""
        if not self._listeners:
            end = await self.history.end()
            if not self._listeners:  # another one may have joined meanwhile, and has been promised all since then
                self._position = end
        listener = Listener()
        self._listeners.add(listener)
        if self._following is None:
            self._following = asyncio.create_task(self._follow(), name="event stream")
        return listener, self._position

    async def leave(self, listener: Listener) -> None:
        """The listener wants no more; with the last one the reading ends."""
        self._listeners.discard(listener)
        if not self._listeners and self._following is not None:
            following, self._following = self._following, None
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following

    async def _follow(self) -> None:
        while True:
            await self._wait()
            with contextlib.suppress(StoreError):  # away now; the next look finds what was written
                await self._pass_on()

    async def _pass_on(self) -> None:
        while entries := await self.history.after(self._position, limit=BATCH):
            for entry in entries:
                for listener in self._listeners:
                    listener.offer(entry)
            self._position = entries[-1].position

    async def _wait(self) -> None:
        timer = asyncio.ensure_future(self.clock.sleep(LOOK_SECONDS))
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({timer, changed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            changed.cancel()
        self._changed.clear()


class EventStream(Response):
    """The answer of `GET /api/events/stream`. Ends when the reader goes, falls behind or loses its key, and when the server stops."""

    media_type = "text/event-stream"

    def __init__(
        self, hub: Hub, *, after: int | None, allowed: Callable[[], bool], shutting_down: asyncio.Event
    ) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._hub = hub
        self._after = after
        self._allowed = allowed
        self._shutting_down = shutting_down

    async def __call__(
        self,
        _scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        listener, joined_at = await self._hub.join()
        ends = [
            asyncio.ensure_future(self._write(send, listener, joined_at)),
            asyncio.ensure_future(_gone(receive)),
            asyncio.ensure_future(self._shutting_down.wait()),
            asyncio.ensure_future(listener.dropped.wait()),
        ]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
            await self._hub.leave(listener)
        if not listener.dropped.is_set():
            with contextlib.suppress(OSError):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, send: Callable[[Message], Awaitable[None]], listener: Listener, joined_at: int) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        position = joined_at if self._after is None else self._after
        await self._say(send, b"retry: 2000\n: events follow\n\n")
        while position < joined_at and (missed := await self._hub.history.after(position, limit=BATCH)):
            await self._say(send, b"".join(message(entry) for entry in missed))
            position = missed[-1].position
        while True:
            entry = await self._next(listener)
            if not self._allowed():
                return
            if entry is None:
                await self._say(send, b": still here\n\n")
            elif entry.position > position:
                await self._say(send, message(entry))
                position = entry.position

    async def _next(self, listener: Listener) -> Positioned | None:
        """The next entry, or None when it is time for a sign of life."""
        timer = asyncio.ensure_future(self._hub.clock.sleep(BEAT_SECONDS))
        entry = asyncio.ensure_future(listener.queue.get())
        try:
            await asyncio.wait({timer, entry}, return_when=asyncio.FIRST_COMPLETED)
            return entry.result() if entry.done() else None
        finally:
            timer.cancel()
            entry.cancel()

    async def _say(self, send: Callable[[Message], Awaitable[None]], text: bytes) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await send({"type": "http.response.body", "body": text, "more_body": True})


def message(entry: Positioned) -> bytes:
    """One event as a server-sent event; its id is its place in the log."""
    body = event_answer(entry.event).model_dump_json(by_alias=True)
    return f"id: {entry.position}\nevent: {entry.event.type}\ndata: {body}\n\n".encode()


async def _gone(receive: Callable[[], Awaitable[Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
