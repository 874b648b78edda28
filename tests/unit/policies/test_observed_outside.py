"""What was not our doing: outside hands count as a word, a reclaim does not, and each is told once."""

import pytest

from novitai.domain.events import FactType
from novitai.domain.instance import DesiredState, OperationStatus
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus, SpotStatus
from novitai.policies.observed import Sighting, missing, see
from support.builders import (
    NOW,
    detailed_machine,
    instance,
    machine,
    with_machine,
)

LIVE = [state for state in State if state.live]


def seen(before, status=MachineStatus.RUNNING, *, confirmed=True, at=NOW, now=None, **fields):
    """Take a sighting of the machine."""
    make = detailed_machine if confirmed else machine
    reading = Sighting(machine=make(status, **fields), at=at, confirmed=confirmed)
    return see(before, reading, now=at if now is None else now, operation_id="op_9")


def told(result):
    return [fact.type for fact in result.change.facts]


def missed(change):
    return [fact.type for fact in change.facts]


def test_a_stop_seen_outside_is_somebodys_word():
    """A confirmed stop without our doing changes what is wanted, by `outside`."""
    result = seen(instance(State.READY), MachineStatus.STOPPED)

    after = result.change.instance
    assert after.state is State.STOPPED
    assert (after.desired.state, after.desired.by) == (DesiredState.STOPPED, "outside")
    assert told(result) == [FactType.STOPPED]


def test_a_start_seen_outside_is_somebodys_word():
    """A confirmed start of a stopped machine changes what is wanted, by `outside`, and is followed like one of ours."""
    result = seen(instance(State.STOPPED), MachineStatus.STARTING)

    after = result.change.instance
    assert after.state is State.STARTING
    assert (after.desired.state, after.desired.by) == (DesiredState.RUNNING, "outside")
    assert (after.operation.id, after.operation.accepted_at) == ("op_9", NOW)
    assert told(result) == [FactType.STARTUP_INITIATED, FactType.STARTUP_PROGRESS]


def test_a_restart_seen_outside_leads_to_new_checks():
    """What answered before the restart says nothing about after it."""
    restarting = seen(instance(State.READY), MachineStatus.RESTARTING).change.instance
    running = seen(restarting, MachineStatus.RUNNING, confirmed=False, at=NOW + 20).change.instance

    assert restarting.state is State.STARTING
    assert running.state is State.RUNNING
    assert running.health is None


def test_a_delete_seen_outside_is_somebodys_word():
    """A confirmed `removed` ends the instance, by `outside`."""
    result = seen(instance(State.READY), MachineStatus.REMOVED)

    after = result.change.instance
    assert after.state is State.DELETED
    assert (after.desired.state, after.desired.by) == (DesiredState.DELETED, "outside")
    assert told(result) == [FactType.DELETED]
    assert after.operation.status is OperationStatus.COMPLETED


def test_a_delete_seen_outside_does_not_forget_other_machines_of_ours():
    """While one of ours still bills, the instance is not called deleted."""
    before = instance(State.READY, discarded=("other",))

    result = seen(before, MachineStatus.REMOVED)

    assert result.change.instance.state is State.DELETING
    assert told(result) == []


def test_a_removal_that_is_seen_begun_ends_as_a_delete_and_not_as_a_loss():
    """`removing`, then gone: somebody deleted it."""
    removing = seen(instance(State.READY), MachineStatus.REMOVING).change.instance
    once = missing(removing, at=NOW + 40)
    twice = missing(once.instance, at=NOW + 80)

    assert removing.state is State.READY
    assert twice.instance.state is State.DELETED
    assert missed(twice) == [FactType.DELETED]


@pytest.mark.parametrize("spot", [SpotStatus.NOTIFIED, SpotStatus.RECLAIMING, SpotStatus.TERMINATED])
def test_an_exit_with_a_spot_notice_is_a_reclaim_and_the_wish_to_run_stays(spot):
    """Novita took it back; nobody asked for a stop."""
    before = instance(State.READY)

    result = seen(before, MachineStatus.STOPPED, spot_status=spot, reclaim_at=NOW)

    assert result.change.instance.state is State.STOPPED
    assert result.change.instance.desired == before.desired
    assert [kind for kind in told(result) if kind is not FactType.SPOT_NOTICE] == [FactType.STOPPED, FactType.RECLAIMED]
    assert result.change.facts[-1].data == {"reclaimAt": "2027-01-15T08:00:00.000Z"}


