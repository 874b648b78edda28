"""The one arbiter: what may be asked, what asking changes, and what asking again does not."""

import pytest

from novitai.domain.change import Change
from novitai.domain.errors import Code, Refusal
from novitai.domain.events import FactType
from novitai.domain.instance import DesiredState, OperationStatus, Verb, WebhookTarget
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.policies.requests import Same, ask
from support.builders import (
    NOW,
    accepted,
    desired,
    ended,
    health_check,
    instance,
    open_attempt,
    operation,
    seen_machine,
    wish,
)

LIVE = [state for state in State if state.live]


def asked(before, verb, **fields):
    decided = ask(before, wish(verb, **fields))
    assert isinstance(decided, Change), decided
    return decided


def told(change):
    return [fact.type for fact in change.facts]


@pytest.mark.parametrize(
    ("state", "verb"),
    [
        (State.READY, Verb.STOP),
        (State.READY, Verb.RESTART),
        (State.READY, Verb.DELETE),
        (State.STOPPED, Verb.START),
        (State.FAILED, Verb.START),
        (State.CREATING, Verb.STOP),
        (State.STOPPING, Verb.START),
        (State.MIGRATING, Verb.STOP),
    ],
)
def test_the_same_verb_again_is_the_same_operation_and_tells_nothing(state, verb):
    """Asking twice is asking once: same operation, no new facts."""
    first = asked(instance(state), verb)

    again = ask(first.instance, wish(verb, operation_id="op_3", at=NOW + 1))

    assert again == Same(instance=first.instance, under_way=True)
    assert again.instance.operation.id == "op_2"


@pytest.mark.parametrize(
    ("state", "verb"), [(State.READY, Verb.START), (State.STOPPED, Verb.STOP), (State.DELETED, Verb.DELETE)]
)
def test_asking_for_what_already_is_changes_nothing(state, verb):
    """It is so already."""
    before = instance(state)

    assert ask(before, wish(verb)) == Same(instance=before, under_way=False)


def test_starting_what_is_being_created_is_the_create():
    """A start adds nothing to a create that is under way."""
    creating = instance(State.CREATING)

    assert ask(creating, wish(Verb.START)) == Same(instance=creating, under_way=True)


def test_a_stop_while_creating_is_accepted():
    """The create is given up; what was sent is resolved by the next steps."""
    change = asked(instance(State.CREATING, open_attempt=open_attempt()), Verb.STOP)

    assert change.instance.state is State.STOPPING
    assert change.instance.wants is DesiredState.STOPPED
    assert change.instance.open_attempt is not None
    assert told(change) == [FactType.STOPPING]


@pytest.mark.parametrize("state", [state for state in LIVE if state is not State.DELETING])
def test_a_delete_wins_from_every_live_state(state):
    """Whatever is going on, a delete is accepted."""
    change = asked(instance(state), Verb.DELETE, reason="done with it")

    assert change.instance.state is State.DELETING
    assert (change.instance.desired.state, change.instance.desired.reason) == (DesiredState.DELETED, "done with it")
    assert change.instance.operation.verb is Verb.DELETE


@pytest.mark.parametrize("verb", [Verb.START, Verb.RESTART, Verb.STOP])
@pytest.mark.parametrize("state", [State.DELETING, State.DELETED])
def test_nothing_else_is_accepted_while_deleting_and_after(state, verb):
    """A delete is not taken back."""
    with pytest.raises(Refusal) as refused:
        ask(instance(state), wish(verb))

    assert refused.value.code is Code.INVALID_STATE


def test_a_start_while_stopping_is_queued():
    """The stop goes on, the start waits, and knows since when the stop is under way."""
    stopping = instance(State.STOPPING)

    change = asked(stopping, Verb.START)

    assert change.instance.state is State.STOPPING
    assert change.instance.wants is DesiredState.RUNNING
    assert change.instance.operation.verb is Verb.START
    assert change.instance.operation.overtakes == stopping.operation.sent_at
    assert change.instance.operation.sent_at is None
    assert told(change) == [FactType.STARTUP_INITIATED]


def test_a_stop_after_a_start_knows_that_the_start_may_still_show():
    """A machine that stands still may be about to come up."""
    starting = instance(State.STARTING, machine=seen_machine(MachineStatus.STOPPED))

    change = asked(starting, Verb.STOP)

    assert change.instance.operation.overtakes == starting.operation.sent_at


def test_a_stop_while_migrating_is_recorded():
    """The move goes on; what is wanted is known."""
    change = asked(instance(State.MIGRATING), Verb.STOP)

    assert change.instance.state is State.MIGRATING
    assert change.instance.wants is DesiredState.STOPPED
    assert change.instance.operation.verb is Verb.STOP


def test_a_recorded_stop_is_called_off_by_a_start():
    """Before it has begun, nothing needs to be sent for that."""
    running = instance(State.RUNNING, desired=desired(DesiredState.STOPPED), operation=operation(Verb.STOP))

    change = asked(running, Verb.START)

    assert change.instance.state is State.RUNNING
    assert change.instance.wants is DesiredState.RUNNING
    assert change.instance.operation.accepted_at == NOW


