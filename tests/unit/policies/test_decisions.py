"""Whatever is done without anybody asking, there is one sentence for it, with its figures; and none for what was asked and goes well."""

import random

import msgspec
import pytest

from novitai.domain.errors import NoCapacity
from novitai.domain.instance import DesiredState, OperationStatus, Verb
from novitai.domain.lifecycle import State
from novitai.domain.machine import MachineStatus, SpotStatus
from novitai.domain.offers import Objection, Ranked
from novitai.policies import decisions, observed, outcomes
from support import builders
from support.builders import NOW
from support.rehearsal import DOWN, Rehearsal
from support.trouble import EXITS, NEVER, trouble


class Watched(Rehearsal):
    """A rehearsal that keeps what was decided by itself, and what has no reason."""

    def __post_init__(self):
        super().__post_init__()
        self.asked = False
        self.decided = []
        self.unexplained = []

    def ask(self, verb):
        self.asked = True
        try:
            return super().ask(verb)
        finally:
            self.asked = False

    def take(self, change):
        before = self.instance
        if not self.asked:
            found = decisions.explained(before, change).decision
            needed = _needs_a_reason(before, change.instance)
            if found is not None:
                self.decided.append(found)
            elif needed:
                self.unexplained.append((needed, before.state, change.instance.state))
        super().take(change)

    @property
    def actions(self):
        return [decision.action for decision in self.decided]


def _needs_a_reason(before, after):
    """What may never happen without one, said another way than the policy says it."""
    needs = {
        "another's word": after.desired != before.desired and not after.desired.by.startswith("user:"),
        "a run nobody asked for": after.operation.id != before.operation.id,
        "a machine to be deleted": set(after.discarded) - set(before.discarded),
        "an extra machine": set(after.strays) - set(before.strays),
        "an operation failed": after.operation.status is OperationStatus.FAILED and before.operation.under_way,
        "failed or lost": after.state in {State.FAILED, State.LOST} and after.state is not before.state,
        "stopped, but wanted": (after.state, after.wants) == (State.STOPPED, DesiredState.RUNNING)
        and before.state is not State.STOPPED
        and not after.operation.under_way
        and not (after.machine.spot_status.taken and before.state is State.STOPPING),
    }
    return [need for need, so in needs.items() if so]


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_nothing_of_weight_is_done_without_a_reason(seed):
    """Requests, refusals, lost answers, other hands and reclaims in any order."""
    actions = set()
    for case in range(20):
        chance = random.Random(seed * 1000 + case)
        rehearsal = Watched()
        for _ in range(chance.randrange(1, 25)):
            trouble(chance, rehearsal)
            rehearsal.run(chance.choice((0.5, 2.0, 7.0, 20.0, 45.0, 130.0, 700.0)))

        assert rehearsal.unexplained == [], f"{seed}/{case}"
        for decision in rehearsal.decided:
            assert decision.why.because, decision
            assert decision.by in {"startup", "observer"}, decision
            assert "None" not in decision.why.because, decision
        actions |= set(rehearsal.actions)
    assert len(actions) >= 6, actions


def test_what_was_asked_and_goes_as_asked_is_no_decision():
    """A create, a stop, a start and a delete without trouble leave nothing to explain."""
    rehearsal = Watched()
    rehearsal.run_until(State.READY)
    for verb, state in ((Verb.STOP, State.STOPPED), (Verb.START, State.READY), (Verb.DELETE, State.DELETED)):
        rehearsal.ask(verb)
        rehearsal.run_until(state)

    assert rehearsal.actions == []


def test_a_machine_that_never_runs_is_replaced_once_and_then_given_up():
    """Both times it is said which machine, for how long it was waited, and what follows."""
    rehearsal = Watched(up=NEVER)
    rehearsal.run_until(State.FAILED)

    assert rehearsal.actions == ["instance.replace", "instance.fail"]
    first, second = (decision.why for decision in rehearsal.decided)
    assert "did not run within 600 s" in first.because
    assert "the next best offer is tried, once" in first.because
    assert "no other offer is tried after the second" in second.because
    assert first.facts["machineId"] != second.facts["machineId"]


def test_a_machine_that_exits_while_it_starts_is_explained_with_what_is_left():
    """The failure, the machine that stays, and that it is to be stopped now."""
    rehearsal = Watched(up=EXITS)
    rehearsal.run_until(State.STOPPED)

    (decision,) = rehearsal.decided
    assert decision.action == "instance.fail"
    assert "the machine stopped before it was ready" in decision.why.because
    assert "is left as it is (stopped)" in decision.why.because
    assert "From now on it is to be stopped" in decision.why.because


def test_an_application_that_does_not_answer_leaves_a_machine_that_bills():
    """And that is said, with the price."""
    rehearsal = Watched(app_answers_after=None)
    rehearsal.run_until(State.FAILED)

    (decision,) = rehearsal.decided
    assert decision.why.facts["code"] == "HEALTH_CHECK_TIMEOUT"
    assert "bills $0.35 an hour" in decision.why.because


