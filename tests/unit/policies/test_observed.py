"""What sightings mean: surprises are confirmed first, outside hands count as a word, nothing is concluded on doubt."""

import random

import pytest

from novitai.domain.events import FactType
from novitai.domain.instance import DesiredState, OperationStatus, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus, SpotStatus
from novitai.domain.secrets import Sealed
from novitai.policies.observed import Sighting, missing, see
from support.builders import (
    ENDPOINT,
    MACHINE_ID,
    NOW,
    SSH,
    accepted,
    desired,
    detailed_machine,
    ended,
    instance,
    machine,
    mapping,
    operation,
    seen_machine,
    sighting,
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


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State.READY, MachineStatus.STOPPED),
        (State.READY, MachineStatus.STOPPING),
        (State.READY, MachineStatus.RESTARTING),
        (State.READY, MachineStatus.REMOVED),
        (State.STOPPED, MachineStatus.RUNNING),
        (State.STOPPED, MachineStatus.STARTING),
        (State.STARTING, MachineStatus.STOPPED),
        (State.STOPPING, MachineStatus.REMOVED),
        (State.DELETING, MachineStatus.REMOVED),
        (State.LOST, MachineStatus.STOPPED),
    ],
)
def test_a_surprise_in_the_list_is_not_believed_but_looked_at(state, status):
    """Lists lag and lie: only a single read changes what we hold."""
    before = instance(state)

    result = seen(before, status, confirmed=False)

    assert result.look
    assert result.change.facts == ()
    assert result.change.instance.state is state
    assert result.change.instance.desired == before.desired


def test_a_stop_seen_outside_is_somebodys_word():
    """A confirmed stop without our doing changes what is wanted, by `outside`."""
    result = seen(instance(State.READY), MachineStatus.STOPPED)

    after = result.change.instance
    assert after.state is State.STOPPED
    assert (after.desired.state, after.desired.by) == (DesiredState.STOPPED, "outside")
    assert told(result) == [FactType.STOPPED]


def test_a_stop_seen_on_its_way_is_told_and_then_done():
    """Stopping and stopped, each once."""
    first = seen(instance(State.READY), MachineStatus.STOPPING)
    second = seen(first.change.instance, MachineStatus.STOPPED, confirmed=False, at=NOW + 10)

    assert (first.change.instance.state, second.change.instance.state) == (State.STOPPING, State.STOPPED) or second.look
    assert told(first) == [FactType.STOPPING]
    assert first.change.instance.desired.by == "outside"


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


@pytest.mark.parametrize("status", [MachineStatus.STOPPED, MachineStatus.RUNNING, MachineStatus.REMOVED])
@pytest.mark.parametrize("confirmed", [True, False])
def test_a_reading_older_than_what_is_known_changes_nothing(status, confirmed):
    """The answer of a slow read comes too late to count."""
    before = with_machine(instance(State.READY), since=NOW)

    result = seen(before, status, confirmed=confirmed, at=NOW - 1, now=NOW + 5)

    assert result.change.instance is before
    assert (result.change.facts, result.look) == ((), False)


@pytest.mark.parametrize("state", LIVE)
def test_a_word_that_we_do_not_know_concludes_nothing(state):
    """An unknown status neither moves the instance nor hides what was known; it only shows that the machine exists."""
    before = with_machine(instance(state, machine=seen_machine()), missing=(NOW - 40,))

    result = seen(before, MachineStatus.UNKNOWN, provider_status="hovering")

    after = result.change.instance
    assert (after.state, after.desired, told(result)) == (state, before.desired, [])
    assert after.machine.status is MachineStatus.RUNNING
    assert after.machine.provider_status == "hovering"
    assert after.machine.missing == ()


def test_the_same_reading_again_is_no_change():
    """A poll that shows nothing new writes nothing."""
    ready = seen(instance(State.READY)).change.instance

    again = seen(ready, at=NOW + 30)

    assert again.change.instance is ready


def test_a_password_that_is_sealed_anew_is_no_change():
    """Sealing twice gives two texts for one password."""
    ready = seen(instance(State.READY)).change.instance
    first = see(
        ready,
        Sighting(machine=detailed_machine(password="x"), at=NOW + 1, confirmed=True, password=Sealed("a")),
        now=NOW + 1,
        operation_id="op_9",
    ).change.instance
    second = see(
        first,
        Sighting(machine=detailed_machine(password="x"), at=NOW + 2, confirmed=True, password=Sealed("b")),
        now=NOW + 2,
        operation_id="op_9",
    ).change.instance

    assert first.machine.password == Sealed("a")
    assert second is first


