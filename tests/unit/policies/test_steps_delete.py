"""A delete ends everything of the instance, is confirmed by reading, and is never given up."""

from itertools import pairwise

import pytest

from novitai.domain.change import Change
from novitai.domain.events import FactType
from novitai.domain.ids import MachineId
from novitai.domain.instance import OperationStatus, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.policies import outcomes
from novitai.policies.steps import Act, Action, Limits, Wait, next_step
from support.builders import MACHINE_ID, NOW, instance, open_attempt
from support.rehearsal import GONE, MadeUpMachine, Rehearsal

LIMITS = Limits()
STRAY, SPARE = MachineId("stray"), MachineId("spare")


def test_a_delete_is_sent_once_confirmed_and_told():
    """Deleted is told when a reading says so, not when the call was accepted."""
    rehearsal = Rehearsal(instance(State.READY))
    rehearsal.ask(Verb.DELETE)
    rehearsal.run(3)
    accepted = rehearsal.instance

    rehearsal.settle()

    assert accepted.state is State.DELETING
    assert rehearsal.calls_of("delete") == [NOW]
    assert rehearsal.instance.state is State.DELETED
    assert rehearsal.instance.operation.status is OperationStatus.COMPLETED
    assert rehearsal.facts == [FactType.DELETED]


def test_a_delete_removes_the_machine_the_discarded_and_the_strays():
    """Only when all are gone the instance is."""
    rehearsal = Rehearsal(instance(State.READY, discarded=(SPARE,), strays=(STRAY,)))
    for machine_id in (SPARE, STRAY):
        rehearsal.machines[machine_id] = MadeUpMachine(machine_id, "demo-0", MachineStatus.RUNNING)
    rehearsal.ask(Verb.DELETE)

    rehearsal.settle()

    assert len(rehearsal.calls_of("delete")) == 3
    assert rehearsal.billing == []
    assert rehearsal.instance.state is State.DELETED
    assert rehearsal.facts.count(FactType.DELETED) == 1


def test_a_machine_that_does_not_go_does_not_keep_the_others():
    """Each is deleted by itself; the instance waits for the last."""
    rehearsal = Rehearsal(instance(State.READY, strays=(STRAY,)), gone=((0.0, MachineStatus.REMOVING),))
    rehearsal.machines[STRAY] = MadeUpMachine(STRAY, "demo-0", MachineStatus.RUNNING)
    rehearsal.ask(Verb.DELETE)

    rehearsal.run(10)

    assert len(rehearsal.calls_of("delete")) == 2
    assert rehearsal.instance.state is State.DELETING


def test_a_delete_without_effect_is_sent_again_with_growing_pauses():
    """For ever, and never more often than is of use."""
    rehearsal = Rehearsal(instance(State.READY), gone=())
    rehearsal.ask(Verb.DELETE)
    rehearsal.run(4000)
    sent, looks = rehearsal.calls_of("delete"), rehearsal.calls_of("look")

    rehearsal.gone = GONE
    rehearsal.settle()

    pauses = [later - earlier for earlier, later in pairwise(sent)]
    assert len(sent) >= 4
    assert pauses == sorted(pauses)
    assert pauses[0] >= 120
    assert len(looks) < 100
    assert rehearsal.instance.state is State.DELETED


@pytest.mark.parametrize("answers", [["refused", "unclear"], ["vanished", "refused", "vanished"]])
def test_a_delete_that_fails_is_tried_until_it_is_done(answers):
    """Refused or unclear: it is sent again."""
    rehearsal = Rehearsal(instance(State.READY), answers={"delete": answers})
    rehearsal.ask(Verb.DELETE)

    rehearsal.settle()

    assert rehearsal.instance.state is State.DELETED
    assert rehearsal.billing == []


@pytest.mark.parametrize("answer", ["ok", "unclear", "vanished"])
def test_a_delete_while_creating_resolves_the_create_first(answer):
    """What it made is deleted too."""
    rehearsal = Rehearsal(answers={"create": [answer]}, list_lag=20.0).run(1)
    rehearsal.ask(Verb.DELETE)

    rehearsal.settle()

    assert rehearsal.instance.state is State.DELETED
    assert rehearsal.billing == []
    assert len(rehearsal.calls_of("create")) == 1


def test_known_machines_are_deleted_while_a_create_is_still_unclear():
    """They bill meanwhile; the instance is deleted only when the create is resolved."""
    deleting = instance(State.DELETING, open_attempt=open_attempt(2))
    gone = outcomes.machine_removed(deleting, MACHINE_ID)

    assert next_step(deleting, now=NOW, limits=LIMITS) == Act(Action.DELETE, MACHINE_ID)
    assert isinstance(next_step(gone, now=NOW, limits=LIMITS), Wait)


def test_a_lost_machine_is_deleted_all_the_same():
    """In case it is there after all."""
    rehearsal = Rehearsal(instance(State.LOST))
    rehearsal.ask(Verb.DELETE)

    rehearsal.settle()

    assert rehearsal.billing == []
    assert rehearsal.instance.state is State.DELETED


def test_a_machine_that_shows_up_after_the_delete_is_deleted_too():
    """Deleted stays deleted, and nothing is left to bill."""
    rehearsal = Rehearsal(instance(State.DELETED))
    rehearsal.machines[STRAY] = MadeUpMachine(STRAY, "demo-7", MachineStatus.RUNNING)

    rehearsal.settle()

    assert rehearsal.facts == [FactType.ORPHAN_FOUND]
    assert rehearsal.billing == []
    assert rehearsal.instance.state is State.DELETED


def test_an_instance_deleted_outside_takes_its_discarded_machines_along():
    """Somebody deleted the machine by hand while another of ours was still there."""
    rehearsal = Rehearsal(instance(State.READY, discarded=(SPARE,)), answers={"delete": ["refused"] * 6})
    rehearsal.machines[SPARE] = MadeUpMachine(SPARE, "demo-0", MachineStatus.RUNNING)
    rehearsal.machine.follow(GONE, now=rehearsal.now)

    rehearsal.settle()

    assert rehearsal.instance.desired.by == "outside"
    assert rehearsal.instance.state is State.DELETED
    assert rehearsal.billing == []


def test_a_discarded_machine_is_deleted_whatever_is_wanted():
    """Nobody wants it, and it bills."""
    for state in (State.READY, State.STOPPED, State.FAILED, State.CREATING):
        before = instance(state, discarded=(SPARE,))
        assert next_step(before, now=NOW, limits=LIMITS) == Act(Action.DELETE, SPARE)


def test_strays_are_left_alone_until_the_instance_is_deleted():
    """They are shown; nothing is destroyed on doubt."""
    rehearsal = Rehearsal(instance(State.READY))
    rehearsal.take(outcomes.stray_found(rehearsal.instance, STRAY, at=NOW))

    rehearsal.settle()

    assert rehearsal.calls_of("delete") == []
    assert rehearsal.instance.strays == (STRAY,)


def test_a_deleted_instance_is_quiet():
    """Nothing is ever to be done for it."""
    rehearsal = Rehearsal(instance(State.DELETED))

    rehearsal.take(Change(instance=rehearsal.instance))
    rehearsal.settle()

    assert rehearsal.calls == []
