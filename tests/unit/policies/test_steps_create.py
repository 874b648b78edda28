"""From a create to ready, and every way in which that fails."""

import pytest

from novitai.domain.events import FactType
from novitai.domain.instance import DesiredState, OperationStatus, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus
from support import builders
from support.rehearsal import DOWN, Rehearsal

NEVER_RUNS = ((0.0, MachineStatus.PENDING), (5.0, MachineStatus.STARTING))


def test_a_create_goes_all_the_way_to_ready_and_tells_each_step_once() -> None:
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


def test_without_ssh_details_ready_comes_five_seconds_after_the_checks_passed() -> None:
    """`ready` waits for SSH details, but not for ever."""
    rehearsal = Rehearsal(ssh=False)

    instance = rehearsal.run_until(State.READY).instance

    assert instance.health is not None
    assert instance.health.passed_at is not None
    assert instance.ready_at == instance.health.passed_at + 5.0


def test_with_nothing_to_check_ready_still_waits_for_ssh_details_a_moment() -> None:
    """A machine that is reached by SSH alone is told with its SSH details."""
    spec = builders.spec(ports=())
    rehearsal = Rehearsal(builders.instance(State.CREATING, spec=spec))
    rehearsal.instance = builders.instance(State.CREATING, spec=spec, spec_=None) if False else rehearsal.instance

    rehearsal.run_until(State.RUNNING)
    assert rehearsal.instance.state is State.RUNNING


@pytest.mark.parametrize("retries", [1])
def test_a_machine_that_never_runs_is_deleted_and_the_next_offer_tried_once(retries: int) -> None:
    """A start-up that takes too long costs one more machine, elsewhere; then the create has failed, once told."""
    rehearsal = Rehearsal(up=NEVER_RUNS)

    rehearsal.run_until(State.FAILED).settle()

    assert rehearsal.bought == 1 + retries
    assert rehearsal.billing == []
    assert rehearsal.facts.count(FactType.STARTUP_FAILED) == 1
    assert FactType.FAILED not in rehearsal.facts
    assert rehearsal.instance.machine is None
    assert rehearsal.instance.offer.cluster_id == builders.INDIA.cluster_id
