"""From a create to ready, and every way in which that fails."""

import pytest

from novitai.domain.errors import Code
from novitai.domain.events import FactType
from novitai.domain.instance import AttemptOutcome, Health, OperationStatus, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.policies.steps import Act, Action, Apply, Limits, Wait, next_step
from support.builders import INDIA, NOW, accepted, instance, offer, open_attempt, seen_machine, spec
from support.rehearsal import Rehearsal

NEVER_RUNS = ((0.0, MachineStatus.PENDING), (5.0, MachineStatus.STARTING))
LIMITS = Limits()


def test_a_create_goes_all_the_way_to_ready_and_tells_each_step_once():
    """The facts of a create come in the order in which things happen, none twice."""
    rehearsal = Rehearsal()

    rehearsal.run_until(State.READY).settle()

    assert rehearsal.facts == [
        FactType.CREATED,
        FactType.STARTUP_PROGRESS,
        FactType.RUNNING,
        FactType.STARTUP_PROGRESS,
        FactType.HEALTH_CHECK_STARTED,
        FactType.STARTUP_PROGRESS,
        FactType.STARTUP_PROGRESS,
        FactType.READY,
    ]
    assert rehearsal.instance.operation.status is OperationStatus.COMPLETED
    assert rehearsal.bought == 1


@pytest.mark.parametrize("ports", [None, ()])
def test_without_ssh_details_ready_comes_five_seconds_after_the_checks_passed(ports):
    """`ready` waits for SSH details, but not for ever; also when there is nothing to check."""
    asked = spec() if ports is None else spec(ports=ports)
    rehearsal = Rehearsal(instance(State.CREATING, spec=asked), ssh=False)

    after = rehearsal.run_until(State.READY).instance

    assert after.ready_at == after.health.passed_at + 5.0


def test_a_machine_without_ssh_is_not_looked_at_for_ever():
    """Ten minutes after ready nobody expects the details any more."""
    rehearsal = Rehearsal(ssh=False).run_until(State.READY)

    rehearsal.settle()

    assert rehearsal.calls_of("look")[-1] <= rehearsal.instance.ready_at + 660


def test_an_offer_without_capacity_is_followed_by_the_next():
    """Within the same request, at once."""
    rehearsal = Rehearsal(answers={"create": ["no capacity"]})

    rehearsal.run_until(State.READY)

    assert rehearsal.instance.offer == offer(INDIA)
    assert rehearsal.calls_of("create") == [NOW, NOW]
    assert rehearsal.bought == 1


def test_when_every_offer_refuses_the_create_fails_once_and_can_be_asked_again():
    """`failed`, not `startup_failed`, since Novita accepted nothing; a new start tries every offer anew."""
    rehearsal = Rehearsal(answers={"create": ["no capacity", "no capacity"]}).settle()
    failed, told = rehearsal.instance, list(rehearsal.facts)

    rehearsal.ask(Verb.START)
    rehearsal.run_until(State.READY)

    assert failed.state is State.FAILED
    assert [refusal.code for refusal in failed.refusals] == [Code.NO_CAPACITY] * 2
    assert told == [FactType.FAILED]
    assert rehearsal.bought == 1


def test_a_machine_that_never_runs_is_deleted_and_the_next_offer_tried_once():
    """A start-up that takes too long costs one more machine, elsewhere; then it has failed, once told."""
    rehearsal = Rehearsal(up=NEVER_RUNS)

    rehearsal.run_until(State.FAILED).settle()

    assert rehearsal.calls_of("create") == [NOW, NOW + 600]
    assert rehearsal.billing == []
    assert (rehearsal.instance.machine, rehearsal.instance.offer) == (None, offer(INDIA))
    assert [kind for kind in rehearsal.facts if "failed" in kind] == [FactType.STARTUP_FAILED]
    assert rehearsal.instance.last_error.code is Code.STARTUP_TIMEOUT


def test_no_other_offer_after_a_machine_that_never_ran_is_a_failed_start_up():
    """Novita had accepted: the one failure is told as `startup_failed`."""
    rehearsal = Rehearsal(up=NEVER_RUNS, offers=(offer(),)).settle()

    assert [kind for kind in rehearsal.facts if "failed" in kind] == [FactType.STARTUP_FAILED]
    assert rehearsal.billing == []