def test_another_machine_says_nothing_about_this_one():
    """Sightings belong to one machine."""
    before = instance(State.READY)

    result = seen(before, MachineStatus.STOPPED, id="other")

    assert result.change.instance is before


def test_the_machine_that_runs_leads_to_checks_with_the_time_it_began():
    """Running is told once, with its phase."""
    result = seen(instance(State.STARTING), confirmed=False)

    assert result.change.instance.state is State.RUNNING
    assert result.change.instance.running_at == NOW
    assert told(result) == [FactType.RUNNING, FactType.STARTUP_PROGRESS]


def test_a_running_machine_counts_as_restarted_only_after_it_was_seen_to_or_for_a_while():
    """Right after an accepted restart, `running` is the old run."""
    restarting = instance(State.STARTING, operation=accepted(Verb.RESTART, at=NOW), machine=seen_machine())

    at_once = seen(restarting, confirmed=False, at=NOW + 5).change.instance
    after_a_while = seen(restarting, confirmed=False, at=NOW + 30).change.instance
    between = seen(restarting, MachineStatus.RESTARTING, confirmed=False, at=NOW + 5).change.instance
    after_between = seen(between, confirmed=False, at=NOW + 10).change.instance

    assert at_once.state is State.STARTING
    assert after_a_while.state is State.RUNNING
    assert after_between.state is State.RUNNING


def test_the_time_of_pulling_is_counted():
    """Pulling has its own limit, so its time is known; several pulls add up."""
    creating = instance(State.CREATING, operation=accepted(Verb.CREATE), machine=seen_machine(MachineStatus.PENDING))

    pulling = seen(creating, MachineStatus.PULLING, confirmed=False).change.instance
    started = seen(pulling, MachineStatus.STARTING, confirmed=False, at=NOW + 70).change.instance

    assert pulling.machine.pulling_since == NOW
    assert (started.machine.pulling_since, started.machine.pulled_seconds) == (None, 70.0)


def test_a_machine_still_standing_after_an_accepted_start_is_not_a_failure():
    """It stood before; only an exit after the start is one."""
    starting = instance(
        State.STARTING,
        operation=accepted(Verb.START, at=NOW - 5),
        machine=seen_machine(MachineStatus.STOPPED, since=NOW - 60),
    )

    assert seen(starting, MachineStatus.STOPPED).change.instance.state is State.STARTING


@pytest.mark.parametrize("state", [State.CREATING, State.STARTING, State.RUNNING, State.HEALTH_CHECKING])
def test_an_exit_before_ready_fails_the_start_once(state):
    """Who waits for `ready` is told once, with Novita's words; the machine stays, stopped."""
    before = instance(
        state,
        operation=accepted(Verb.CREATE, at=NOW - 100),
        machine=seen_machine(MachineStatus.STARTING, since=NOW - 50),
    )

    result = seen(before, MachineStatus.STOPPED, error="OOMKilled")

    assert told(result) == [FactType.STARTUP_FAILED, FactType.STOPPED]
    assert result.change.instance.state is State.STOPPED
    assert "OOMKilled" in result.change.instance.last_error.message
    assert result.change.instance.operation.status is OperationStatus.FAILED


def test_a_start_that_was_given_up_is_not_begun_again_by_watching_it():
    """A machine still coming up after the time-out does not start a new operation; its late success is welcome."""
    failed = instance(
        State.FAILED,
        operation=ended(Verb.START, OperationStatus.FAILED),
        machine=seen_machine(MachineStatus.STARTING),
    )

    still = seen(failed, MachineStatus.PULLING)
    late = seen(failed, MachineStatus.RUNNING, confirmed=False)

    assert (still.change.instance.state, told(still)) == (State.FAILED, [])
    assert late.change.instance.state is State.RUNNING


def test_one_missing_is_not_lost_and_two_close_together_are_one():
    """Two pieces of evidence, at least 30 s apart."""
    once = missing(instance(State.READY), at=NOW)
    too_soon = missing(once.instance, at=NOW + 29)
    twice = missing(once.instance, at=NOW + 30)

    assert once.instance.state is State.READY
    assert too_soon.instance is once.instance
    assert twice.instance.state is State.LOST
    assert missed(twice) == [FactType.LOST]
    assert twice.instance.last_error is not None