def test_a_stop_by_other_hands_is_told_as_a_persons_word():
    """Not an action of ours, but it belongs to the story."""
    rehearsal = Watched()
    rehearsal.run_until(State.READY)
    rehearsal.machine.follow(DOWN, now=rehearsal.now)
    rehearsal.run_until(State.STOPPED)

    (decision,) = rehearsal.decided
    assert (decision.by, decision.action) == ("observer", "instance.seen_stopped")
    assert "was stopped outside of Novitai" in decision.why.because


def test_a_spot_machine_taken_back_is_no_stop_that_anybody_asked_for():
    """What is wanted does not change, and that is said."""
    ready = builders.with_machine(
        builders.instance(State.READY), spot_status=SpotStatus.RECLAIMING, reclaim_at=NOW + 30.0
    )
    sighting = builders.sighting(
        builders.detailed_machine(MachineStatus.STOPPED, spot_status=SpotStatus.RECLAIMING, reclaim_at=NOW + 30.0),
        confirmed=True,
    )
    change = observed.see(ready, sighting, now=NOW, operation_id="op_9").change

    decision = decisions.explained(ready, change).decision
    assert decision is not None
    assert (decision.action, decision.why.facts["spotStatus"]) == ("instance.reclaim", "reclaiming")
    assert "still to be running" in decision.why.because


def test_a_lost_machine_is_told_with_both_pieces_of_evidence():
    """Nothing is called lost on one."""
    ready = builders.instance(State.READY)
    once = observed.missing(ready, at=NOW)
    twice = observed.missing(once.instance, at=NOW + 40.0)

    assert decisions.explained(ready, once).decision is None
    decision = decisions.explained(once.instance, twice).decision
    assert decision is not None
    assert decision.action == "instance.lose"
    assert len(decision.why.facts["missing"]) == 2


def test_a_machine_found_after_an_unclear_create_is_told_as_adopted():
    """So that it is clear why nothing was bought again."""
    searching = builders.instance(State.CREATING, open_attempt=builders.open_attempt(ended=True), attempts=1)
    change = outcomes.create_accepted(
        searching, number=1, offer=builders.offer(), machine_id=builders.MACHINE_ID, machine_name="demo-1", at=NOW
    )

    decision = decisions.explained(searching, change).decision
    assert decision is not None
    assert (decision.action, decision.why.facts["machineId"]) == ("instance.adopt", builders.MACHINE_ID)


def test_a_placement_names_the_offer_its_rivals_and_what_refused_before():
    """In figures: the price, how many fit, the next, the first losers and the refusals."""
    best, second = builders.offer(builders.CALIFORNIA), builders.offer(builders.INDIA, price_per_hour=41_000)
    lost = builders.offer(builders.HONG_KONG)
    ranked = (
        Ranked(rank=1, offer=best, reason="$0.35 an hour: the cheapest that fits"),
        Ranked(rank=2, offer=second, reason="$0.41 an hour: $0.06 more than the first"),
        Ranked(rank=0, offer=lost, objection=Objection.REFUSED, reason="refused this request: no capacity"),
    )
    refused = outcomes.create_refused(
        builders.instance(State.CREATING), number=None, offer=lost, failure=NoCapacity("no GPU"), at=NOW
    )

    decision = decisions.placed(refused, ranked, number=2, read_at=NOW - 5.0)
    because, facts = decision.why.because, decision.why.facts
    assert (decision.by, decision.action) == ("placement", "instance.place")
    assert "2 of 3 offers fit" in because
    assert "$0.06 more than the first" in because
    assert f"{lost.product_id} in {lost.cluster_id} as spot (NO_CAPACITY)" in because
    assert (facts["attempt"], facts["offer"]["pricePerHour"], facts["next"]["pricePerHour"]) == (2, 0.35, 0.41)
    assert facts["lost"][0]["reason"] == "refused this request: no capacity"


def test_what_decides_with_more_than_the_comparison_says_its_own_reason():
    """It is not replaced by the one that is found by comparing."""
    ready = builders.instance(State.READY)
    own = decisions.placed(ready, (Ranked(rank=1, offer=builders.offer(), reason="best"),), number=1, read_at=NOW)
    lost = observed.missing(builders.with_machine(ready, missing=(NOW - 60.0,)), at=NOW)

    kept = decisions.explained(ready, msgspec.structs.replace(lost, decision=own))

    assert kept.decision is own


def test_a_machine_that_somebody_starts_while_a_policy_moves_it_is_told_as_that():
    """The move goes on with it, and the log says why nothing else was done."""
    moving = builders.accepted(Verb.MIGRATE, by="migration")
    before = builders.instance(State.MIGRATING, operation=moving, machine=builders.seen_machine(MachineStatus.STOPPED))
    after = msgspec.structs.replace(before, state=State.STARTING)

    decision = decisions.decided(before, after)

    assert decision is not None
    assert decision.action == "instance.seen_starting"
    assert decision.why.facts["requestedBy"] == "migration"
    assert "migrate under way" in decision.why.because