def test_the_second_machine_becomes_ready_while_the_first_one_refuses_to_go():
    """A machine that will not be deleted keeps nobody from going on, and is not forgotten."""
    rehearsal = Rehearsal(up=NEVER_RUNS, gone=((0.0, MachineStatus.REMOVING),)).run(590)
    rehearsal.up = Rehearsal().up

    rehearsal.run(120)

    assert rehearsal.instance.state is State.READY
    assert len(rehearsal.instance.discarded) == 1


def test_a_protected_machine_is_never_discarded():
    """It is kept, the failure is told, and it may still come up."""
    rehearsal = Rehearsal(instance(State.CREATING, spec=spec(protect=True)), up=NEVER_RUNS)
    rehearsal.run_until(State.FAILED).settle()

    assert rehearsal.bought == 1
    assert rehearsal.calls_of("delete") == []
    assert rehearsal.facts[-1] is FactType.STARTUP_FAILED
    assert rehearsal.instance.machine is not None


def test_pulling_has_its_own_limit_and_does_not_count_against_the_start():
    """A big image may take long; the start-up clock stands still meanwhile."""
    slow = ((0.0, MachineStatus.PENDING), (5.0, MachineStatus.PULLING), (1500.0, MachineStatus.STARTING))
    rehearsal = Rehearsal(up=(*slow, (1800.0, MachineStatus.RUNNING)))

    rehearsal.run_until(State.READY)

    assert rehearsal.bought == 1


def test_an_image_that_is_never_pulled_ends_the_start():
    """After the limit for pulling, with its own code."""
    rehearsal = Rehearsal(up=((0.0, MachineStatus.PENDING), (5.0, MachineStatus.PULLING)))

    rehearsal.run_until(State.FAILED).settle()

    assert rehearsal.calls_of("create") == [NOW, NOW + 5 + 1800]
    assert rehearsal.instance.last_error.code is Code.PULL_TIMEOUT
    assert rehearsal.billing == []


def test_an_application_that_does_not_answer_fails_the_start_and_is_still_asked():
    """The machine is kept, the failure told once, and a late `ready` is told as well."""
    rehearsal = Rehearsal(app_answers_after=400.0)

    rehearsal.run_until(State.FAILED)
    failed = rehearsal.instance
    rehearsal.run_until(State.READY).settle()

    assert failed.last_error.code is Code.HEALTH_CHECK_TIMEOUT
    assert failed.machine is not None
    assert rehearsal.facts.count(FactType.STARTUP_FAILED) == 1
    assert rehearsal.facts[-1] is FactType.READY
    assert rehearsal.instance.last_error is None


def test_a_late_ready_without_ssh_details_comes_too():
    """Waiting for details does not keep a failed instance failed."""
    rehearsal = Rehearsal(app_answers_after=400.0, ssh=False)

    rehearsal.run_until(State.FAILED).run_until(State.READY)

    assert rehearsal.instance.ready_at == rehearsal.instance.health.passed_at + 5.0


@pytest.mark.parametrize("lag", [0.0, 30.0])
def test_an_unclear_create_that_made_a_machine_is_adopted(lag):
    """The answer was lost, the machine is found by its name, and no other is bought."""
    rehearsal = Rehearsal(answers={"create": ["unclear"]}, list_lag=lag)

    rehearsal.run_until(State.READY).settle()

    assert rehearsal.bought == 1
    assert rehearsal.calls_of("create") == [NOW]
    assert rehearsal.instance.strays == ()


def test_an_unclear_create_that_made_nothing_is_sent_again_under_a_new_number_after_proof():
    """Not before a complete sweep after the settle time shows no machine."""
    rehearsal = Rehearsal(answers={"create": ["vanished"]})

    rehearsal.run_until(State.READY)

    first, second = rehearsal.calls_of("create")
    assert second - first >= rehearsal.settle_time
    assert rehearsal.instance.attempts == 2
    assert rehearsal.instance.machine.name == "demo-2"


