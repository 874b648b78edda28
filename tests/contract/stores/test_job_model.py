"""Jobs against a model: whatever is woken, claimed, finished, cancelled and waited for, the store and forty lines of Python agree."""

import asyncio
import itertools
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from contract.stores.samples import LANE
from novitai.ports.store import Cancel, Claim, Commit, Finish, JobStatus, LeaseLost, Priority, Requeue, Wake
from support.clock import FakeClock

LEASE = 20.0
KEYS = st.sampled_from(["a", "b", "c"])
TYPES = st.sampled_from(["create", "stop"])
PRIORITIES = st.sampled_from(list(Priority))
DELAYS = st.sampled_from([-5.0, 0.0, 10.0, 30.0])


@dataclass
class ModelJob:
    id: str
    type: str
    priority: Priority
    due: float
    payload: bytes
    attempts: int = 0
    token: int = 0  # 0: nobody works on it
    lease_until: float = 0.0
    woken: list[float] = field(default_factory=list)  # due times of wakes during the run

    @property
    def ready_at(self) -> float:
        return self.lease_until if self.token else self.due

    def let_go(self, due: float, *, attempts: int) -> None:
        self.due, self.attempts, self.token, self.woken = due, attempts, 0, []


class Jobs(RuleBasedStateMachine):
    def __init__(self, engine, places) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = FakeClock()
        self.store = self.runner.run(engine.open(self.clock, place=f"model{next(places)}"))
        self.live: dict[str, ModelJob] = {}
        self.ended: list[tuple[str, JobStatus]] = []
        self.claims: list[Claim] = []
        self.ids = itertools.count(1)
        self.highest_token = 0

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()

    def commit(self, commit: Commit) -> None:
        self.runner.run(self.store.commit(commit))

    def new_id(self) -> str:
        return f"job_{next(self.ids):06}"

    @rule(key=KEYS, job_type=TYPES, priority=PRIORITIES, delay=DELAYS, payload=st.binary(max_size=3))
    def wake(self, key, job_type, priority, delay, payload) -> None:
        wish = self.wish(key, job_type, priority, delay, payload)
        self.commit(Commit(wakes=(wish,)))
        self.model_wake(wish)

    def wish(self, key, job_type, priority, delay, payload=b"") -> Wake:
        due = self.clock.now() + delay
        return Wake(key=key, id=self.new_id(), type=job_type, lane=LANE, priority=priority, due=due, payload=payload)

    def model_wake(self, wish: Wake) -> None:
        job = self.live.get(wish.key)
        if job is None:
            self.live[wish.key] = ModelJob(wish.id, wish.type, wish.priority, wish.due, wish.payload)
            return
        job.type, job.payload, job.priority = wish.type, wish.payload, max(job.priority, wish.priority)
        if job.token:
            job.woken.append(wish.due)
        else:
            job.due = min(job.due, wish.due)

    @rule(limit=st.integers(1, 3))
    def claim(self, limit) -> None:
        now = self.clock.now()
        ready = [(key, job) for key, job in self.live.items() if job.ready_at <= now]
        ready.sort(key=lambda item: (-item[1].priority, item[1].ready_at))
        taken = self.runner.run(self.store.claim(LANE, owner="w", limit=limit, lease_seconds=LEASE))

        order = [(-job.priority, job.ready_at) for _, job in ready[:limit]]
        assert [(-held.priority, self.live[held.key].ready_at) for held in taken] == order
        for held in taken:
            job = self.live[held.key]
            assert held.token > self.highest_token
            self.highest_token = held.token
            job.attempts, job.token, job.lease_until, job.woken = job.attempts + 1, held.token, now + LEASE, []
            assert (held.id, held.type, held.payload, held.attempts) == (job.id, job.type, job.payload, job.attempts)
        self.claims += taken

    @rule(
        pick=st.integers(0, 20),
        again=st.none() | st.tuples(TYPES, PRIORITIES, DELAYS, st.booleans()),
        failed=st.booleans(),
        woken=st.none() | st.tuples(TYPES, PRIORITIES, DELAYS),
    )
    def finish(self, pick, again, failed, woken) -> None:
        if not self.claims:
            return
        held = self.claims[pick % len(self.claims)]
        status = JobStatus.FAILED if failed else JobStatus.COMPLETED
        end = Finish(claim=held, requeue=self.requeue(again) if again else None, status=status)
        wishes = (self.wish(held.key, *woken),) if woken else ()
        job = self.live.get(held.key)
        if job is None or job.token != held.token:
            try:
                self.commit(Commit(finish=end, wakes=wishes))
            except LeaseLost:
                return
            raise AssertionError("a finish without a lease was accepted")
        self.commit(Commit(finish=end, wakes=wishes))
        for wish in wishes:
            self.model_wake(wish)
        self.model_finish(held.key, job, end)

    def requeue(self, again) -> Requeue:
        job_type, priority, delay, keep = again
        due = self.clock.now() + delay
        return Requeue(due=due, type=job_type, id=self.new_id(), priority=priority, keep_attempts=keep)

    def model_finish(self, key, job: ModelJob, end: Finish) -> None:
        again = end.requeue
        attempts = job.attempts if again and again.keep_attempts else 0
        if job.woken:
            job.let_go(min([*job.woken, again.due] if again else job.woken), attempts=attempts)
        elif again is None:
            self.ended.append((job.id, end.status))
            del self.live[key]
        else:
            job.priority = again.priority
            if again.type != job.type:
                self.ended.append((job.id, JobStatus.COMPLETED))
                job.id, job.type, attempts = again.id, again.type, 0
            job.let_go(again.due, attempts=attempts)

    @rule(key=KEYS)
    def cancel(self, key) -> None:
        self.commit(Commit(cancels=(Cancel(key=key),)))
        if key in self.live:
            self.ended.append((self.live.pop(key).id, JobStatus.CANCELLED))

    @rule(pick=st.integers(0, 20))
    def renew(self, pick) -> None:
        if not self.claims:
            return
        held = self.claims[pick % len(self.claims)]
        still = self.runner.run(self.store.renew([held], lease_seconds=LEASE))
        job = self.live.get(held.key)
        holds = job is not None and job.token == held.token
        assert still == ({held.key} if holds else set())
        if job is not None and holds:
            job.lease_until = self.clock.now() + LEASE

    @rule(seconds=st.sampled_from([1.0, 10.0, 20.0, 100.0]))
    def wait(self, seconds) -> None:
        self.runner.run(self.clock.advance(seconds))

    @invariant()
    def the_store_shows_what_the_model_holds(self) -> None:
        shown = {job.key: job for job in self.runner.run(self.store.jobs()).jobs}
        assert shown.keys() == self.live.keys()
        for key, job in self.live.items():
            seen = shown[key]
            assert (seen.id, seen.type, seen.priority, seen.payload) == (job.id, job.type, job.priority, job.payload)
            assert seen.attempts == job.attempts
            assert seen.status is (JobStatus.PROCESSING if job.token else JobStatus.PENDING)
            assert seen.due == (min(job.woken, default=None) if job.token else job.due)

    @invariant()
    def the_next_due_time_is_right(self) -> None:
        earliest = min((job.ready_at for job in self.live.values()), default=None)
        assert self.runner.run(self.store.next_due(LANE)) == earliest

    @invariant()
    def every_ended_job_is_in_the_log_once(self) -> None:
        assert self.runner.run(self.store.count_log("jobs", "all")) == len(self.ended)
        logged = self.runner.run(self.store.read_log("jobs", "all", limit=1000)).entries
        assert [entry.id for entry in logged] == [job_id for job_id, _ in self.ended]


def test_jobs_behave_as_the_model_says(engine):
    """Any sequence of wakes, claims, finishes, cancels, renewals and waiting leaves store and model alike."""
    places = itertools.count()
    run_state_machine_as_test(
        lambda: Jobs(engine, places),
        settings=settings(
            max_examples=40,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
