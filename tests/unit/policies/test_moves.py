"""How a replacement begins and ends: what is set aside, what takes its place again, and what is deleted when."""

import msgspec
import pytest

from novitai.domain.errors import Code
from novitai.domain.events import FactType
from novitai.domain.ids import MachineId
from novitai.domain.instance import Instance, OperationStatus, Verb
from novitai.domain.lifecycle import IllegalTransition, State
from novitai.domain.machine import BillingMode, MachineStatus, SpotStatus
from novitai.domain.migration import Cause, MoveOutcome, Way
from novitai.domain.money import Usd
from novitai.policies import moves, observed, outcomes, startup, successors
from novitai.policies.actions import Act, Action, Apply, Buy, Wait
from novitai.policies.steps import Limits, next_step
from support import builders
from support.builders import CALIFORNIA, HONG_KONG, MACHINE_ID, NOW

NEW = MachineId("feedfacefeedface")
NOTICED = {"spot_status": SpotStatus.NOTIFIED, "reclaim_at": NOW + 3600.0}


def begun(state: State = State.READY, *, way: Way = Way.REPLACE, cause: Cause = Cause.NOTICE, **machine) -> Instance:
    """An instance whose move has just begun."""
    before = builders.with_machine(builders.instance(state, desired=builders.desired("running")), **(NOTICED | machine))
    operation = builders.operation(Verb.MIGRATE, id="op_9", by="migration", requested_at=NOW)
    return moves.begin(before, way=way, cause=cause, since=NOW - 5.0, operation=operation, at=NOW).instance


def bought(instance: Instance | None = None) -> Instance:
    """Its new machine is accepted."""
    sent = outcomes.create_sent(instance or begun(), number=2, offer=builders.offer(HONG_KONG), at=NOW + 1.0)
    made = outcomes.create_accepted(
        sent, number=2, offer=builders.offer(HONG_KONG), machine_id=NEW, machine_name="demo-2", at=NOW + 2.0
    )
    return made.instance


def up(instance: Instance | None = None) -> Instance:
    """Its new machine runs and is being asked."""
    new = builders.machine(id=NEW, name="demo-2")
    seen = observed.see(
        instance or bought(), builders.sighting(new, at=NOW + 30.0), now=NOW + 30.0, operation_id="op_x"
    )
    return startup.begin_checks(seen.change.instance, at=NOW + 31.0).instance


def step(instance: Instance, *, at: float = NOW + 40.0):
    return next_step(instance, now=at, limits=Limits(), looked_at=at)


def former_seen(instance: Instance, status: MachineStatus, *, at: float = NOW + 35.0, **fields) -> Instance:
    """The former machine is read singly."""
    machine = builders.machine(status, **(NOTICED | fields))
    return observed.see(
        instance, builders.sighting(machine, at=at, confirmed=True), now=at, operation_id="op_x"
    ).change.instance


def test_a_replacement_sets_the_machine_aside_and_buys():
    """What users reach is still the machine that serves."""
    instance = begun()

    assert (instance.state, instance.machine) == (State.MIGRATING, None)
    assert instance.serving is not None
    assert instance.serving.id == MACHINE_ID
    assert step(instance) == Buy()
    assert instance.move is not None
    assert (instance.move.way, instance.move.source) == (Way.REPLACE, MACHINE_ID)


def test_novitas_own_move_keeps_the_machine_and_asks_once():
    """After an unclear answer it is looked at first."""
    instance = begun(State.STOPPED, way=Way.MIGRATE, cause=Cause.RECLAIM, status=MachineStatus.STOPPED)
    sent = outcomes.action_sent(instance, at=NOW + 1.0)

    assert instance.former is None
    assert next_step(instance, now=NOW, limits=Limits()) == Act(Action.MIGRATE, MACHINE_ID)
    assert next_step(sent, now=NOW + 2.0, limits=Limits()) == Act(Action.LOOK, MACHINE_ID)
    assert sent.moves[-1].asked_at == NOW + 1.0


def test_a_machine_that_still_stands_where_it_was_has_not_moved_in_vain():
    """The list lags behind the call."""
    instance = begun(State.STOPPED, way=Way.MIGRATE, cause=Cause.RECLAIM, status=MachineStatus.STOPPED)
    accepted = outcomes.action_accepted(
        outcomes.action_sent(instance, at=NOW + 1.0), operation_id="op_9", at=NOW + 2.0
    ).instance
    stands = builders.sighting(builders.machine(MachineStatus.STOPPED, **NOTICED), at=NOW + 3.0, confirmed=True)

    assert observed.see(accepted, stands, now=NOW + 3.0, operation_id="op_x").change.instance.state is State.MIGRATING