def test_a_reclaim_that_is_seen_step_by_step_is_told_in_order():
    """Notice, stopping, stopped, reclaimed; each once."""
    notified = seen(instance(State.READY), spot_status=SpotStatus.NOTIFIED, reclaim_at=NOW + 3600)
    stopping = seen(
        notified.change.instance,
        MachineStatus.STOPPING,
        at=NOW + 3600,
        spot_status=SpotStatus.RECLAIMING,
        reclaim_at=NOW + 3600,
    )
    stopped = seen(
        stopping.change.instance,
        MachineStatus.STOPPED,
        at=NOW + 3610,
        spot_status=SpotStatus.TERMINATED,
        reclaim_at=NOW + 3600,
    )

    assert told(notified) == [FactType.SPOT_NOTICE]
    assert told(stopping) == [FactType.STOPPING]
    assert told(stopped) == [FactType.STOPPED, FactType.RECLAIMED]
    assert {one.actor for step in (notified, stopping, stopped) for one in step.change.facts} == {"novita"}
    assert stopped.change.instance.wants is DesiredState.RUNNING


def test_a_reclaim_during_the_start_ends_the_start():
    """Who waits for `ready` is told that it will not come."""
    before = instance(State.HEALTH_CHECKING)

    result = seen(before, MachineStatus.STOPPED, spot_status=SpotStatus.TERMINATED)

    assert told(result) == [FactType.STARTUP_FAILED, FactType.STOPPED, FactType.RECLAIMED]
    assert result.change.instance.operation.status is OperationStatus.FAILED
    assert result.change.instance.wants is DesiredState.RUNNING


def test_a_machine_gone_after_a_spot_notice_is_reclaimed_as_well():
    """Exited or gone: with a sign it is a reclaim."""
    noticed = with_machine(instance(State.READY), spot_status=SpotStatus.NOTIFIED, missing=(NOW,))

    change = missing(noticed, at=NOW + 31)

    assert change.instance.state is State.LOST
    assert missed(change) == [FactType.LOST, FactType.RECLAIMED]
    assert change.instance.wants is DesiredState.RUNNING


def test_a_spot_notice_is_told_once_even_when_the_list_forgets_it_for_a_while():
    """A list that lags cannot take a notice back; a single read can."""
    noticed = seen(instance(State.READY), confirmed=False, spot_status=SpotStatus.NOTIFIED, reclaim_at=NOW + 3600)
    lagging = seen(noticed.change.instance, confirmed=False, at=NOW + 5, spot_status=SpotStatus.RUNNING)
    again = seen(
        lagging.change.instance, confirmed=False, at=NOW + 10, spot_status=SpotStatus.NOTIFIED, reclaim_at=NOW + 3600
    )
    withdrawn = seen(again.change.instance, at=NOW + 15, spot_status=SpotStatus.RUNNING)

    assert told(noticed) == [FactType.SPOT_NOTICE]
    assert noticed.change.facts[0].data == {"reclaimAt": "2027-01-15T09:00:00.000Z"}
    assert lagging.look
    assert told(lagging) == told(again) == []
    assert withdrawn.change.instance.machine.spot_status is SpotStatus.RUNNING


def test_a_stopped_machine_that_is_moved_and_then_runs_was_wanted_to_run_by_somebody():
    """Otherwise it would run and bill with nobody watching."""
    stopped = instance(State.STOPPED)

    moving = seen(stopped, MachineStatus.MIGRATING, confirmed=False).change.instance
    running = seen(moving, confirmed=False, at=NOW + 60).change.instance

    assert (moving.state, moving.wants) == (State.MIGRATING, DesiredState.STOPPED)
    assert (running.state, running.wants, running.desired.by) == (State.RUNNING, DesiredState.RUNNING, "outside")
    assert running.operation.under_way


def test_a_move_does_not_change_what_is_wanted():
    """A ready machine that is moved is checked again, for the same wish."""
    ready = instance(State.READY)

    moving = seen(ready, MachineStatus.MIGRATING, confirmed=False)
    running = seen(moving.change.instance, confirmed=False, at=NOW + 60)

    assert told(moving) == [FactType.MIGRATING]
    assert running.change.instance.state is State.RUNNING
    assert running.change.instance.desired == ready.desired


def test_a_stop_that_is_called_off_outside_is_seen():
    """Stopping, then running again: the instance does not stay `stopping` while the machine bills."""
    stopping = seen(instance(State.READY), MachineStatus.STOPPING).change.instance

    after = seen(stopping, MachineStatus.RUNNING, at=NOW + 20).change.instance

    assert after.state is State.RUNNING
    assert (after.wants, after.desired.by) == (DesiredState.RUNNING, "outside")
