"""Lanes run durable jobs and loops keep things true: in order, once, leased, and with an end."""

import asyncio
import itertools
from contextlib import asynccontextmanager

import pytest

from novitai.ports.store import Cancel, Commit, Finish, JobStatus, Lease, Priority, Requeue, StoreUnavailable, Wake
from novitai.reconcilers.driver import LEASE_SECONDS, Lane, Loop
from novitai.stores.notifying import NotifyingStore
from novitai.stores.sqlite import open_sqlite
from support.clock import START, FakeClock, FakeIds, settle


class Away(NotifyingStore):
    """A store that can be away."""

    away = False
    claims = 0

    async def _commit(self, commit):
        if self.away:
            raise StoreUnavailable("disk full")
        return await super()._commit(commit)

    async def claim(self, *args, **kwargs):
        self.claims += 1
        if self.away:
            raise StoreUnavailable("disk full")
        return await super().claim(*args, **kwargs)

    async def acquire(self, *args, **kwargs):
        if self.away:
            raise StoreUnavailable("disk full")
        return await super().acquire(*args, **kwargs)


class Shop:
    """A store with a lane over it, and what the lane ran."""

    def __init__(self, clock: FakeClock, store: Away) -> None:
        self.clock, self.store, self.ids = clock, store, FakeIds()
        self.ran: list[tuple[str, float]] = []
        self.ended: list[tuple[str, str, float]] = []
        self.lanes: list[Lane] = []

    def lane(self, handler, *, slots: int = 4, owner: str = "p1") -> Lane:
        def told(*, job_type, status, seconds):
            self.ended.append((job_type, status, seconds))

        async def noted(claim):
            self.ran.append((claim.key, self.clock.now() - START))
            await handler(claim)

        lane = Lane(
            "work", slots=slots, handler=noted, store=self.store, clock=self.clock, ids=self.ids, owner=owner, told=told
        )
        self.store.subscribe(lane.committed)
        self.lanes.append(lane)
        return lane

    async def wake(
        self, key: str, *, due: float = START, priority: Priority = Priority.NORMAL, kind: str = "thing"
    ) -> None:
        wish = Wake(key=key, id=self.ids.new("job"), type=kind, lane="work", priority=priority, due=due)
        await self.store.commit(Commit(wakes=(wish,)))

    async def finish(self, claim, **fields) -> None:
        await self.store.commit(Commit(finish=Finish(claim=claim, **fields)))

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.ran]


@asynccontextmanager
async def shop():
    clock = FakeClock()
    store = Away(await open_sqlite(None, clock=clock))
    found = Shop(clock, store)
    try:
        yield found
    finally:
        store.away = False
        for lane in found.lanes:
            await lane.stop(grace=0.0)
        await store.close()


# ── lanes ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_due_jobs_run_in_order_of_priority():
    """Stop and delete before starts, starts before creates, creates before the rest."""
    async with shop() as it:
        lane = it.lane(it.finish, slots=1)
        for number, priority in enumerate((Priority.LOW, Priority.NORMAL, Priority.CRITICAL, Priority.HIGH)):
            await it.wake(f"{priority.name}", due=START - number, priority=priority)
        lane.start()
        await settle()

        assert it.keys == ["CRITICAL", "HIGH", "NORMAL", "LOW"]


async def test_a_job_runs_at_its_due_time_and_a_new_wish_at_once():
    """Nobody polls: the lane sleeps until something is due, or until it is told."""
    async with shop() as it:
        it.lane(it.finish).start()
        await it.wake("later", due=START + 7.0)
        await it.clock.advance(5.0)
        await it.wake("now", due=it.clock.now())
        await it.clock.advance(5.0)

        assert it.ran == [("now", 5.0), ("later", 7.0)]
        assert it.store.claims < 10


async def test_a_wish_during_a_run_is_not_lost():
    """The generation moves, so the job runs again after the present run, and its end is counted once."""
    async with shop() as it:

        async def handler(claim):
            if len(it.ran) == 1:
                await it.wake("a")
            await it.finish(claim)

        it.lane(handler).start()
        await it.wake("a")
        await it.clock.advance(1.0)

        assert it.keys == ["a", "a"]
        assert it.ended == [("thing", "completed", 0.0)]