@pytest.mark.parametrize("state", [State.CREATING, State.STARTING, State.STOPPING, State.DELETING])
def test_what_is_on_its_way_already_does_not_move(state):
    """The table knows no such step."""
    before = builders.instance(state, machine=builders.seen_machine())
    operation = builders.operation(Verb.MIGRATE)

    with pytest.raises(IllegalTransition):
        moves.begin(before, way=Way.REPLACE, cause=Cause.NOTICE, since=NOW, operation=operation, at=NOW)


def test_the_former_machine_goes_when_the_new_one_is_ready():
    """Not before; the event tells from where to where, and how long it took."""
    waiting = up()
    passed = msgspec.structs.replace(waiting, health=msgspec.structs.replace(waiting.health, passed_at=NOW + 60.0))
    change = startup.ready(passed, at=NOW + 60.0)

    assert waiting.discarded == ()
    assert change.instance.discarded == (MACHINE_ID,)
    assert change.instance.former is None
    assert change.facts[-1].type is FactType.MIGRATED
    assert change.facts[-1].data["secondsToAsk"] == 6.0
    assert change.facts[-1].data["secondsToReady"] == 65.0
    assert change.decision is not None
    assert change.decision.action == "instance.release"


def test_a_former_machine_that_stands_still_goes_when_the_new_one_runs():
    """It is of no use any more; while the new one only boots it is kept."""
    booting = former_seen(bought(), MachineStatus.STOPPED)
    running = former_seen(up(), MachineStatus.STOPPED)

    assert not isinstance(step(booting), Apply)
    assert booting.former is not None
    released = step(running)
    assert isinstance(released, Apply)
    assert released.change.instance.discarded == (MACHINE_ID,)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (MachineStatus.RUNNING, State.READY),
        (MachineStatus.STOPPED, State.STOPPED),
        (MachineStatus.STOPPING, State.STOPPING),
        (MachineStatus.MIGRATING, State.MIGRATING),
        (MachineStatus.REMOVED, State.LOST),
    ],
)
@pytest.mark.parametrize("at", [begun, bought, up], ids=["nothing bought", "it boots", "it runs"])
def test_a_replacement_in_vain_leaves_the_instance_as_its_former_machine_is(at, status, state):
    """Whatever became of it meanwhile; what was bought for it goes."""
    instance = former_seen(at(), status)
    change = moves.in_vain(instance, code=Code.NO_CAPACITY, message="nothing fits", at=NOW + 50.0)
    back = change.instance

    assert (back.state, back.machine.id, back.former) == (state, MACHINE_ID, None)
    assert back.discarded == (() if instance.machine is None else (NEW,))
    assert back.offer.cluster_id == CALIFORNIA.cluster_id
    assert back.operation.status is OperationStatus.FAILED
    assert [fact.type for fact in change.facts] == [FactType.MIGRATION_FAILED]
    assert back.wants == "running"


def test_a_machine_that_was_not_ready_is_asked_again_when_it_takes_its_place_again():
    """Its checks begin anew."""
    back = moves.in_vain(begun(State.HEALTH_CHECKING), code=Code.NO_CAPACITY, message="", at=NOW + 50.0).instance

    assert (back.state, back.health) == (State.RUNNING, None)


def test_while_the_former_machine_serves_one_that_does_not_answer_is_not_kept():
    """And when it does not serve any more, the new one is kept, asked on, and the former one goes."""
    late = up()
    serving = startup_fails(late)
    alone = startup_fails(former_seen(late, MachineStatus.STOPPED))

    assert (serving.state, serving.machine.id, serving.discarded) == (State.READY, MACHINE_ID, (NEW,))
    assert (alone.state, alone.machine.id, alone.discarded) == (State.FAILED, NEW, (MACHINE_ID,))


def startup_fails(instance: Instance) -> Instance:
    """Its application does not answer in time: told as a failed move, and as nothing else."""
    change = outcomes.startup_failed(instance, code=Code.HEALTH_CHECK_TIMEOUT, message="silent", at=NOW + 400.0)
    assert [fact.type for fact in change.facts] == [FactType.MIGRATION_FAILED]
    assert change.instance.moves[-1].outcome is MoveOutcome.FAILED
    return change.instance


