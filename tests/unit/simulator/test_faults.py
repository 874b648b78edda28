"""Scripted trouble is read strictly and used up in order."""

import random

import pytest

from novita_simulator.faults import Faults
from novita_simulator.fields import Fields, InvalidField
from novita_simulator.http.faulting import spoil
from novita_simulator.http.reply import json_reply

CREATE = ("POST", "/gpu-instance/openapi/v1/gpu/instance/create")
LIST = ("GET", "/gpu-instance/openapi/v1/gpu/instances")


@pytest.fixture
def faults():
    return Faults(random.Random(1))


def test_a_fault_hits_the_calls_it_matches_and_no_more_than_its_count(faults):
    """The expression is searched in `METHOD /path`; after `count` hits the fault is gone."""
    faults.add(Fields({"match": "POST .*instance/create", "mode": "reset", "count": 2}))

    taken = [faults.take(*call) for call in (LIST, CREATE, CREATE, CREATE)]

    assert [fault.mode if fault else None for fault in taken] == [None, "reset", "reset", None]
    assert list(faults) == []


def test_faults_on_the_same_call_happen_in_the_order_posted(faults):
    """First the one, then the other: a script of several troubles."""
    for mode in ("hang", "reset", "html"):
        faults.add(Fields({"match": "create", "mode": mode}))

    assert [faults.take(*CREATE).mode for _ in range(3)] == ["hang", "reset", "html"]


def test_a_fault_without_end_stays_until_cleared(faults):
    """count -1."""
    faults.add(Fields({"match": ".", "mode": "status", "count": -1}))

    assert all(faults.take(*LIST) for _ in range(100))
    assert faults.clear() == 1
    assert faults.take(*LIST) is None


def test_a_fault_may_hit_a_share_of_the_calls(faults):
    """probability 0.1 hits about one call in ten, the same ones in every run."""
    faults.add(Fields({"match": ".", "mode": "status", "count": -1, "probability": 0.1}))

    hits = sum(faults.take(*LIST) is not None for _ in range(1000))

    assert 70 < hits < 130


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "mode"),
        ({"mode": "explode", "match": "."}, "mode"),
        ({"mode": "reset"}, "match"),
        ({"mode": "reset", "match": "("}, "match"),
        ({"mode": "status", "match": ".", "status": 42}, "status"),
        ({"mode": "status", "match": ".", "count": -2}, "count"),
        ({"mode": "status", "match": ".", "afterEfect": True}, "afterEfect"),
        ({"mode": "status", "match": ".", "retryAfter": [1]}, "retryAfter"),
        ([], "body"),
    ],
)
def test_a_bad_fault_is_refused_with_the_field_named(faults, body, field):
    """A misspelt rehearsal must not pass for a quiet one."""
    with pytest.raises(InvalidField) as refused:
        faults.add(Fields(body))

    assert refused.value.field == field


def spoiled(faults, reply, **fault):
    return spoil(faults.add(Fields({"match": ".", **fault})), reply, "/list?page=1")


def test_an_error_answer_has_novitas_body_and_any_retry_after(faults):
    """Seconds, a date or nonsense go out as they are."""
    for retry_after in (7, "Wed, 21 Oct 2026 07:28:00 GMT", "soon"):
        reply = spoiled(faults, None, mode="status", status=429, retryAfter=retry_after)

        assert reply.status == 429
        assert b'"reason": "RATE_LIMIT_EXCEEDED"' in reply.body
        assert reply.headers == {"Retry-After": str(retry_after)}


def test_an_empty_list_and_a_short_one_lie_in_different_ways(faults):
    """empty: no items and total 0; short-list: items missing, total as it is; no list: an empty body."""
    true = json_reply({"instances": [{"id": str(n)} for n in range(9)], "total": 9})

    assert spoiled(faults, true, mode="empty").body == b'{"instances": [], "total": 0}'
    assert spoiled(faults, true, mode="short-list").body.count(b'"id"') == 6
    assert b'"total": 9' in spoiled(faults, true, mode="short-list").body
    assert spoiled(faults, json_reply({"id": "1"}), mode="empty").body == b""


def test_a_stale_list_repeats_the_first_answer(faults):
    """What was true when the fault first struck is told until it is used up."""
    fault = faults.add(Fields({"match": ".", "mode": "stale", "count": -1}))

    first = spoil(fault, json_reply({"instances": [1]}), "/list")
    later = spoil(fault, json_reply({"instances": [1, 2]}), "/list")
    other = spoil(fault, json_reply({"instances": [3]}), "/list?pageNum=2")

    assert first.body == later.body != other.body


def test_truncated_malformed_and_mistyped_answers_are_what_they_say(faults):
    """Cut in the middle, no JSON at all, and JSON of the wrong types."""
    true = json_reply({"instances": [{"id": "a", "port": 80}], "total": 1})

    assert true.body.startswith(spoiled(faults, true, mode="truncate").body)
    assert not spoiled(faults, None, mode="malformed").body.endswith(b"}")
    mistyped = spoiled(faults, true, mode="wrong-types").body
    assert mistyped == b'{"instances": [{"id": 7, "port": "seven"}], "total": "seven"}'