async def test_never_more_than_the_slots_at_once_and_none_left_over():
    """Two at a time, all in the end."""
    async with shop() as it:
        under_way, most = [], []

        async def handler(claim):
            under_way.append(claim.key)
            most.append(len(under_way))
            await it.clock.sleep(3.0)
            under_way.remove(claim.key)
            await it.finish(claim)

        it.lane(handler, slots=2).start()
        for number in range(9):
            await it.wake(f"j{number}")
        await it.clock.advance(60.0)

        assert max(most) == 2
        assert sorted(it.keys) == [f"j{number}" for number in range(9)]
        assert all(seconds == 3.0 for _, _, seconds in it.ended)


async def test_a_long_job_keeps_its_lease():
    """Three leases long, and no other worker gets it."""
    async with shop() as it:

        async def handler(claim):
            await it.clock.sleep(3 * LEASE_SECONDS)
            await it.finish(claim)

        it.lane(handler).start()
        it.lane(handler, owner="p2").start()
        await it.wake("long")
        await it.clock.advance(5 * LEASE_SECONDS)

        assert it.keys == ["long"]


async def test_a_run_that_lost_its_lease_is_cancelled():
    """Somebody cancelled the job, or another worker took it: the run ends."""
    async with shop() as it:
        ended = []

        async def handler(claim):
            try:
                await it.clock.sleep(1000.0)
            except asyncio.CancelledError:
                ended.append(it.clock.now() - START)
                raise

        lane = it.lane(handler)
        lane.start()
        await it.wake("a")
        await it.clock.advance(1.0)
        await it.store.commit(Commit(cancels=(Cancel(key="a"),)))
        await it.clock.advance(10.0)

        assert len(ended) == 1
        assert ended[0] <= 7.0
        assert lane.busy == 0


async def test_a_handler_that_raises_is_tried_again_with_growing_pauses():
    """Whatever it raises: later, and ever later, and never parked."""
    async with shop() as it:

        async def handler(claim):
            raise RuntimeError("a fault of ours")

        it.lane(handler).start()
        await it.wake("a")
        await it.clock.advance(1000.0)

        times = [at for _, at in it.ran]
        pauses = [later - sooner for sooner, later in itertools.pairwise(times)]
        assert 0.5 <= pauses[0] <= 1.0
        assert all(later >= sooner / 2 for sooner, later in itertools.pairwise(pauses))
        assert 30.0 <= pauses[-1] <= 60.0
        [job] = (await it.store.jobs()).jobs
        assert job.error == "an unexpected error; see the log"


async def test_work_goes_on_within_a_second_after_the_store_is_back():
    """A job that failed because the store was away is not left to its lease."""
    async with shop() as it:

        async def handler(claim):
            it.store.away = it.store.away or len(it.ran) == 1
            await it.finish(claim)

        it.lane(handler).start()
        await it.wake("a")
        await it.clock.advance(15.0)
        assert it.keys == ["a"]

        it.store.away = False
        await it.clock.advance(2.0)
        assert it.keys == ["a", "a"]
        assert await it.store.live_job("a") is None


async def test_a_lane_outlives_a_fault_in_claiming():
    """An error that nobody foresaw ends neither the claimer nor the process's work."""
    async with shop() as it:
        claim, faults = it.store.claim, iter([ValueError("corrupt row")])

        async def faulty(*args, **kwargs):
            for fault in faults:
                raise fault
            return await claim(*args, **kwargs)

        it.store.claim = faulty
        it.lane(it.finish).start()
        await it.wake("a")
        await it.clock.advance(3.0)

        assert it.keys == ["a"]


async def test_stopping_waits_for_what_runs():
    """A job that is nearly done is let end."""
    async with shop() as it:
        go_on = asyncio.Event()

        async def handler(claim):
            await go_on.wait()
            await it.finish(claim)

        lane = it.lane(handler)
        lane.start()
        await it.wake("a")
        await settle()
        stopping = asyncio.create_task(lane.stop())
        await settle()
        assert not stopping.done()
        go_on.set()
        await stopping

        assert await it.store.live_job("a") is None


async def test_stopping_gives_back_what_does_not_end():
    """Another process can take it up at once, not only when the lease has run out; stopping twice is fine."""
    async with shop() as it:

        async def forever(claim):
            await it.clock.sleep(1e9)

        lane = it.lane(forever)
        lane.start()
        await it.wake("a")
        await settle()
        await lane.stop(grace=0.0)
        await lane.stop(grace=0.0)
        it.lane(it.finish, owner="p2").start()
        await settle()

        assert it.ran == [("a", 0.0), ("a", 0.0)]
        assert it.clock.next_wake() is not None