def test_a_lost_machine_cannot_be_started():
    """There is nothing to start, and another is not bought behind anyone's back."""
    for verb in (Verb.START, Verb.RESTART):
        with pytest.raises(Refusal) as refused:
            ask(instance(State.LOST), wish(verb))
        assert refused.value.code is Code.INSTANCE_NOT_STARTABLE


@pytest.mark.parametrize("verb", [Verb.START, Verb.RESTART])
@pytest.mark.parametrize("state", [State.FAILED, State.STOPPED])
def test_without_a_machine_a_start_creates_again(state, verb):
    """A failed or never sent create can be tried again, with every offer allowed anew."""
    change = asked(instance(state, machine=None, startup_retries=1), verb)

    assert change.instance.state is State.CREATING
    assert (change.instance.refusals, change.instance.startup_retries) == ((), 0)
    assert change.instance.last_error is None
    assert told(change) == [FactType.STARTUP_INITIATED]


def test_a_restart_of_a_stopped_machine_is_a_start():
    """It ends in the same state."""
    change = asked(instance(State.STOPPED), Verb.RESTART)

    assert change.instance.state is State.STARTING
    assert told(change) == [FactType.STARTUP_INITIATED]


@pytest.mark.parametrize("state", [State.RUNNING, State.HEALTH_CHECKING, State.READY])
def test_a_restart_of_a_running_machine_begins_anew(state):
    """Its checks are forgotten, its operation is new."""
    change = asked(instance(state), Verb.RESTART)

    assert change.instance.state is State.STARTING
    assert (change.instance.health, change.instance.running_at) == (None, None)
    assert change.instance.operation.verb is Verb.RESTART
    assert told(change) == [FactType.STARTUP_INITIATED]


def test_a_stop_of_what_has_no_machine_only_changes_what_is_wanted():
    """There is nothing to stop; what was under way is superseded, and nothing is told."""
    failed = instance(State.FAILED)

    change = asked(failed, Verb.STOP)

    assert change.instance.state is State.FAILED
    assert change.instance.wants is DesiredState.STOPPED
    assert change.facts == ()


def test_a_failed_machine_can_be_stopped():
    """It bills; stopping it is what a user wants next."""
    change = asked(instance(State.FAILED, machine=seen_machine()), Verb.STOP)

    assert change.instance.state is State.STOPPING


def test_a_stop_seen_outside_is_not_repeated():
    """It is being stopped already, whoever said so."""
    stopping = instance(
        State.STOPPING, desired=desired(DesiredState.STOPPED, by="outside"), operation=ended(Verb.CREATE)
    )

    assert ask(stopping, wish(Verb.STOP)) == Same(instance=stopping, under_way=True)


def test_a_start_after_a_reclaim_is_a_new_start():
    """What is wanted did not change; asking again acts."""
    reclaimed = instance(
        State.STOPPED,
        desired=desired(DesiredState.RUNNING),
        operation=ended(Verb.CREATE, OperationStatus.COMPLETED),
    )

    change = asked(reclaimed, Verb.START)

    assert change.instance.state is State.STARTING


def test_the_word_says_who_why_and_when():
    """Every change of what is wanted can be explained."""
    change = asked(instance(State.READY), Verb.STOP, by="user:key_9", reason="lunch", correlation_id="corr_9")

    assert change.instance.desired == desired(DesiredState.STOPPED, by="user:key_9", reason="lunch", at=NOW)
    assert change.instance.operation.correlation_id == "corr_9"
    assert change.facts[0].actor == "user:key_9"


def test_a_start_may_bring_its_own_health_check_and_endpoint():
    """The check holds for this start, the endpoint from now on."""
    target = WebhookTarget(url="https://hooks.example.test")

    change = asked(instance(State.STOPPED), Verb.START, health_check=health_check(port=9000), webhook=target)

    assert change.instance.health_check.port == 9000
    assert change.instance.spec.health_check.port is None
    assert change.instance.spec.webhook == target


@pytest.mark.parametrize("state", LIVE)
@pytest.mark.parametrize("verb", [Verb.START, Verb.STOP, Verb.RESTART, Verb.DELETE])
@pytest.mark.parametrize("word", list(DesiredState))
def test_every_verb_in_every_state_is_answered_or_refused_with_a_code(state, verb, word):
    """Nothing that can be asked raises anything but a refusal, whatever was wanted before."""
    for of in (operation(Verb.STOP), accepted(Verb.START), ended(Verb.CREATE)):
        for machine in (None, seen_machine(), seen_machine(MachineStatus.STOPPED)):
            before = instance(state, operation=of, desired=desired(word), machine=machine)

            outcome = outcome_of(before, verb)

            assert outcome != before
            assert not isinstance(outcome, Code) or outcome in (Code.INVALID_STATE, Code.INSTANCE_NOT_STARTABLE)


def outcome_of(before, verb):
    try:
        decided = ask(before, wish(verb))
    except Refusal as refused:
        return refused.code
    return decided if isinstance(decided, Same) else decided.instance
