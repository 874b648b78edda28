"""Server-sent events, read as they arrive (the WHATWG rules). It takes bytes in and gives messages out; it never waits."""

from collections.abc import Iterable, Iterator

import msgspec

from novitai_client._answers import Failure
from novitai_client._calls import Call
from novitai_client.models import Event

STREAM = Call(method="GET", path="/api/events/stream")


class Interrupted(Exception):
    """The stream ended in a way that another connection may mend; `failure` is what to report if none does."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure.error))
        self.failure = failure


class Message(msgspec.Struct, frozen=True):
    """One message of the stream. `id` is the latest id seen, which is what a reconnect names."""

    id: str
    event: str
    data: str


class MessageReader:
    """Bytes in, messages out. Keeps `last_id` across reconnects; `retry` is the server's wish for a pause in seconds."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry: float | None = None
        self.restart()

    def restart(self) -> None:
        """Forget a message that was cut off: a new connection begins."""
        self._buffer = b""
        self._id = self.last_id
        self._event = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """The messages that are complete with this chunk."""
        *lines, self._buffer = _split(self._buffer + chunk)
        for line in lines:
            if line:
                self._take(line.decode("utf-8", "replace"))
            elif (message := self._dispatch()) is not None:
                yield message

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value[:9]) / 1000

    def _dispatch(self) -> Message | None:
        self.last_id = self._id
        event, data = self._event, "\n".join(self._data)
        had_data = bool(self._data)
        self._event, self._data = "", []
        return Message(self.last_id, event or "message", data) if had_data else None


def events_in(messages: Iterable[Message]) -> Iterator[Event]:
    """The events among the messages; a message that is none (a greeting, a sign of life) is passed over."""
    for message in messages:
        try:
            yield msgspec.json.decode(message.data, type=Event)
        except msgspec.DecodeError:
            continue


def _split(buffer: bytes) -> list[bytes]:
    """Lines ended by LF, CRLF or CR. A CR at the very end waits: its LF may come with the next chunk."""
    tail = b""
    if buffer.endswith(b"\r"):
        buffer, tail = buffer[:-1], b"\r"
    lines = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    lines[-1] += tail
    return lines