async def test_a_run_that_steps_aside_makes_room_and_goes_on():
    """One slot, three jobs that wait for somebody: all wait at once, and each ends as usual."""
    async with shop() as it:
        answered = asyncio.Event()

        async def handler(claim):
            lane.step_aside(claim)
            lane.step_aside(claim)
            await answered.wait()
            await it.finish(claim)

        lane = it.lane(handler, slots=1)
        lane.start()
        for key in "abc":
            await it.wake(key)
        await it.clock.advance(1.0)
        assert it.keys == ["a", "b", "c"]
        assert lane.busy == 0
        answered.set()
        await it.clock.advance(1.0)

        assert (await it.store.jobs()).jobs == ()
        assert (lane.busy, lane.finished) == (0, 3)


async def test_a_run_aside_keeps_its_lease_and_counts_no_more_than_once():
    """Nobody else gets it, and the slots that are left are as many as before."""
    async with shop() as it:
        under_way, most = [], []

        async def handler(claim):
            if claim.key == "long":
                lane.step_aside(claim)
                await it.clock.sleep(3 * LEASE_SECONDS)
            else:
                under_way.append(claim.key)
                most.append(len(under_way))
                await it.clock.sleep(1.0)
                under_way.remove(claim.key)
            await it.finish(claim)

        lane = it.lane(handler, slots=2)
        lane.start()
        it.lane(it.finish, owner="p2", slots=1)
        for key in ("long", *(f"j{number}" for number in range(8))):
            await it.wake(key)
        await it.clock.advance(2.5 * LEASE_SECONDS)
        it.lanes[1].start()
        await it.clock.advance(2 * LEASE_SECONDS)

        assert it.keys.count("long") == 1
        assert max(most) == 2


async def test_a_claim_that_is_not_held_any_more_has_no_place_to_give():
    """A handler that comes late takes nobody's slot away."""
    async with shop() as it:
        claims = []

        async def handler(claim):
            claims.append(claim)
            await it.finish(claim)

        lane = it.lane(handler)
        lane.start()
        await it.wake("a")
        await it.clock.advance(1.0)
        lane.step_aside(claims[0])

        assert lane.busy == 0


@pytest.mark.parametrize("grace", [5.0, 0.0])
async def test_stopping_waits_for_runs_aside_too_and_gives_them_back(grace):
    """Nothing that was claimed is left to its lease."""
    async with shop() as it:
        answered = asyncio.Event()

        async def handler(claim):
            lane.step_aside(claim)
            await answered.wait()
            await it.finish(claim)

        lane = it.lane(handler, slots=1)
        lane.start()
        for key in "ab":
            await it.wake(key)
        await settle()
        stopping = asyncio.create_task(lane.stop(grace=grace))
        await settle()
        assert stopping.done() is (grace == 0.0)
        answered.set()
        await stopping

        jobs = (await it.store.jobs()).jobs
        assert sorted((job.key, job.due, job.error) for job in jobs) == (
            [] if grace else [("a", START, "interrupted"), ("b", START, "interrupted")]
        )


async def test_what_ended_is_counted_by_type_and_status():
    """A job that goes on as another type has ended, too; one that waits has not."""
    async with shop() as it:

        async def handler(claim):
            if claim.type == "first":
                requeue = Requeue(due=it.clock.now(), type="second", id=it.ids.new("job"), priority=claim.priority)
                await it.finish(claim, requeue=requeue)
            elif len(it.ran) == 2:
                requeue = Requeue(due=it.clock.now() + 1.0, type="second", id=claim.id, priority=claim.priority)
                await it.finish(claim, requeue=requeue)
            else:
                await it.finish(claim, status=JobStatus.FAILED, error="NO_CAPACITY")

        it.lane(handler).start()
        await it.wake("a", kind="first")
        await it.clock.advance(5.0)

        assert [(kind, status) for kind, status, _ in it.ended] == [("first", "completed"), ("second", "failed")]


# ── loops ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def loop(it: Shop, work, *, interval: float = 30.0, longest_run: float = 0.0, owner: str = "p1") -> Loop:
    made = Loop("thing", work, interval=interval, longest_run=longest_run, store=it.store, clock=it.clock, owner=owner)
    made.start()
    return made


async def test_a_loop_runs_at_once_and_then_every_interval():
    """And it shows when."""
    async with shop() as it:
        runs = []

        async def work(lease: Lease) -> float | None:
            runs.append(it.clock.now() - START)
            return None

        one = loop(it, work)
        await it.clock.advance(61.0)

        assert runs == [0.0, 30.0, 60.0]
        assert one.view() == {
            "lastRunAt": "2027-01-15T08:01:00.000Z",
            "nextRunAt": "2027-01-15T08:01:30.000Z",
            "runs": 3,
            "lastError": None,
        }
        await one.stop()


