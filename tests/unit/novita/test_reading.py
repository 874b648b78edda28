"""Novita's JSON is read as loosely as it comes, and nothing in it can make reading fail in another way than Unreadable."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novitai.novita import translate, v1, wire
from novitai.novita.reading import (
    ABSENT,
    Unreadable,
    check_json,
    moment,
    number,
    part,
    parts,
    record,
    rows,
    text,
    whole,
)

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (16, 16), ("16", 16), (" 16 ", 16), ("16.0", 16), (16.9, 16), ("-1", -1),
        ("", None), (None, None), (True, None), ("many", None), ("nan", None), ("1e999", None), ("9" * 30, None), (10**30, None),
    ],
)  # fmt: skip
def test_a_number_is_read_from_whatever_it_was_written_as(written, meant):
    """64-bit numbers come as text, 32-bit ones as numbers, and nonsense is none (novita-wire.md 1.2)."""
    assert number(written) == meant
    assert whole(written) == (meant or 0)


@pytest.mark.parametrize("written", ["", "0", "-1", 0, -1, None, "never"])
def test_no_time_is_zero(written):
    """All ways in which Novita says "never" are one (novita-wire.md 1.2)."""
    assert moment(written) == 0.0


def test_an_id_written_as_a_number_is_text():
    """Template ids are decimal, and not everybody quotes them."""
    assert text(107672) == "107672"
    assert text(None) == text(False) == ""


def test_a_list_is_found_under_its_key_or_bare():
    """Documents and reality disagree whether lists are wrapped (novita-wire.md 3.1)."""
    wrapped, bare = rows(b'{"data": [1, 2], "total": "7"}', "data"), rows(b"[1, 2]", "data")

    assert len(wrapped.items) == len(bare.items) == 2
    assert (wrapped.total, bare.total) == (7, None)


@pytest.mark.parametrize("body", [b'{"data": null}', b'{"data": []}', b'{"total": 0}', b'{"total": "0"}'])
def test_an_empty_list_may_be_null_or_left_out_when_the_total_says_so(body):
    """Unset lists are null in this dialect, or absent."""
    assert rows(body, "data").items == []


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"{}", b'{"total": 3}', b'{"total": null}', b'{"total": {}}', b'"text"', b'{"data": [], "total": "seven"}', b'{"data": [], "total": -1}', b"7", b'{"data": {}}', b"<html>", b'{"data": [1',
     b"\xff", b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_list_is_unreadable(body):
    """An answer that says nothing must not pass for an empty account: machines would be called lost."""
    with pytest.raises(Unreadable):
        rows(body, "data")


def test_one_odd_record_costs_only_itself():
    """The rest of the page is still good."""
    raw = record(b'[{"port": 80}, 7, {"port": {}}, {"port": "81"}]', msgspec.Raw)

    assert [one.port for one in parts(raw, wire.PortMapping)] == [80, "81"]


def test_a_nested_thing_of_another_shape_is_none():
    """`network` and `statusError` have been seen as objects, lists and nothing."""
    assert part(record(b"[]", msgspec.Raw), wire.StatusError) is None
    assert part(ABSENT, wire.StatusError) is None


@pytest.mark.parametrize("body", [b"", b"  ", b"{}", b"null", b'{"instanceId": "a", "state": "toStop"}'])
def test_an_action_may_answer_with_anything_or_nothing(body):
    """What start, stop and delete say is not reliable (novita-wire.md 1.6)."""
    check_json(body)


@pytest.mark.parametrize("body", [b"<html></html>", b'{"instanceId"', b"\x00"])
def test_an_answer_that_is_no_json_is_unreadable(body):
    """A page of a proxy in between is no success."""
    with pytest.raises(Unreadable):
        check_json(body)


@given(ANYTHING)
def test_no_answer_can_break_a_reader(value):
    """Whatever JSON comes, a list is read or is Unreadable."""
    body = msgspec.json.encode(value)

    for request in (
        v1.machines(1, 10),
        v1.clusters(),
        v1.templates(1, 10),
        v1.registry_auths(),
        v1.network_storages(1, 10),
    ):
        try:
            request.read(body)
        except Unreadable:
            continue


@given(
    st.dictionaries(st.sampled_from([field.encode_name for field in msgspec.structs.fields(wire.Machine)]), ANYTHING)
)
def test_no_record_can_break_its_translation(fields):
    """Whatever the fields hold, a machine is understood or is Unreadable."""
    try:
        found = translate.machine(record(msgspec.json.encode(fields), wire.Machine), detailed=True)
    except Unreadable:
        return
    assert found.id
    assert found.reclaim_at >= 0