def test_an_attempt_that_is_not_disproved_keeps_everything_waiting():
    """However long it takes: nothing is bought while it is unclear."""
    creating = instance(State.CREATING, open_attempt=open_attempt(sent_at=NOW - 86_400))

    assert isinstance(next_step(creating, now=NOW, limits=LIMITS), Wait)


def test_the_record_of_a_disproved_attempt_is_closed_in_the_same_commit():
    """The step names it."""
    creating = instance(State.CREATING, open_attempt=open_attempt(3, disproved_at=NOW - 1))

    step = next_step(creating, now=NOW, limits=LIMITS)

    assert isinstance(step, Apply)
    assert step.attempt == (3, AttemptOutcome.ABSENT)
    assert step.change.instance.open_attempt is None


def test_a_stop_before_anything_was_sent_ends_without_a_machine():
    """Nothing was bought, nothing is to be stopped."""
    rehearsal = Rehearsal()
    rehearsal.ask(Verb.STOP)

    rehearsal.settle()

    assert rehearsal.instance.state is State.STOPPED
    assert (rehearsal.bought, rehearsal.calls) == (0, [])
    assert rehearsal.facts == [FactType.STOPPING, FactType.STOPPED]


@pytest.mark.parametrize("answer", ["ok", "unclear", "vanished"])
def test_a_stop_after_a_create_was_sent_resolves_it_first(answer):
    """Whatever came of the create: in the end it is stopped, and nothing bills."""
    rehearsal = Rehearsal(answers={"create": [answer]}).run(1)
    rehearsal.ask(Verb.STOP)

    rehearsal.settle()

    assert rehearsal.instance.state is State.STOPPED
    assert rehearsal.billing == []
    assert len(rehearsal.calls_of("create")) == 1


def test_a_start_after_a_stop_after_a_create_keeps_the_machine():
    """Calling off a stop that was not sent yet buys nothing new."""
    rehearsal = Rehearsal(answers={"stop": ["refused"]}).run(1)
    rehearsal.ask(Verb.STOP)
    rehearsal.ask(Verb.START)

    rehearsal.run_until(State.READY)

    assert rehearsal.bought == 1


def test_endpoints_that_are_not_told_yet_are_looked_for_before_checks_begin():
    """Only a single read may show them."""
    running = instance(State.RUNNING, machine=seen_machine(ports=(), connection=None), running_at=NOW)

    first = next_step(running, now=NOW, limits=LIMITS)
    then = next_step(running, now=NOW + 1, limits=LIMITS, looked_at=NOW)
    at_last = next_step(running, now=NOW + 300, limits=LIMITS, looked_at=NOW + 299)

    assert first == Act(Action.LOOK, running.machine.id)
    assert then == Wait(until=NOW + 3)
    assert isinstance(at_last, Apply)
    assert at_last.change.instance.state is State.HEALTH_CHECKING


def test_looks_are_told_apart_by_machine():
    """A look at one machine is none at another."""
    operation = accepted(Verb.STOP, at=NOW - 100)
    stopping = instance(State.STOPPING, operation=operation)

    step = next_step(stopping, now=NOW, limits=LIMITS, looked_at={"other": NOW})

    assert step == Act(Action.LOOK, stopping.machine.id)


def test_while_other_creates_wait_for_room_ready_does_not_wait_for_ssh_details():
    """Nobody's start is held up for a look that another's create needs; the details come later."""
    passed = Health(started_at=NOW - 2, passed_at=NOW)
    checking = instance(State.HEALTH_CHECKING, health=passed, machine=seen_machine(connection=None))

    step = next_step(checking, now=NOW, limits=LIMITS, crowded=True)

    assert isinstance(step, Apply)
    assert step.change.instance.state is State.READY


def test_a_look_before_this_run_says_nothing_of_its_ssh_details() -> None:
    """After a restart the details are read anew at once: what was read of the earlier run does not count as looking."""
    began = NOW - 1
    checking = instance(
        State.HEALTH_CHECKING, machine=seen_machine(connection=None), running_at=began, health=Health(started_at=began)
    )
    assert checking.machine is not None

    step = next_step(checking, now=NOW, limits=Limits(), looked_at=began - 5)

    assert step == Act(Action.LOOK, checking.machine.id, patient=True)