async def test_a_nudge_makes_a_loop_run_sooner_and_never_twice_at_once():
    """A nudge during a run is kept for after it."""
    async with shop() as it:
        under_way, most, runs = [0], [0], []

        async def work(lease: Lease) -> float | None:
            runs.append(it.clock.now() - START)
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
            await it.clock.sleep(2.0)
            under_way[0] -= 1
            return None

        one = loop(it, work)
        await it.clock.advance(10.0)
        one.nudge()
        await it.clock.advance(1.0)
        one.nudge()
        await it.clock.advance(5.0)

        assert runs == [0.0, 10.0, 12.0]
        assert most == [1]
        await one.stop()


async def test_one_process_leads_for_as_long_as_it_lives():
    """The lease is kept between runs and during long ones; the other process takes over when it ends."""
    async with shop() as it:
        runs = []

        def work_of(name):
            async def work(lease: Lease) -> float | None:
                runs.append(name)
                await it.clock.sleep(50.0)
                return None

            return work

        first = loop(it, work_of("first"), interval=60.0)
        await settle()
        second = loop(it, work_of("second"), interval=60.0, owner="p2")
        await it.clock.advance(600.0)
        assert set(runs) == {"first"}

        await first.stop()
        await it.clock.advance(6.0)
        assert runs[-1] == "second"
        await second.stop()


async def test_a_run_that_lost_the_lead_is_cancelled():
    """A process that was frozen beyond its lease does not go on beside its successor."""
    async with shop() as it:
        ended, runs = [], []

        async def work(lease: Lease) -> float | None:
            runs.append(it.clock.now())
            try:
                await it.clock.sleep(1000.0)
            except asyncio.CancelledError:
                ended.append(it.clock.now() - START)
                raise
            return None

        one = loop(it, work)
        await settle()
        stolen = await it.store.acquire("loop:thing", owner="p1", seconds=LEASE_SECONDS)
        await it.store.release(stolen)
        assert await it.store.acquire("loop:thing", owner="p2", seconds=500.0) is not None
        await it.clock.advance(LEASE_SECONDS)

        assert len(ended) == 1
        assert len(runs) == 1
        await one.stop()


@pytest.mark.parametrize("error", [RuntimeError("a fault of ours"), StoreUnavailable("disk full")])
async def test_a_run_that_raises_is_shown_and_made_again_soon(error):
    """A loop outlives whatever one run meets."""
    async with shop() as it:
        runs = []

        async def work(lease: Lease) -> float | None:
            runs.append(it.clock.now() - START)
            if len(runs) == 1:
                raise error
            return None

        one = loop(it, work)
        await settle()
        assert str(error) in str(one.view()["lastError"])
        await it.clock.advance(5.0)

        assert len(runs) == 2
        assert one.last_error is None
        await one.stop()


async def test_a_stopped_loop_ends_at_once_even_when_it_does_not_lead():
    """Stopping never hangs."""
    async with shop() as it:

        async def work(lease: Lease) -> float | None:
            await it.clock.sleep(1e9)
            return None

        first = loop(it, work)
        await settle()
        second = loop(it, work, owner="p2")
        await settle()

        async with asyncio.timeout(2.0):
            await second.stop()
            await first.stop()
            await first.stop()


async def test_how_late_a_loop_is_can_be_asked():
    """What is due and does not run shows as lateness."""
    async with shop() as it:

        async def work(lease: Lease) -> float | None:
            if it.clock.now() > START:
                await it.clock.sleep(1e9)
            return 10.0

        one = loop(it, work)
        await it.clock.advance(25.0)

        assert one.late_by(it.clock.now()) == pytest.approx(15.0)
        await one.stop()


async def test_a_run_that_may_last_is_late_only_beyond_that():
    """A sync of a large account waits for sweeps; one that hangs is seen all the same."""
    async with shop() as it:

        async def work(lease: Lease) -> float | None:
            await it.clock.sleep(1e9)
            return 10.0

        one = loop(it, work, longest_run=600.0)
        await it.clock.advance(599.0)
        assert one.late_by(it.clock.now()) == 0.0
        await it.clock.advance(31.0)

        assert one.late_by(it.clock.now()) == pytest.approx(30.0)
        await one.stop()
