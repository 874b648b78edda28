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


def test_a_stop_seen_on_its_way_is_told_and_then_done():
    """Stopping and stopped, each once."""
    first = seen(instance(State.READY), MachineStatus.STOPPING)
    second = seen(first.change.instance, MachineStatus.STOPPED, confirmed=False, at=NOW + 10)

    assert (first.change.instance.state, second.change.instance.state) == (State.STOPPING, State.STOPPED)
    assert told(first) + told(second) == [FactType.STOPPING, FactType.STOPPED]
    assert first.change.instance.desired.by == "outside"


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
