"""Stops, starts and restarts of a machine that exists: sent once, looked at before they are sent again."""

import pytest

from novitai.domain.errors import Code
from novitai.domain.events import FactType
from novitai.domain.instance import DesiredState, OperationStatus, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus, SpotStatus
from support.builders import instance
from support.rehearsal import DOWN, RESTART, UP, Rehearsal

NO_EFFECT = ()
SLOW_DOWN = ((0.0, MachineStatus.RUNNING), (60.0, MachineStatus.STOPPING), (70.0, MachineStatus.STOPPED))
SLOW_UP = ((10.0, MachineStatus.PENDING), (20.0, MachineStatus.RUNNING))


def ready(**fields):
    return Rehearsal(instance(State.READY), **fields)


def stopped(**fields):
    return Rehearsal(instance(State.STOPPED), **fields)


def test_a_stop_is_sent_once_and_ends_stopped():
    """Stopping, then stopped."""
    rehearsal = ready()
    rehearsal.ask(Verb.STOP)

    rehearsal.settle()

    assert rehearsal.instance.state is State.STOPPED
    assert rehearsal.calls_of("stop") == [rehearsal.instance.operation.requested_at]
    assert rehearsal.facts == [FactType.STOPPING, FactType.STOPPED]


def test_an_accepted_stop_without_effect_is_looked_at_and_sent_again():
    """Not before it had time to show."""
    rehearsal = ready(down=NO_EFFECT)
    rehearsal.ask(Verb.STOP)
    rehearsal.run(80)
    rehearsal.down = DOWN

    rehearsal.settle()

    first, second = rehearsal.calls_of("stop")
    assert second - first == 90
    assert rehearsal.calls_of("look")[-1] >= first + 90
    assert rehearsal.instance.state is State.STOPPED


def test_a_stop_that_takes_long_is_not_sent_again():
    """The machine says that it is stopping."""
    rehearsal = ready(down=((0.0, MachineStatus.STOPPING), (400.0, MachineStatus.STOPPED)))
    rehearsal.ask(Verb.STOP)

    rehearsal.settle()

    assert len(rehearsal.calls_of("stop")) == 1


@pytest.mark.parametrize(("answer", "sent"), [("unclear", 1), ("vanished", 2)])
def test_after_an_unclear_stop_the_machine_is_looked_at_first(answer, sent):
    """Sent again only when it was not done."""
    rehearsal = ready(answers={"stop": [answer]})
    rehearsal.ask(Verb.STOP)

    rehearsal.settle()

    stop, look = rehearsal.calls_of("stop"), rehearsal.calls_of("look")
    assert len(stop) == sent
    assert stop[0] < look[0] <= stop[-1] or sent == 1
    assert rehearsal.instance.state is State.STOPPED


def test_a_start_goes_to_ready():
    """With its phases, told once."""
    rehearsal = stopped()
    rehearsal.ask(Verb.START)

    rehearsal.run_until(State.READY).settle()

    assert rehearsal.facts == [
        FactType.STARTUP_INITIATED,
        FactType.STARTUP_PROGRESS,
        FactType.RUNNING,
        FactType.STARTUP_PROGRESS,
        FactType.HEALTH_CHECK_STARTED,
        FactType.STARTUP_PROGRESS,
        FactType.STARTUP_PROGRESS,
        FactType.READY,
    ]
    assert len(rehearsal.calls_of("start")) == 1


@pytest.mark.parametrize(("answer", "sent"), [("unclear", 1), ("vanished", 2)])
def test_after_an_unclear_start_or_restart_the_machine_is_looked_at_first(answer, sent):
    """What shows its effect was accepted."""
    start = stopped(answers={"start": [answer]})
    start.ask(Verb.START)
    restart = ready(answers={"restart": [answer]})
    restart.ask(Verb.RESTART)

    start.run_until(State.READY)
    restart.run_until(State.READY)

    assert len(start.calls_of("start")) == sent
    assert len(restart.calls_of("restart")) == sent


def test_a_start_that_takes_too_long_leaves_the_machine():
    """It holds the user's disk: nothing of it is deleted, and it may still come up."""
    rehearsal = stopped(up=((0.0, MachineStatus.PENDING),))
    rehearsal.ask(Verb.START)

    rehearsal.run_until(State.FAILED).settle()

    assert rehearsal.calls_of("delete") == []
    assert rehearsal.instance.machine is not None
    assert rehearsal.instance.last_error.code is Code.STARTUP_TIMEOUT
    assert rehearsal.facts.count(FactType.STARTUP_FAILED) == 1


