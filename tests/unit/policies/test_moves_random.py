"""Whatever people ask, calls come to and Novita does while an instance moves: nothing raises, nothing is left over, no wish is changed."""

import random

import pytest

from novitai.domain.instance import DesiredState, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from novitai.domain.migration import MoveOutcome, MoveRule, Strategy
from support.moving import MovingRehearsal, taken_back
from support.rehearsal import DOWN, UP
from support.trouble import MOVE, trouble

PAUSES = (0.5, 2.0, 7.0, 20.0, 45.0, 130.0)


def end_well(rehearsal: MovingRehearsal) -> None:
    """Nothing goes wrong any more, and Novita takes back what it announced."""
    rehearsal.answers.clear()
    rehearsal.up, rehearsal.down, rehearsal.moving = UP, DOWN, MOVE
    rehearsal.app_answers_after = 4.0
    rehearsal.fall()
    rehearsal.settle(within=4 * 86_400.0)


def troubled(seed: int, case: int) -> MovingRehearsal:
    """An instance that was ready, and what random people, calls and reclaims made of it."""
    chance = random.Random(seed * 1000 + case)
    rehearsal = MovingRehearsal(rule=MoveRule(strategy=chance.choice((Strategy.REPLACE, Strategy.MIGRATE))))
    rehearsal.run_until(State.READY)
    for _ in range(chance.randrange(1, 25)):
        chance.choice((trouble, taken_back, taken_back))(chance, rehearsal)
        rehearsal.run(chance.choice(PAUSES))
    return rehearsal


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_it_comes_to_rest_and_no_machine_is_left_over(seed):
    """In the end at most one machine is the instance's, and no move is under way unless Novita's own never ends."""
    for case in range(12):
        rehearsal = troubled(seed, case)

        end_well(rehearsal)

        after, where = rehearsal.instance, f"{seed}/{case}"
        known = set() if after.machine is None else {after.machine.id}
        assert set(rehearsal.billing) <= known | set(after.strays), where
        assert after.former is None, where
        assert after.move is None or after.state is State.MIGRATING, where
        if after.wants is DesiredState.DELETED:
            assert (after.state, rehearsal.billing) == (State.DELETED, []), where


@pytest.mark.parametrize("seed", range(10))
def test_a_delete_ends_every_move(seed):
    """Wherever it comes: there is no machine of ours at all."""
    for case in range(12):
        rehearsal = troubled(seed, case)

        rehearsal.ask(Verb.DELETE)
        end_well(rehearsal)

        assert rehearsal.instance.state is State.DELETED, f"{seed}/{case}"
        assert all(one.status is MachineStatus.REMOVED for one in rehearsal.machines.values()), f"{seed}/{case}"


@pytest.mark.parametrize("seed", range(10))
def test_with_novita_alone_at_work_what_is_wanted_comes_about(seed):
    """Reclaims of every kind, moves refused and lost: it is ready in the end, or its last move failed and says so."""
    for case in range(12):
        chance = random.Random(seed * 1000 + case)
        rehearsal = MovingRehearsal(rule=MoveRule(strategy=chance.choice((Strategy.REPLACE, Strategy.MIGRATE))))
        rehearsal.run_until(State.READY)
        for _ in range(chance.randrange(1, 8)):
            chance.choice((rehearsal.notice, rehearsal.fall))()
            rehearsal.answers["migrate"] = [
                chance.choice(("ok", "unclear", "vanished", "no capacity", "invalid state"))
            ]
            rehearsal.answers["create"] = [chance.choice(("ok", "no capacity", "unclear", "vanished"))]
            rehearsal.run(chance.choice((7.0, 45.0, 400.0)))

        end_well(rehearsal)

        after, where = rehearsal.instance, f"{seed}/{case}"
        assert after.desired.by == "user:key_1", where
        assert after.strays == (), where
        assert len(rehearsal.billing) <= 1, where
        if after.state is not State.READY:
            assert after.moves[-1].outcome is MoveOutcome.FAILED, where
