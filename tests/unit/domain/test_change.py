"""Changes and their facts: what is told once, and in which shape."""

from novitai.domain.change import Change, fact, reach, startup_view, with_fields
from novitai.domain.events import MEANING, FactType
from novitai.domain.instance import OperationStatus, Phase, Verb
from novitai.domain.lifecycle import State
from support.builders import NOW, accepted, ended, instance, operation


def test_a_phase_is_told_once():
    """Reaching it again says nothing and changes nothing."""
    starting = instance(State.STARTING)

    first = reach(starting, Phase.INSTANCE_STARTING, at=NOW)
    second = reach(first.instance, Phase.INSTANCE_STARTING, at=NOW + 5)

    assert [told.type for told in first.facts] == [FactType.STARTUP_PROGRESS]
    assert first.facts[0].data["phase"] == "instanceStarting"
    assert first.instance.operation.reached(Phase.INSTANCE_STARTING) == NOW
    assert second == Change(instance=first.instance)


def test_only_a_start_that_is_under_way_has_phases():
    """A stop has none, and neither has what is over."""
    stopping = instance(State.STOPPING)
    ready = instance(State.READY)

    assert reach(stopping, Phase.INSTANCE_RUNNING, at=NOW) == Change(instance=stopping)
    assert reach(ready, Phase.INSTANCE_RUNNING, at=NOW) == Change(instance=ready)


def test_the_progress_of_a_start_has_the_shape_of_the_contract():
    """`data.startupOperation`: id, status, times in ISO 8601, phases by name, the present state."""
    starting = instance(State.STARTING, operation=accepted(Verb.START, estimated_ready_at=NOW + 180))

    assert startup_view(starting) == {
        "operationId": "op_1",
        "status": "in_progress",
        "startedAt": "2027-01-15T07:55:00.000Z",
        "phases": {"startRequested": "2027-01-15T07:55:00.000Z"},
        "currentStatus": "starting",
        "estimatedReadyTime": "2027-01-15T08:03:00.000Z",
    }


def test_a_start_that_is_over_says_when():
    """`completedAt` appears with the end."""
    failed = instance(State.FAILED, operation=ended(Verb.START, OperationStatus.FAILED))

    assert startup_view(failed)["completedAt"] == "2027-01-15T07:58:20.000Z"
    assert startup_view(failed)["status"] == "failed"


def test_a_fact_tells_the_state_before_and_after_and_carries_the_start():
    """Start-up facts carry the operation; facts of a stop do not."""
    before, running = instance(State.STARTING), instance(State.RUNNING)
    told = fact(FactType.RUNNING, running, before=before, at=NOW, actor="user:key_1")
    stop = fact(FactType.STOPPED, instance(State.STOPPED), before=None, at=NOW, actor="user:key_1")

    assert (told.before, told.after) == (State.STARTING, State.RUNNING)
    assert told.data["startupOperation"] == startup_view(running)
    assert "startupOperation" not in stop.data


def test_changes_one_after_the_other_keep_all_their_facts():
    """The later instance, and the facts of both in order."""
    first = instance(State.RUNNING)
    second = with_fields(first, operation=operation(Verb.STOP))
    told = fact(FactType.RUNNING, first, before=None, at=NOW, actor="a")
    stop = fact(FactType.STOPPING, second, before=first, at=NOW, actor="a")

    both = Change(instance=first, facts=(told,)).then(Change(instance=second, facts=(stop,)))

    assert both == Change(instance=second, facts=(told, stop))


def test_every_kind_of_fact_says_what_it_stands_for():
    """The catalogue that users read has no gaps."""
    assert set(MEANING) == set(FactType)
