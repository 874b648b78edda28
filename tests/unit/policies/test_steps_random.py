"""Whatever is asked, answered and seen in whatever order: nothing raises, nothing is bought twice, and it comes to an end."""

import itertools
import random

import pytest

from novitai.domain.events import FactType
from novitai.domain.instance import DesiredState, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.policies.steps import Act, Apply, Buy, Limits, Wait, next_step
from support import builders
from support.builders import NOW
from support.rehearsal import DOWN, UP, Rehearsal
from support.trouble import ACTIONS, CREATES, NEVER, PULLS, SLOW_DOWN, trouble


def _end_well(rehearsal):
    rehearsal.answers.clear()
    rehearsal.up, rehearsal.down = UP, DOWN
    rehearsal.settle()


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_it_comes_to_rest_and_nothing_is_left_over(seed):
    """Random requests, answers and sightings: in the end what is wanted is so, and what is not wanted does not bill."""
    for case in range(15):
        chance = random.Random(seed * 1000 + case)
        rehearsal = Rehearsal()

        for _ in range(chance.randrange(1, 25)):
            trouble(chance, rehearsal)
            rehearsal.run(chance.choice((0.5, 2.0, 7.0, 20.0, 45.0, 130.0)))
        _end_well(rehearsal)

        instance = rehearsal.instance
        known = set() if instance.machine is None else {instance.machine.id}
        assert set(rehearsal.billing) <= known | set(instance.strays), f"{seed}/{case}"
        if instance.wants is DesiredState.STOPPED:
            assert set(rehearsal.billing) <= set(instance.strays), f"{seed}/{case}: {instance}"
        if instance.wants is DesiredState.DELETED:
            assert (instance.state, rehearsal.billing) == (State.DELETED, []), f"{seed}/{case}"
        assert rehearsal.facts.count(FactType.DELETED) <= 1, f"{seed}/{case}"


@pytest.mark.parametrize("seed", range(20))
def test_a_delete_ends_everything_that_random_trouble_left(seed):
    """Delete wins from wherever it is asked: in the end there is no machine of ours at all."""
    for case in range(15):
        chance = random.Random(seed * 1000 + case)
        rehearsal = Rehearsal()
        for _ in range(chance.randrange(1, 25)):
            trouble(chance, rehearsal)
            rehearsal.run(chance.choice((0.5, 2.0, 7.0, 20.0, 45.0)))

        rehearsal.ask(Verb.DELETE)
        _end_well(rehearsal)

        assert rehearsal.instance.state is State.DELETED, f"{seed}/{case}"
        assert rehearsal.billing == [], f"{seed}/{case}"
        assert all(m.status is MachineStatus.REMOVED for m in rehearsal.machines.values()), f"{seed}/{case}"


@pytest.mark.parametrize("seed", range(20))
def test_with_nobody_else_at_work_the_last_word_is_what_comes_about(seed):
    """Random requests, lost and refused answers, slow machines and a list that lags: the latest wish is fulfilled or its failure told.

    No word is ever put into somebody's mouth, no machine is bought beside another, and no operation is left under way.
    """
    for case in range(15):
        chance = random.Random(seed * 1000 + case)
        lag, stale = chance.choice((0.0, 3.0, 40.0)), chance.choice((0.0, 0.0, 12.0))
        rehearsal = Rehearsal(list_lag=lag, stale_list=stale)
        for _ in range(chance.randrange(1, 25)):
            _hurdle(chance, rehearsal)
            rehearsal.run(chance.choice((0.5, 2.0, 7.0, 20.0, 45.0, 130.0)))
        last = chance.choice((Verb.START, Verb.STOP, Verb.RESTART))
        rehearsal.ask(last)

        _end_well(rehearsal)

        after, where = rehearsal.instance, f"{seed}/{case}: {rehearsal.instance}"
        _told_once(rehearsal, where)
        assert after.desired.by != "outside", where
        assert after.strays == (), where
        assert not after.operation.under_way, where
        assert len(rehearsal.billing) <= (0 if last is Verb.STOP else 1), where
        fulfilled = {State.STOPPED, State.FAILED} if last is Verb.STOP else {State.READY, State.FAILED, State.STOPPED}
        assert after.state in fulfilled, where
        if last is not Verb.STOP and after.state is State.STOPPED:
            assert after.desired.reason.startswith("start refused"), where


def _told_once(rehearsal, where):
    """An operation fails at most once, by one name; ready comes at most once for each run; a phase is told once."""
    operations = [
        (fact.type, fact.data["startupOperation"]["operationId"])
        for fact in rehearsal.told
        if "startupOperation" in fact.data
    ]
    failures = [operation for kind, operation in operations if kind in {FactType.FAILED, FactType.STARTUP_FAILED}]
    phases = [
        (fact.data["startupOperation"]["operationId"], fact.data["phase"])
        for fact in rehearsal.told
        if fact.type is FactType.STARTUP_PROGRESS
    ]
    assert len(failures) == len(set(failures)), where
    assert len(phases) == len(set(phases)), where
    runs = rehearsal.facts.count(FactType.RUNNING) + rehearsal.facts.count(FactType.FAILED)  # a refused restart runs on
    assert rehearsal.facts.count(FactType.READY) <= runs, where


def _hurdle(chance, rehearsal):
    """One thing that a user may ask, or that may go wrong on the way."""
    match chance.randrange(6):
        case 0 | 1 | 2:
            rehearsal.ask(chance.choice((Verb.START, Verb.STOP, Verb.RESTART)))
        case 3:
            action = chance.choice(("start", "stop", "restart", "delete"))
            rehearsal.answers[action] = [chance.choice(ACTIONS) for _ in range(chance.randrange(3))]
        case 4:
            rehearsal.answers["create"] = [chance.choice(CREATES) for _ in range(chance.randrange(3))]
        case _:
            rehearsal.up, rehearsal.down = chance.choice((UP, UP, PULLS, NEVER)), chance.choice((DOWN, SLOW_DOWN))
            rehearsal.ssh = chance.random() < 0.7
            rehearsal.app_answers_after = chance.choice((0.0, 4.0, 400.0, None))


COHERENT = [
    (state, word)
    for state in State
    for word in DesiredState
    if (word is DesiredState.DELETED) is (state in {State.DELETING, State.DELETED})
]


@pytest.mark.parametrize(("state", "word"), COHERENT)
def test_in_every_state_with_every_word_there_is_a_step_and_money_is_spent_only_where_it_should(state, word):
    """However odd what is held: no step raises, a wait lies ahead, and buying needs a wish to run, no machine and no open attempt."""
    operations = [make(verb) for verb in Verb for make in (builders.operation, builders.accepted, builders.ended)]
    machines = [None, *(builders.seen_machine(status) for status in MachineStatus)]
    attempts = [None, builders.open_attempt(), builders.open_attempt(disproved_at=NOW - 1)]
    for operation, machine, attempt in itertools.product(operations, machines, attempts):
        held = builders.instance(
            state, desired=builders.desired(word), operation=operation, machine=machine, open_attempt=attempt
        )

        step = next_step(held, now=NOW, limits=Limits(), looked_at=NOW - 3)

        match step:
            case Wait(until=until):
                assert until is None or until > NOW
            case Apply(change=change):
                assert change.instance != held or change.facts
            case Buy():
                assert (held.wants, held.machine, held.open_attempt) == (DesiredState.RUNNING, None, None)
            case Act(machine_id=machine_id):
                assert machine is not None
                assert machine_id == machine.id