def test_a_start_without_capacity_leaves_the_machine_stopped():
    """Told once, and not tried again by itself."""
    rehearsal = stopped(answers={"start": ["no capacity"]})
    rehearsal.ask(Verb.START)

    rehearsal.settle()

    assert rehearsal.instance.state is State.STOPPED
    assert rehearsal.facts == [FactType.STARTUP_INITIATED, FactType.FAILED]
    assert len(rehearsal.calls_of("start")) == 1


def test_a_start_after_a_failed_start_whose_machine_runs_needs_no_call():
    """It only has to answer now."""
    rehearsal = ready(app_answers_after=None)
    rehearsal.ask(Verb.RESTART)
    rehearsal.run_until(State.FAILED)
    rehearsal.app_answers_after = 0.0
    rehearsal.ask(Verb.START)

    rehearsal.run_until(State.READY)

    assert rehearsal.calls_of("start") == []


def test_a_start_asked_while_stopping_begins_when_the_stop_is_done():
    """The stop ends, then the start is sent, under the operation that was asked."""
    rehearsal = ready()
    rehearsal.ask(Verb.STOP)
    rehearsal.run(3)
    rehearsal.ask(Verb.START)
    operation_id = rehearsal.instance.operation.id

    rehearsal.run_until(State.READY)

    assert len(rehearsal.calls_of("stop")) == len(rehearsal.calls_of("start")) == 1
    assert rehearsal.instance.operation.id == operation_id
    assert rehearsal.instance.wants is DesiredState.RUNNING
    assert rehearsal.facts.count(FactType.STOPPED) == 1


def test_a_slow_stop_is_not_taken_for_one_without_effect():
    """A start that waits does not give up before the stop could show, which would swallow the start."""
    rehearsal = ready(down=SLOW_DOWN)
    rehearsal.ask(Verb.STOP)
    rehearsal.run(3)
    rehearsal.ask(Verb.START)

    rehearsal.run_until(State.READY).settle()

    assert rehearsal.instance.desired.by == "user:key_2"
    assert len(rehearsal.calls_of("start")) == 1


def test_a_start_calls_off_a_stop_that_was_never_sent():
    """The machine goes on running."""
    rehearsal = ready()
    rehearsal.ask(Verb.STOP)
    rehearsal.ask(Verb.START)

    rehearsal.run_until(State.READY)

    assert rehearsal.calls_of("stop") == rehearsal.calls_of("start") == []


def test_a_stop_right_after_a_start_is_not_done_because_the_start_does_not_show_yet():
    """The machine still stands when the stop is asked; it comes up and is stopped, and the stop is not overruled."""
    rehearsal = stopped(up=SLOW_UP)
    rehearsal.ask(Verb.START)
    rehearsal.run(1)
    rehearsal.ask(Verb.STOP)

    rehearsal.settle()

    assert rehearsal.instance.state is State.STOPPED
    assert rehearsal.instance.desired.by == "user:key_2"
    assert len(rehearsal.calls_of("stop")) == 1
    assert rehearsal.billing == []


def test_a_restart_restarts_once():
    """And is checked anew."""
    rehearsal = ready()
    rehearsal.ask(Verb.RESTART)

    rehearsal.run_until(State.READY).settle()

    assert len(rehearsal.calls_of("restart")) == 1
    assert rehearsal.facts.count(FactType.READY) == 1


def test_a_restart_that_nobody_saw_counts_after_a_while():
    """It may be quicker than the poll."""
    rehearsal = ready(restarting=((0.0, MachineStatus.RUNNING),))
    rehearsal.ask(Verb.RESTART)

    rehearsal.run_until(State.READY)

    assert len(rehearsal.calls_of("restart")) == 1
    assert rehearsal.instance.operation.status is OperationStatus.COMPLETED


def test_a_stop_asked_while_migrating_is_done_after_the_move():
    """The move is not disturbed; then the machine is stopped."""
    rehearsal = ready()
    rehearsal.machine.follow(((0.0, MachineStatus.MIGRATING), (60.0, MachineStatus.RUNNING)), now=rehearsal.now)
    rehearsal.run_until(State.MIGRATING)
    rehearsal.ask(Verb.STOP)

    rehearsal.settle()

    assert rehearsal.instance.state is State.STOPPED
    assert len(rehearsal.calls_of("stop")) == 1
    assert rehearsal.calls_of("stop")[0] >= rehearsal.instance.operation.requested_at + 50


