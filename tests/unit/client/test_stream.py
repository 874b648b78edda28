"""Reading server-sent events from bytes as they come."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from novitai_client._stream import Message, MessageReader, events_in

STREAM = (
    b': sign of life\n\nid: 1\nevent: instance.ready\ndata: {"a":\ndata: 1}\n\n'
    b"data:no space\r\n\r\nretry: 1500\nid: 2\ndata: \xc3\xa9\r\rid: 3\n\ndata: cut off"
)
MESSAGES = [
    Message("1", "instance.ready", '{"a":\n1}'),
    Message("1", "message", "no space"),
    Message("2", "message", "é"),
]


@given(st.lists(st.integers(1, len(STREAM) - 1)))
def test_messages_do_not_depend_on_how_the_bytes_arrive(cuts: list[int]) -> None:
    """Cut anywhere, even inside a character or between CR and LF."""
    places = [0, *sorted(set(cuts)), len(STREAM)]
    reader = MessageReader()

    got = [message for a, b in pairwise(places) for message in reader.feed(STREAM[a:b])]

    assert got == MESSAGES
    assert (reader.last_id, reader.retry) == ("3", 1.5)


def test_a_message_that_was_cut_off_is_forgotten_on_reconnect() -> None:
    """Its id is not taken either, so the server sends it again."""
    reader = MessageReader("7")
    list(reader.feed(b"id: 8\ndata: half"))

    reader.restart()

    assert reader.last_id == "7"
    assert list(reader.feed(b"data: whole\n\n")) == [Message("7", "message", "whole")]


def test_messages_that_are_no_events_are_passed_over() -> None:
    messages = [
        Message("", "hello", "hi"),
        Message("", "x", "[]"),
        Message("1", "e", '{"id": "1", "type": "instance.ready"}'),
    ]

    assert [event.type for event in events_in(messages)] == ["instance.ready"]