@pytest.mark.parametrize("status", [MachineStatus.RUNNING, MachineStatus.STOPPED, MachineStatus.UNKNOWN])
def test_a_machine_that_stands_in_the_list_is_not_missing(status):
    """Even a surprise in the list is proof that it exists."""
    once = missing(instance(State.READY), at=NOW).instance

    after = seen(once, status, confirmed=False, at=NOW + 5).change.instance

    assert after.machine.missing == ()


def test_an_old_list_does_not_outweigh_newer_evidence():
    """What was read before the evidence says nothing against it."""
    once = missing(instance(State.READY), at=NOW).instance

    assert seen(once, confirmed=False, at=NOW - 1).change.instance.machine.missing == (NOW,)


def test_a_lost_machine_that_is_seen_again_is_taken_back():
    """It runs, so it is checked anew."""
    result = seen(instance(State.LOST), confirmed=False)

    assert result.change.instance.state is State.RUNNING
    assert result.change.instance.operation.id == "op_9"
    assert result.change.instance.last_error is None


def test_a_lost_machine_that_was_to_be_stopped_is_stopped_when_it_is_seen_again():
    """A user's stop outlasts the loss."""
    lost = instance(
        State.LOST, desired=desired(DesiredState.STOPPED), operation=ended(Verb.STOP, OperationStatus.FAILED)
    )

    after = seen(lost, confirmed=False).change.instance

    assert after.wants is DesiredState.STOPPED
    assert (after.operation.verb, after.operation.under_way, after.operation.sent_at) == (Verb.STOP, True, None)


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


def test_a_stop_of_ours_is_not_over_because_the_machine_still_runs():
    """Until it stops, it is stopping."""
    assert seen(instance(State.STOPPING)).change.instance.state is State.STOPPING


def test_a_list_without_endpoints_does_not_hide_those_of_the_present_run():
    """Lists may leave them out (novita-wire.md 3.5)."""
    after = seen(instance(State.READY), confirmed=False, ports=(mapping(endpoint=""),)).change.instance

    assert after.machine.ports == (mapping(),)


def test_addresses_of_an_earlier_run_are_not_asked_again():
    """After a stop the machine may be elsewhere, and its old address may be somebody else's."""
    ready = instance(State.READY)

    stopped = seen(ready, MachineStatus.STOPPED).change.instance
    running = seen(
        instance(State.STARTING, machine=stopped.machine), confirmed=False, at=NOW + 60, ports=(mapping(endpoint=""),)
    ).change.instance

    assert ready.machine.ports[0].endpoint == ENDPOINT
    assert stopped.machine.connection is None
    assert (running.machine.connection, running.machine.ports[0].endpoint) == (None, "")


def test_ssh_details_are_taken_from_a_single_read():
    """Only that shows them."""
    before = with_machine(instance(State.READY), connection=None)

    assert seen(before, confirmed=False).change.instance.machine.connection is None
    assert seen(before).change.instance.machine.connection == SSH


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_sighted_nothing_raises_and_nothing_is_called_deleted_on_doubt(seed):
    """Random sightings in every state: `deleted` is only wanted after a confirmed `removed`, or a `removing` that ended."""
    chance = random.Random(seed)
    for _ in range(300):
        state = chance.choice([state for state in LIVE if state is not State.DELETING])
        now, present = instance(state, machine=seen_machine(chance.choice(list(MachineStatus)[:7]))), NOW
        if chance.random() < 0.3:
            now = instance(state, machine=now.machine, operation=operation(chance.choice(list(Verb)[:4])))
        removed = False
        for _ in range(25):
            present += chance.choice((0.0, 1.0, 31.0))
            status, confirmed = chance.choice(list(MachineStatus)), chance.random() < 0.5
            at = present - chance.choice((0.0, 0.0, 5.0, 100.0))
            if chance.random() < 0.1:
                now = missing(now, at=present).instance
            spot = chance.choice(list(SpotStatus))
            now = seen(now, status, confirmed=confirmed, at=at, now=present, spot_status=spot).change.instance
            removed |= confirmed and status in {MachineStatus.REMOVED, MachineStatus.REMOVING}
            removed |= status is MachineStatus.REMOVING
            assert now.wants is not DesiredState.DELETED or removed
            assert now.machine.id == MACHINE_ID


def test_a_deleted_instance_is_not_brought_back_by_a_sighting():
    """Deleted is deleted; a machine that is still there is found by its marker."""
    before = instance(State.DELETED)

    assert see(before, sighting(), now=NOW, operation_id="op_9").change.instance is before
