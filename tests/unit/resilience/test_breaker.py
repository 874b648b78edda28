"""The breaker is the specification (promise U2)."""

import os

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from novitai.resilience.breaker import Breaker, BreakerSettings, BreakerState, Permit, Phase, Refusal

# 3,000 random steps by default; the long run of 50,000 is `NOVITAI_BREAKER_RUNS=1000`.
RUNS = int(os.environ.get("NOVITAI_BREAKER_RUNS", "60"))


@pytest.fixture
def breaker():
    return Breaker(BreakerSettings())


def call(breaker, *, ok, now):
    permit = breaker.permit(now)
    assert isinstance(permit, Permit)
    breaker.record(permit, ok=ok, now=now)


def opened(breaker, now=0.0):
    for _ in range(5):
        call(breaker, ok=False, now=now)
    return breaker


def test_five_consecutive_failures_open_it_and_nothing_passes_for_sixty_seconds(breaker):
    """0 calls while open; the refusal says when to come back."""
    opened(breaker, now=100.0)

    answers = [breaker.permit(now) for now in (100.0, 130.0, 159.999)]

    assert answers == [Refusal(retry_at=160.0)] * 3
    assert (breaker.state, breaker.failure_count, breaker.opened_at, breaker.retry_at) == (Phase.OPEN, 5, 100.0, 160.0)


def test_a_success_between_failures_starts_the_count_again(breaker):
    """Only consecutive failures count."""
    for ok in [False] * 4 + [True] + [False] * 4:
        call(breaker, ok=ok, now=0.0)

    assert (breaker.state, breaker.failure_count) == (Phase.CLOSED, 4)


def test_after_the_pause_one_probe_at_a_time_and_three_successes_close_it(breaker):
    """The receiver, just back, meets one call at a time."""
    opened(breaker)

    for _ in range(3):
        probe = breaker.permit(60.0)
        assert isinstance(probe, Permit)
        assert isinstance(breaker.permit(60.0), Refusal)
        assert breaker.state is Phase.HALF_OPEN
        breaker.record(probe, ok=True, now=60.0)

    assert (breaker.state, breaker.failure_count, breaker.opened_at, breaker.retry_at) == (Phase.CLOSED, 0, None, None)


def test_a_failed_probe_opens_it_for_another_sixty_seconds_even_after_two_good_ones(breaker):
    """Any failure re-opens, and the next round needs three successes again."""
    opened(breaker)
    for ok in (True, True, False):
        call(breaker, ok=ok, now=61.0)

    assert breaker.permit(120.9) == Refusal(retry_at=121.0)
    for _ in range(2):
        call(breaker, ok=True, now=121.0)
    assert breaker.state is Phase.HALF_OPEN


def test_late_answers_of_calls_sent_before_the_opening_change_nothing(breaker):
    """Neither a late failure nor a late success touches the count of probes."""
    early = [breaker.permit(0.0) for _ in range(4)]
    opened(breaker)
    call(breaker, ok=True, now=60.0)

    for permit, ok in zip(early, (True, False, True, False), strict=True):
        breaker.record(permit, ok=ok, now=61.0)

    assert (breaker.state, breaker.snapshot.successes) == (Phase.HALF_OPEN, 1)


def test_an_abandoned_probe_frees_its_place_and_counts_neither_way(breaker):
    """A probe that was cancelled before it was sent does not block the next one."""
    opened(breaker)
    probe = breaker.permit(60.0)

    breaker.abandon(probe)

    assert isinstance(breaker.permit(60.5), Permit)
    assert (breaker.state, breaker.snapshot.successes) == (Phase.HALF_OPEN, 0)


def test_a_probe_that_nobody_reports_on_makes_room_after_the_pause_and_its_late_answer_is_ignored(breaker):
    """A process that dies with the probe does not keep the others out for ever."""
    opened(breaker)
    lost = breaker.permit(60.0)

    second = breaker.permit(120.0)
    breaker.record(lost, ok=False, now=121.0)

    assert isinstance(second, Permit)
    assert breaker.state is Phase.HALF_OPEN


