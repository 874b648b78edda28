"""Creates that are answered unclearly again and again: growing pauses, and an end."""

import pytest

from novitai.domain.errors import Code, NoCapacity
from novitai.domain.events import FactType
from novitai.domain.instance import AttemptOutcome, DesiredState, OperationStatus, Verb
from novitai.domain.lifecycle import State
from novitai.policies import outcomes, unclear
from novitai.policies.actions import Apply, Limits, Moment, Wait
from support import builders
from support.builders import NOW, instance, offer, open_attempt
from support.rehearsal import Rehearsal

PROVEN = open_attempt(disproved_at=NOW)


def searching(times: int, **fields):
    """A create of which so many answers in a row were unclear, the last search just ended."""
    operation = builders.operation(Verb.CREATE, sent_at=NOW - 60.0, unclear=times)
    return instance(State.CREATING, **({"operation": operation, "open_attempt": PROVEN, "attempts": times} | fields))


def moment(at: float = NOW) -> Moment:
    return Moment(now=at, limits=Limits(settle_time=60.0), looks=None, crowded=False)


@pytest.mark.parametrize(("times", "pause"), [(0, 0.0), (1, 0.0), (2, 60.0), (3, 120.0), (4, 240.0), (5, 0.0)])
def test_the_pause_grows_with_every_unclear_answer_and_none_follows_the_last(times, pause):
    """Counted in settle times, after the search has ended."""
    assert unclear.pause_after(times, settle_time=60.0) == pause

    step = unclear.resolve(searching(times), moment())

    assert step == Wait(until=NOW + pause) if pause else isinstance(step, Apply)


@pytest.mark.parametrize("word", [DesiredState.STOPPED, DesiredState.DELETED])
def test_nobody_waits_for_a_pause_when_nothing_is_to_be_bought(word):
    """A stop or delete closes the attempt at once."""
    step = unclear.resolve(searching(4, desired=builders.desired(word)), moment())

    assert isinstance(step, Apply)
    assert step.attempt == (PROVEN.number, AttemptOutcome.ABSENT)


def test_after_the_fifth_unclear_answer_the_create_has_failed():
    """The last attempt is resolved in the same commit, and the failure told once."""
    step = unclear.resolve(searching(5), moment())

    assert isinstance(step, Apply)
    after = step.change.instance
    assert (after.state, after.open_attempt, after.operation.status) == (State.FAILED, None, OperationStatus.FAILED)
    assert after.last_error.code is Code.UPSTREAM_ERROR
    assert [fact.type for fact in step.change.facts] == [FactType.FAILED]
    assert step.attempt == (PROVEN.number, AttemptOutcome.ABSENT)


def test_only_what_novita_answered_counts():
    """A call that was cut off with our own process says nothing about Novita."""
    asked = searching(1, open_attempt=open_attempt())

    answered = unclear.search_from(asked, number=1, at=NOW, answered=True)
    cut_off = unclear.search_from(asked, number=1, at=NOW, answered=False)

    assert (answered.operation.unclear, cut_off.operation.unclear) == (2, 1)
    assert answered.open_attempt == cut_off.open_attempt == open_attempt(sent_at=NOW, ended=True)


def test_the_end_of_another_call_changes_nothing():
    """Its attempt is not the one that is searched for."""
    asked = searching(1, open_attempt=open_attempt(number=2))

    assert unclear.search_from(asked, number=1, at=NOW, answered=True) is asked


@pytest.mark.parametrize(
    ("attempt", "began", "proven"),
    [
        (open_attempt(sent_at=NOW, ended=True), NOW + 60.0, True),
        (open_attempt(sent_at=NOW, ended=True), NOW + 59.9, False),
        (open_attempt(sent_at=NOW, ended=False), NOW + 3600.0, False),
        (open_attempt(number=2, sent_at=NOW, ended=True), NOW + 60.0, False),
    ],
    ids=["a settle time after the call", "sooner", "the call is under way", "another attempt"],
)
def test_a_list_without_the_machine_is_proof_only_a_settle_time_after_the_call_has_ended(attempt, began, proven):
    """Novita may still be at a call that nobody has given up."""
    asked = searching(0, open_attempt=attempt)

    after = unclear.disprove(asked, number=1, began=began, settle_time=60.0)

    assert (after.open_attempt.disproved_at == began) is proven
    assert proven or after is asked


def test_a_clear_refusal_ends_the_row():
    """Novita answers again."""
    refused = outcomes.create_refused(searching(3), number=1, offer=offer(), failure=NoCapacity("full"), at=NOW)

    assert refused.operation.unclear == 0


def test_a_create_that_is_never_answered_ends_within_a_quarter_of_an_hour():
    """Five attempts, then failed; nothing is left open and nothing follows."""
    rehearsal = Rehearsal(answers={"create": ["vanished"] * 50})

    rehearsal.run_until(State.FAILED).settle()

    sent = rehearsal.calls_of("create")
    assert len(sent) == unclear.MOST_UNCLEAR
    assert rehearsal.instance.state_since - NOW <= 900.0
    assert rehearsal.instance.open_attempt is None
    assert rehearsal.facts.count(FactType.FAILED) == 1


def test_a_start_after_that_failure_counts_anew():
    """A person may know that Novita is well again."""
    rehearsal = Rehearsal(answers={"create": ["vanished"] * 6}).run_until(State.FAILED)

    rehearsal.ask(Verb.START)
    rehearsal.run_until(State.READY)

    assert len(rehearsal.calls_of("create")) == unclear.MOST_UNCLEAR + 2
