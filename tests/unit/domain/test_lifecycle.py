"""The table of states and events: complete, closed, and nowhere a trap."""

import random

import pytest

from novitai.domain.change import move
from novitai.domain.lifecycle import TABLE, IllegalTransition, Observation, Request, State, after, allows, diagram
from support.builders import NOW, instance

EVENTS = (*Request, *Observation)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", EVENTS)
def test_a_step_is_in_the_table_or_illegal_and_then_the_state_stays(state, event):
    """Everything that the table does not hold is refused, with the state and the event said."""
    before = instance(state)

    if allows(state, event):
        assert move(before, event, at=NOW).state is TABLE[state][event]
        return
    with pytest.raises(IllegalTransition, match=f"{state} knows no event '{event}'"):
        move(before, event, at=NOW)

    assert before.state is state


def test_deleted_is_the_end():
    """Nothing leads out of `deleted`."""
    assert not any(allows(State.DELETED, event) for event in EVENTS)


def test_every_state_can_be_reached_from_a_create():
    """There is no state that only a bug could produce."""
    reached, edge = {State.CREATING}, {State.CREATING}

    while edge:
        edge = {target for state in edge for target in TABLE[state].values()} - reached
        reached |= edge

    assert reached == set(State)


@pytest.mark.parametrize("state", [state for state in State if state.live])
def test_every_live_state_has_a_way_out_and_can_be_deleted(state):
    """Nobody is stuck: an instance can always be deleted, and deleting can always end."""
    assert any(target is not state for target in TABLE[state].values())
    assert after(state, Request.DELETE) is State.DELETING
    assert after(State.DELETING, Observation.REMOVED) is State.DELETED


def test_random_legal_events_never_leave_the_table():
    """Whatever legal events follow one another, each state on the way is one of the table's."""
    chance = random.Random(7)

    for _ in range(500):
        state = State.CREATING
        for _ in range(40):
            legal = sorted(TABLE[state], key=str)
            if not legal:
                assert state is State.DELETED
                break
            state = after(state, chance.choice(legal))
            assert state in TABLE


def test_the_time_of_a_state_changes_only_with_the_state():
    """`state_since` tells when the state began, not when it was last confirmed."""
    migrating = instance(State.MIGRATING)

    assert move(migrating, Request.STOP, at=NOW).state_since == migrating.state_since
    assert move(migrating, Observation.MACHINE_RUNNING, at=NOW).state_since == NOW


def test_the_diagram_shows_every_step():
    """The picture in the docs is drawn from the table and leaves nothing out."""
    drawn = diagram()

    for state, steps in TABLE.items():
        for event, target in steps.items():
            line = next(line for line in drawn.splitlines() if line.strip().startswith(f"{state} --> {target}:"))
            assert str(event) in line