def test_a_machine_restarted_outside_is_checked_again():
    """Ready twice, since it was started twice."""
    rehearsal = ready()
    rehearsal.machine.follow(RESTART, now=rehearsal.now)

    rehearsal.run_until(State.STARTING).run_until(State.READY).settle()

    assert rehearsal.facts.count(FactType.READY) == 1
    assert rehearsal.instance.operation.by == "outside"


def test_a_reclaimed_machine_stays_wanted_and_quiet():
    """Told; nothing is sent by itself."""
    rehearsal = ready()
    rehearsal.machine.spot = SpotStatus.NOTIFIED
    rehearsal.run(30)
    rehearsal.machine.follow(DOWN, now=rehearsal.now)

    rehearsal.settle()

    assert rehearsal.facts == [FactType.SPOT_NOTICE, FactType.STOPPING, FactType.STOPPED, FactType.RECLAIMED]
    assert (rehearsal.instance.state, rehearsal.instance.wants) == (State.STOPPED, DesiredState.RUNNING)
    assert set(rehearsal.calls_of("start") + rehearsal.calls_of("create")) == set()


def test_a_stopped_machine_started_outside_becomes_ready():
    """It is followed like one of ours."""
    rehearsal = stopped()
    rehearsal.machine.follow(UP, now=rehearsal.now)

    rehearsal.run_until(State.READY)

    assert rehearsal.instance.desired.by == "outside"


def test_a_start_that_novita_goes_on_refusing_for_the_state_fails_after_as_long_as_a_start_may_take():
    """Asked again with growing pauses meanwhile; then failed once, with Novita's words, and the machine left as it is."""
    rehearsal = stopped(answers={"start": ["invalid state"] * 500})
    rehearsal.ask(Verb.START)
    asked = rehearsal.now
    rehearsal.run_until(State.FAILED).settle()

    sent = rehearsal.calls_of("start")
    assert 600 <= sent[-1] - asked <= 720
    assert len(sent) <= 20
    assert rehearsal.instance.last_error.code is Code.INVALID_STATE
    assert "invalid state change" in rehearsal.instance.last_error.message
    assert (rehearsal.machine.status, rehearsal.instance.wants) == (MachineStatus.STOPPED, DesiredState.RUNNING)
    assert rehearsal.facts.count(FactType.FAILED) == 1


def test_a_machine_that_comes_up_after_the_start_was_given_up_is_taken():
    """Late, and welcome."""
    rehearsal = stopped(answers={"start": ["invalid state"] * 500})
    rehearsal.ask(Verb.START)
    rehearsal.run_until(State.FAILED)
    rehearsal.machine.follow(UP, now=rehearsal.now)

    rehearsal.run_until(State.READY)

    assert rehearsal.instance.last_error is None


def test_a_restart_that_novita_goes_on_refusing_leaves_the_machine_running():
    """The restart has failed; the machine runs and is checked as ever."""
    rehearsal = ready(answers={"restart": ["invalid state"] * 500})
    rehearsal.ask(Verb.RESTART)
    rehearsal.run(1200).settle()

    assert rehearsal.facts.count(FactType.FAILED) == 1
    assert rehearsal.instance.state is State.READY
    assert rehearsal.machine.status is MachineStatus.RUNNING


def test_a_start_that_is_refused_for_a_while_still_becomes_ready():
    """What the machine's state forbids now, it may allow in a minute; the passing trouble is forgotten."""
    rehearsal = stopped(answers={"start": ["invalid state"] * 4})
    rehearsal.ask(Verb.START)

    rehearsal.run_until(State.READY)

    assert rehearsal.instance.last_error is None
    assert len(rehearsal.calls_of("start")) == 5


def test_a_start_that_could_not_be_sent_for_long_is_not_given_up():
    """Only a refusal for the machine's state counts, and one that comes after the time is over."""
    rehearsal = stopped(answers={"start": ["invalid state", *["refused"] * 30]})
    rehearsal.ask(Verb.START)

    rehearsal.run_until(State.READY)

    assert rehearsal.now - rehearsal.instance.operation.requested_at > 600