def test_a_clock_set_back_does_not_prolong_the_pause(breaker):
    """With a wall clock, an hour back means 60 seconds from now, not an hour and 60 seconds."""
    opened(breaker, now=10_000.0)

    assert breaker.permit(6_400.0) == Refusal(retry_at=6_460.0)
    assert isinstance(breaker.permit(6_460.0), Permit)


def test_its_state_survives_being_written_and_read(breaker):
    """A keeper stores the snapshot; another process goes on with it."""
    opened(breaker)
    stored = msgspec.json.encode(breaker.snapshot)

    revived = Breaker(BreakerSettings(), msgspec.json.decode(stored, type=BreakerState))

    assert revived.permit(59.0) == Refusal(retry_at=60.0)
    assert isinstance(revived.permit(60.0), Permit)


class Model:
    """The rule again, written as differently as possible: a list of calls, replayed from the last change of state."""

    def __init__(self):
        self.round, self.kind, self.since, self.results, self.probe = 0, "CLOSED", 0.0, [], None

    def change(self, kind, now):
        self.round, self.kind, self.since, self.results, self.probe = self.round + 1, kind, now, [], None

    def ask(self, now):
        if self.kind == "OPEN" and now - self.since >= 60:
            self.change("HALF_OPEN", now)
        if self.probe is not None and now - self.probe[1] >= 60:
            self.probe = None
        if self.kind == "OPEN" or (self.kind == "HALF_OPEN" and self.probe):
            return None
        ticket = (object(), now, self.round)
        if self.kind == "HALF_OPEN":
            self.probe = ticket
        return ticket

    def done(self, ticket, ok, now):
        if ticket[2] != self.round or (self.kind == "HALF_OPEN" and self.probe is not ticket):
            return
        self.probe = None
        if ok is not None:
            self.results.append(ok)
        if (self.kind == "CLOSED" and self.results[-5:] == [False] * 5) or (
            self.kind == "HALF_OPEN" and False in self.results
        ):
            self.change("OPEN", now)
        elif self.kind == "HALF_OPEN" and len(self.results) == 3:
            self.change("CLOSED", now)


class BreakerAgainstModel(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.breaker = Breaker(BreakerSettings())
        self.model = Model()
        self.out = []

    @rule()
    def ask(self):
        answer, ticket = self.breaker.permit(self.now), self.model.ask(self.now)
        assert isinstance(answer, Permit) == (ticket is not None)
        if ticket is not None:
            self.out.append((answer, ticket))
        else:
            assert answer.retry_at > self.now

    @precondition(lambda self: self.out)
    @rule(data=st.data(), ok=st.sampled_from([True, False, False]))
    def answer(self, data, ok):
        permit, ticket = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        self.breaker.record(permit, ok=ok, now=self.now)
        self.model.done(ticket, ok, self.now)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def give_up(self, data):
        permit, ticket = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        self.breaker.abandon(permit)
        self.model.done(ticket, None, self.now)

    @rule(ok=st.booleans(), times=st.integers(1, 6))
    def call_in_a_row(self, ok, times):
        for _ in range(times):
            self.ask()
            if self.out:
                permit, ticket = self.out.pop()
                self.breaker.record(permit, ok=ok, now=self.now)
                self.model.done(ticket, ok, self.now)

    @rule(seconds=st.sampled_from([0.5, 20.0, 59.5, 60.0, 61.0]))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def restart(self):
        self.breaker = Breaker(BreakerSettings(), self.breaker.snapshot)

    @invariant()
    def same_state(self):
        assert self.breaker.state == self.model.kind


def test_random_traffic_never_tells_the_breaker_from_an_independent_model():
    """0 differences over thousands of random steps."""
    run_state_machine_as_test(
        BreakerAgainstModel,
        settings=settings(max_examples=RUNS, stateful_step_count=50, deadline=None, database=None),
    )
