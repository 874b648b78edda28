"""Whatever is asked, answered and seen in whatever order: nothing raises, nothing is bought twice, and it comes to an end."""

import random

import pytest

from novitai.domain.errors import Refusal
from novitai.domain.events import FactType
from novitai.domain.instance import DesiredState, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus, SpotStatus
from support.rehearsal import DOWN, GONE, RESTART, UP, Answer, Path, Rehearsal

VERBS = (Verb.START, Verb.STOP, Verb.RESTART, Verb.DELETE)
CREATES: tuple[Answer, ...] = ("ok", "no capacity", "unclear", "vanished", "refused")
ACTIONS: tuple[Answer, ...] = ("ok", "ok", "unclear", "vanished", "refused", "invalid state", "no capacity")
NEVER: Path = ((0.0, MachineStatus.PENDING),)
EXITS: Path = ((0.0, MachineStatus.PENDING), (9.0, MachineStatus.STOPPED))
SLOW_DOWN: Path = ((0.0, MachineStatus.STOPPING), (200.0, MachineStatus.STOPPED))
PULLS: Path = ((0.0, MachineStatus.PULLING), (300.0, MachineStatus.STARTING), (320.0, MachineStatus.RUNNING))
MOVE: Path = ((0.0, MachineStatus.MIGRATING), (60.0, MachineStatus.RUNNING))
ODD: Path = ((0.0, MachineStatus.FROZEN), (30.0, MachineStatus.UNKNOWN), (60.0, MachineStatus.RUNNING))
OUTSIDE = (UP, DOWN, RESTART, MOVE, ODD, GONE)


def _trouble(chance: random.Random, rehearsal: Rehearsal) -> None:
    """One thing out of everything that can happen."""
    match chance.randrange(8):
        case 0 | 1 | 2:
            try:
                rehearsal.ask(chance.choice(VERBS))
            except Refusal:
                pass
        case 3:
            action = chance.choice(("start", "stop", "restart", "delete"))
            rehearsal.answers[action] = [chance.choice(ACTIONS) for _ in range(chance.randrange(3))]
        case 4:
            rehearsal.answers["create"] = [chance.choice(CREATES) for _ in range(chance.randrange(3))]
        case 5:
            rehearsal.up = chance.choice((UP, UP, UP, NEVER, EXITS, PULLS))
            rehearsal.down = chance.choice((DOWN, DOWN, SLOW_DOWN))
            rehearsal.ssh = chance.random() < 0.7
            rehearsal.app_answers_after = chance.choice((0.0, 4.0, 400.0, None))
        case 6 if rehearsal.machines:
            machine = chance.choice(list(rehearsal.machines.values()))
            if machine.status is not MachineStatus.REMOVED:
                machine.follow(chance.choice(OUTSIDE), now=rehearsal.now)
        case 7 if rehearsal.machines:
            machine = chance.choice(list(rehearsal.machines.values()))
            machine.spot = chance.choice(tuple(SpotStatus))
            if machine.spot is SpotStatus.TERMINATED and machine.status is MachineStatus.RUNNING:
                machine.follow(DOWN, now=rehearsal.now)
        case _:
            pass


def _end_well(rehearsal: Rehearsal) -> None:
    rehearsal.answers.clear()
    rehearsal.up, rehearsal.down = UP, DOWN
    rehearsal.settle()


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_it_comes_to_rest_and_nothing_is_left_over(seed: int) -> None:
    """Random requests, answers and sightings: in the end what is wanted is so, and what is not wanted does not bill."""
    for case in range(15):
        chance = random.Random(seed * 1000 + case)
        rehearsal = Rehearsal()

        for _ in range(chance.randrange(1, 25)):
            _trouble(chance, rehearsal)
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


@pytest.mark.parametrize("seed", range(10))
def test_a_delete_ends_everything_that_random_trouble_left(seed: int) -> None:
    """Delete wins from wherever it is asked: in the end there is no machine of ours at all."""
    for case in range(15):
        chance = random.Random(seed * 1000 + case)
        rehearsal = Rehearsal()
        for _ in range(chance.randrange(1, 25)):
            _trouble(chance, rehearsal)
            rehearsal.run(chance.choice((0.5, 2.0, 7.0, 20.0, 45.0)))

        rehearsal.ask(Verb.DELETE)
        _end_well(rehearsal)

        assert rehearsal.instance.state is State.DELETED, f"{seed}/{case}"
        assert rehearsal.billing == [], f"{seed}/{case}"
        assert all(m.status is MachineStatus.REMOVED for m in rehearsal.machines.values()), f"{seed}/{case}"