@pytest.mark.parametrize(
    ("status", "fields", "goes_on"),
    [
        (MachineStatus.RUNNING, NOTICED, True),
        (MachineStatus.RUNNING, {"spot_status": SpotStatus.RUNNING, "reclaim_at": 0.0}, False),
        (MachineStatus.MIGRATING, NOTICED, False),
        (MachineStatus.STOPPED, {"spot_status": SpotStatus.TERMINATED}, True),
    ],
    ids=["noticed", "the notice is taken back", "Novita moves it itself", "it is taken"],
)
def test_a_search_goes_on_for_as_long_as_it_is_needed(status, fields, goes_on):
    """Never two moves at once, and none for nothing."""
    instance = former_seen(begun(), status, **fields)
    what = step(instance)

    if goes_on:
        assert what == Buy()
        return
    assert isinstance(what, Apply)
    assert what.change.instance.machine.id == MACHINE_ID
    assert what.change.instance.moves[-1].outcome is MoveOutcome.CALLED_OFF


def test_a_repair_goes_on_although_the_dead_machine_is_migrating():
    """That is what it repairs."""
    dead = begun(State.MIGRATING, cause=Cause.REPAIR, status=MachineStatus.MIGRATING)

    assert step(dead) == Buy()


def test_a_former_machine_counts_as_gone_on_two_pieces_of_evidence_and_the_instance_is_not_lost():
    """Apart in time, as ever."""
    once = observed.former_missing(bought(), MACHINE_ID, at=NOW + 40.0).instance
    early = observed.former_missing(once, MACHINE_ID, at=NOW + 45.0).instance
    twice = observed.former_missing(once, MACHINE_ID, at=NOW + 75.0)

    assert once.former.serves
    assert early == once
    assert twice.instance.former.ended
    assert twice.instance.state is State.MIGRATING
    assert [fact.type for fact in twice.facts] == [FactType.RECLAIMED]


def test_a_list_alone_says_nothing_bad_about_the_former_machine():
    """A surprise is read singly first."""
    stands = builders.sighting(builders.machine(MachineStatus.STOPPED, **NOTICED), at=NOW + 35.0)
    seen = observed.see(bought(), stands, now=NOW + 35.0, operation_id="op_x")

    assert seen.look
    assert seen.change.instance.former.serves


def test_the_offer_that_is_taken_back_is_the_last_choice():
    """Though it be the cheapest; with nothing else left it is taken."""
    cheap, dear = builders.product("a", price_per_gpu=Usd(10_000), regions=("us-ca-6",)), builders.product("b")
    instance = msgspec.structs.replace(
        begun(), former=msgspec.structs.replace(begun().former, offer=builders.offer(product_id="a"))
    )
    both = successors.ranked(builders.catalogue(cheap, dear), instance, now=NOW, cooling={})
    one = successors.ranked(builders.catalogue(cheap), instance, now=NOW, cooling={})

    assert both[0].offer.product_id == "b"
    assert one[0].offer.product_id == "a"


@pytest.mark.parametrize(("cap", "fits"), [(Usd(80_000), True), (Usd(60_000), False), (None, False)])
def test_on_demand_is_bought_only_within_a_cap(cap, fits):
    """A spot price that nobody bounded is no licence to pay a multiple."""
    firm = builders.product(billing_mode=BillingMode.ON_DEMAND, price_per_gpu=Usd(70_000))
    spec = builders.spec(requirement=builders.requirement(max_price_per_hour=cap))
    ranked = successors.ranked(
        builders.catalogue(firm), msgspec.structs.replace(begun(), spec=spec), now=NOW, cooling={}
    )

    assert bool(ranked and ranked[0].fits) is fits


def test_the_search_ends_only_when_the_former_machine_does_not_serve():
    """From when that was seen."""
    fallen = former_seen(begun(), MachineStatus.STOPPED, at=NOW + 900.0)

    assert successors.search_ends(begun()) is None
    assert successors.search_ends(fallen) == NOW + 900.0 + successors.SEARCH_SECONDS


def test_a_move_of_novitas_that_hangs_is_told_of_once_and_left_to_its_job():
    """After it was looked at."""
    hanging = builders.instance(State.MIGRATING, state_since=NOW)
    late = NOW + moves.STUCK_SECONDS
    told = next_step(hanging, now=late, limits=Limits(), looked_at=late)

    assert step(hanging) == Wait(until=late)
    assert next_step(hanging, now=late, limits=Limits()) == Act(Action.LOOK, MACHINE_ID)
    assert isinstance(told, Apply)
    assert [fact.type for fact in told.change.facts] == [FactType.MIGRATION_FAILED]
    assert told.change.instance.state is State.MIGRATING
    assert next_step(told.change.instance, now=late + 1.0, limits=Limits()) == Wait()
