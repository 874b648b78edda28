"""Jobs: one live row per key, leased under a token, run again when woken meanwhile, logged when over."""

import asyncio

import msgspec
import pytest

from contract.stores.samples import LANE, claim, claim_one, fail, finish, log_ids, put, requeue, wake
from novitai.ports.store import Cancel, Commit, Finish, Job, JobStatus, LeaseLost, Priority, Wake

KEY = "instance:a"


async def ask(store, *wishes: Wake) -> None:
    await store.commit(Commit(wakes=wishes))


async def history(store, key="all", **options) -> list[Job]:
    page = await store.read_log("jobs", key, **options)
    return [msgspec.json.decode(logged.body, type=Job) for logged in page.entries]


# waking and claiming


async def test_a_wake_makes_a_pending_job(store, clock):
    """It is seen by its id and by its key until it is over."""
    await ask(store, wake(KEY, job_id="job_1", due=clock.now() + 5, payload=b"\x00\xff", priority=Priority.HIGH))

    job = await store.job("job_1")

    assert job == await store.live_job(KEY)
    assert job == Job(
        id="job_1",
        key=KEY,
        type="create_instance",
        lane=LANE,
        priority=Priority.HIGH,
        status=JobStatus.PENDING,
        attempts=0,
        created_at=clock.now(),
        due=clock.now() + 5,
        payload=b"\x00\xff",
    )
    assert await store.job("job_2") is None
    assert await store.live_job("instance:b") is None


async def test_a_due_job_is_claimed_with_what_was_asked(store, clock):
    """The claim carries key, id, type, priority, payload; it is a first attempt, held until the end of the lease."""
    await ask(store, wake(KEY, payload=b"why", priority=Priority.CRITICAL, due=clock.now()))

    held = await claim_one(store, lease_seconds=20)

    assert (held.key, held.id, held.type, held.lane) == (KEY, "job_1", "create_instance", LANE)
    assert (held.priority, held.payload, held.attempts) == (Priority.CRITICAL, b"why", 1)
    assert held.lease_until == clock.now() + 20
    job = await store.job("job_1")
    assert job is not None
    assert (job.status, job.attempts, job.processed_at, job.due) == (JobStatus.PROCESSING, 1, clock.now(), None)


async def test_a_job_is_not_claimed_before_its_time(store, clock):
    """It can be claimed from its due time on."""
    await ask(store, wake(due=clock.now() + 5))

    await clock.advance(4)
    assert await claim(store) == []

    await clock.advance(1)
    assert len(await claim(store)) == 1


async def test_a_held_job_is_claimed_by_nobody_else(store):
    """Not by another owner, nor by the same one again."""
    await ask(store, wake())
    await claim_one(store, owner="one")

    assert await claim(store, owner="two") == []
    assert await claim(store, owner="one") == []


async def test_claims_stay_in_their_lane(store):
    """A lane shows nothing of the others."""
    await ask(store, wake("instance:a", lane="instances"), wake("delivery:b", lane="deliveries", job_id="job_2"))

    assert [held.key for held in await claim(store, lane="deliveries", limit=9)] == ["delivery:b"]


async def test_higher_priority_is_claimed_first_and_earlier_due_within_it(store, clock):
    """Due work only: a critical job whose time has not come does not stand in the way."""
    now = clock.now()
    asked = [("low", Priority.LOW, 9), ("normal-late", Priority.NORMAL, 1), ("high", Priority.HIGH, 1)]
    asked += [
        ("normal-early", Priority.NORMAL, 2),
        ("critical", Priority.CRITICAL, 1),
        ("not-yet", Priority.CRITICAL, -1),
    ]
    await ask(store, *(wake(name, job_id=name, priority=level, due=now - ago) for name, level, ago in asked))

    first = await claim(store, limit=3)
    rest = await claim(store, limit=9)

    assert [held.key for held in (*first, *rest)] == ["critical", "high", "normal-early", "normal-late", "low"]


async def test_two_claimers_never_share_a_job(store):
    """However many claim at once, each job is handed out once."""
    await ask(store, *(wake(f"k{number}", job_id=f"job_{number:02}") for number in range(40)))

    batches = await asyncio.gather(*(claim(store, limit=3, owner=f"w{worker}") for worker in range(20)))

    keys = [held.key for batch in batches for held in batch]
    assert len(keys) == len(set(keys)) == 40
    tokens = [held.token for batch in batches for held in batch]
    assert len(set(tokens)) == 40


async def test_next_due_is_when_the_next_job_can_be_claimed(store, clock):
    """Waiting jobs by their due time, held ones by the end of their lease; None for an empty lane."""
    now = clock.now()
    assert await store.next_due(LANE) is None
    await ask(store, wake("a", job_id="a", due=now + 50), wake("b", job_id="b", due=now - 5, priority=Priority.LOW))
    assert await store.next_due(LANE) == now - 5

    await claim_one(store, lease_seconds=20)

    assert await store.next_due(LANE) == now + 20
    assert await store.next_due("deliveries") is None


# merging


async def test_a_second_wake_of_a_waiting_key_merges_into_its_row(store, clock):
    """The newest type and payload, the higher priority, the earlier due time; the id stays."""
    now = clock.now()
    await ask(store, wake(KEY, job_id="job_1", job_type="create", priority=Priority.HIGH, due=now + 9, payload=b"1"))
    await ask(store, wake(KEY, job_id="job_2", job_type="stop", priority=Priority.LOW, due=now + 5, payload=b"2"))

    job = await store.live_job(KEY)

    assert job is not None
    assert (job.id, job.type, job.payload) == ("job_1", "stop", b"2")
    assert (job.priority, job.due) == (Priority.HIGH, now + 5)
    assert await store.job("job_2") is None
    assert len((await store.jobs()).jobs) == 1


async def test_a_later_wake_does_not_put_a_job_off(store, clock):
    """Due times only move forward."""
    await ask(store, wake(due=clock.now()))
    await ask(store, wake(due=clock.now() + 60, priority=Priority.CRITICAL))

    held = await claim_one(store)

    assert held.priority is Priority.CRITICAL


async def test_a_key_woken_during_its_run_runs_again(store, clock):
    """The row stays under its id with the wake's type and payload, due at the wake's time, and nothing is logged yet."""
    await ask(store, wake(KEY, job_type="create", payload=b"1"))
    held = await claim_one(store)
    await ask(store, wake(KEY, job_id="job_2", job_type="stop", payload=b"2", due=clock.now() + 5))
    seen = await store.live_job(KEY)

    await finish(store, held)

    assert seen is not None
    assert (seen.status, seen.due) == (JobStatus.PROCESSING, clock.now() + 5)
    assert await claim(store) == []
    assert await history(store) == []
    await clock.advance(5)
    again = await claim_one(store)
    assert (again.id, again.type, again.payload, again.attempts) == ("job_1", "stop", b"2", 1)
    assert again.token > held.token
    assert again.generation > held.generation


async def test_of_several_wakes_during_a_run_the_earliest_counts(store, clock):
    """Type and payload are the newest, the time is the earliest."""
    await ask(store, wake(KEY))
    held = await claim_one(store)
    await ask(store, wake(KEY, payload=b"early", due=clock.now() + 3))
    await ask(store, wake(KEY, payload=b"late", due=clock.now() + 30))

    await finish(store, held)

    job = await store.live_job(KEY)
    assert job is not None
    assert (job.due, job.payload) == (clock.now() + 3, b"late")


@pytest.mark.parametrize(("woken_in", "requeued_in", "due_in"), [(5, 60, 5), (60, 5, 5)])
async def test_a_requeue_of_a_woken_key_takes_the_sooner_time(store, clock, woken_in, requeued_in, due_in):
    """The wake's wish stands; the run's own wish can only make it sooner."""
    now = clock.now()
    await ask(store, wake(KEY))
    held = await claim_one(store)
    await ask(store, wake(KEY, job_type="stop", due=now + woken_in))

    await finish(store, held, requeue(now + requeued_in, job_type="monitor"))

    job = await store.live_job(KEY)
    assert job is not None
    assert (job.due, job.type, job.id) == (now + due_in, "stop", "job_1")
    assert await history(store) == []


async def test_a_wake_in_the_finishing_commit_counts_as_a_wake_during_the_run(store, clock):
    """The row goes on for the wake; the commit does not end the job."""
    await ask(store, wake(KEY))
    held = await claim_one(store)

    await store.commit(
        Commit(finish=Finish(claim=held), wakes=(wake(KEY, job_type="stop", job_id="job_2", due=clock.now() + 5),))
    )

    job = await store.live_job(KEY)
    assert job is not None
    assert (job.id, job.type, job.status, job.due) == ("job_1", "stop", JobStatus.PENDING, clock.now() + 5)
    assert await history(store) == []


# finishing


async def test_a_finished_job_goes_to_the_log_and_its_key_is_free(store, clock):
    """It is logged under all, its id, its key and its type, with its times; a later wake makes a new row."""
    await ask(store, wake(KEY, payload=b"\x00\xff"))
    asked_at = clock.now()
    await clock.advance(1)
    held = await claim_one(store)
    await clock.advance(2)

    await finish(store, held)

    [ended] = await history(store)
    assert ended == Job(
        id="job_1",
        key=KEY,
        type="create_instance",
        lane=LANE,
        priority=Priority.NORMAL,
        status=JobStatus.COMPLETED,
        attempts=1,
        created_at=asked_at,
        due=None,
        processed_at=asked_at + 1,
        completed_at=asked_at + 3,
        payload=b"\x00\xff",
    )
    for key in ("id:job_1", f"key:{KEY}", "type:create_instance"):
        assert await history(store, key) == [ended]
    assert await store.live_job(KEY) is None
    assert await store.next_due(LANE) is None
    await ask(store, wake(KEY, job_id="job_2"))
    assert (await claim_one(store)).id == "job_2"


async def test_a_failed_job_is_logged_with_its_error(store):
    """Status and error are what the finish says."""
    await ask(store, wake())

    await fail(store, await claim_one(store), "no such template")

    [ended] = await history(store)
    assert (ended.status, ended.error) == (JobStatus.FAILED, "no such template")


async def test_a_run_that_got_somewhere_is_requeued_as_a_first_attempt(store, clock):
    """Same type, same row, same id: due at the asked time, with the asked priority."""
    await ask(store, wake())
    held = await claim_one(store)

    await finish(store, held, requeue(clock.now() + 5, priority=Priority.LOW))

    job = await store.job("job_1")
    assert job is not None
    assert (job.status, job.due, job.priority, job.error) == (JobStatus.PENDING, clock.now() + 5, Priority.LOW, None)
    assert await claim(store) == []
    await clock.advance(5)
    assert (await claim_one(store)).attempts == 1


async def test_a_run_that_failed_keeps_counting_its_attempts(store, clock):
    """The error is shown with the waiting job; a later success starts the count anew."""
    await ask(store, wake())
    for attempt in (1, 2, 3):
        held = await claim_one(store)
        assert held.attempts == attempt
        await finish(store, held, requeue(clock.now(), keep_attempts=True, error=f"failed {attempt}"))
        job = await store.job("job_1")
        assert job is not None
        assert (job.error, job.attempts) == (f"failed {attempt}", attempt)

    await finish(store, await claim_one(store), requeue(clock.now()))

    job = await store.job("job_1")
    assert job is not None
    assert (job.error, job.attempts) == (None, 0)


async def test_a_requeue_with_another_type_ends_the_job_and_starts_a_new_one(store, clock):
    """The old one is logged as completed under its id; the row goes on under the new id as a first attempt."""
    await ask(store, wake(KEY, job_id="job_1", job_type="create_instance", payload=b"kept"))
    held = await claim_one(store)
    await clock.advance(3)

    await finish(store, held, requeue(clock.now() + 5, job_type="monitor_instance", job_id="job_2"))

    [ended] = await history(store)
    assert (ended.id, ended.type, ended.status) == ("job_1", "create_instance", JobStatus.COMPLETED)
    assert await store.job("job_1") is None
    job = await store.job("job_2")
    assert job is not None
    assert (job.key, job.type, job.status) == (KEY, "monitor_instance", JobStatus.PENDING)
    assert (job.attempts, job.created_at, job.processed_at, job.payload) == (0, clock.now(), None, b"kept")
    assert job.due == clock.now() + 5


async def test_a_finish_is_part_of_its_commit(store):
    """What the run did and that it ended are written together, or neither is."""
    await ask(store, wake())
    held = await claim_one(store)
    await store.commit(Commit(puts=(put("taken"),)))

    with pytest.raises(ValueError, match="record"):
        await store.commit(Commit(finish=Finish(claim=held), puts=(put("a"), put("a"))))
    await store.commit(Commit(finish=Finish(claim=held), puts=(put("a"),), wakes=(wake("delivery:d", job_id="job_9"),)))

    assert await store.get("thing", "a") is not None
    assert await store.live_job("delivery:d") is not None
    assert await store.live_job(KEY) is None


# fencing


async def test_a_job_whose_lease_ran_out_is_claimed_again_and_the_first_worker_is_fenced_off(store, clock):
    """The new token is higher; the old one can write nothing on the job's behalf."""
    await ask(store, wake())
    stale = await claim_one(store, owner="stale", lease_seconds=20)
    await clock.advance(20)

    fresh = await claim_one(store, owner="fresh")

    assert fresh.token > stale.token
    assert fresh.attempts == 2
    with pytest.raises(LeaseLost):
        await store.commit(Commit(finish=Finish(claim=stale), puts=(put("a"),)))
    assert await store.get("thing", "a") is None
    await finish(store, fresh)


async def test_a_late_worker_may_still_finish_while_nobody_took_over(store, clock):
    """A lease that ran out is not lost before someone else has the job."""
    await ask(store, wake())
    held = await claim_one(store, lease_seconds=20)
    await clock.advance(100)

    await finish(store, held)

    assert await store.live_job(KEY) is None


async def test_a_finish_cannot_be_repeated(store, clock):
    """Neither after the job is over nor after it was requeued."""
    await ask(store, wake("a", job_id="a"), wake("b", job_id="b"))
    over, requeued = await claim(store, limit=2)
    await finish(store, over)
    await finish(store, requeued, requeue(clock.now()))

    for held in (over, requeued):
        with pytest.raises(LeaseLost):
            await finish(store, held)


async def test_a_lost_lease_is_told_before_a_conflict(store, clock):
    """A worker that lost its job learns that, whatever else does not fit."""
    await ask(store, wake())
    held = await claim_one(store, lease_seconds=1)
    await clock.advance(1)
    await claim_one(store)

    with pytest.raises(LeaseLost):
        await store.commit(Commit(finish=Finish(claim=held), puts=(put("a", expect=7),)))


async def test_tokens_of_a_key_grow_even_when_its_row_was_made_anew(store):
    """An old claim never fits a new row."""
    tokens = []
    for number in range(3):
        await ask(store, wake(KEY, job_id=f"job_{number}"))
        held = await claim_one(store)
        tokens.append(held.token)
        await finish(store, held)

    assert tokens == sorted(set(tokens))


async def test_renewing_prolongs_what_is_still_held(store, clock):
    """The answer names the keys still held by these tokens; those are nobody else's until the new end."""
    await ask(store, wake("kept", job_id="a"), wake("lost", job_id="b"), wake("over", job_id="c"))
    held = {one.key: one for one in await claim(store, limit=3, lease_seconds=20)}
    await finish(store, held["over"])
    await store.commit(Commit(cancels=(Cancel(key="lost"),)))
    await ask(store, wake("lost", job_id="d"))
    await clock.advance(15)

    still = await store.renew(list(held.values()), lease_seconds=20)

    assert still == {"kept"}
    await clock.advance(15)
    assert [one.key for one in await claim(store, limit=9)] == ["lost"]
    await clock.advance(5)
    assert [one.key for one in await claim(store, limit=9)] == ["kept"]


async def test_a_wake_after_the_lease_ran_out_is_answered_by_the_next_run(store, clock):
    """The run that takes over knows the newest wish, and ends the job when nothing else came."""
    await ask(store, wake(KEY, payload=b"1"))
    await claim_one(store, lease_seconds=1)
    await clock.advance(1)
    await ask(store, wake(KEY, payload=b"2"))

    taken_over = await claim_one(store)
    await finish(store, taken_over)

    assert taken_over.payload == b"2"
    assert await store.live_job(KEY) is None


# cancelling


async def test_a_cancelled_job_is_removed_and_logged(store):
    """A key without a job is left alone."""
    await ask(store, wake(KEY))

    await store.commit(Commit(cancels=(Cancel(key=KEY), Cancel(key="instance:none"))))

    assert await store.live_job(KEY) is None
    assert await claim(store) == []
    [ended] = await history(store)
    assert (ended.id, ended.status) == ("job_1", JobStatus.CANCELLED)


async def test_cancelling_takes_the_lease_from_a_run(store):
    """The run under way can write nothing any more, also when the key was woken again."""
    await ask(store, wake(KEY))
    held = await claim_one(store)
    await store.commit(Commit(cancels=(Cancel(key=KEY),)))
    await ask(store, wake(KEY, job_id="job_2"))

    with pytest.raises(LeaseLost):
        await finish(store, held)

    job = await store.live_job(KEY)
    assert job is not None
    assert (job.id, job.status) == ("job_2", JobStatus.PENDING)


async def test_one_commit_may_cancel_a_job_and_wake_its_key(store):
    """The old job is over; a new one waits under the wake's id."""
    await ask(store, wake(KEY, job_id="job_1"))

    await store.commit(Commit(cancels=(Cancel(key=KEY),), wakes=(wake(KEY, job_id="job_2"),)))

    assert (await claim_one(store)).id == "job_2"
    assert [ended.id for ended in await history(store)] == ["job_1"]


async def test_a_run_may_cancel_its_own_job(store):
    """The job is logged once, as cancelled."""
    await ask(store, wake(KEY))
    held = await claim_one(store)

    await store.commit(Commit(finish=Finish(claim=held), cancels=(Cancel(key=KEY),)))

    assert [(ended.id, ended.status) for ended in await history(store)] == [("job_1", JobStatus.CANCELLED)]


# looking


async def test_live_jobs_are_listed_newest_first_in_pages(store):
    """Each once; waiting and held alike."""
    await ask(store, *(wake(f"k{number}", job_id=f"job_{number}") for number in range(5)))
    await claim(store, limit=2)

    seen, cursor = [], None
    while True:
        page = await store.jobs(cursor=cursor, limit=2)
        seen += [job.id for job in page.jobs]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert seen == ["job_4", "job_3", "job_2", "job_1", "job_0"]
    with pytest.raises(ValueError, match="cursor"):
        await store.jobs(cursor="nonsense")


async def test_live_jobs_are_counted_by_type_and_status(store, clock):
    """With the earliest due time of those that wait."""
    now = clock.now()
    await ask(
        store,
        wake("a", job_id="a", job_type="create", due=now),
        wake("b", job_id="b", job_type="create", due=now + 9),
        wake("c", job_id="c", job_type="create", due=now + 5),
        wake("d", job_id="d", job_type="stop", due=now + 1),
    )
    await claim_one(store)

    counts = {(count.type, count.status): (count.count, count.oldest_due) for count in await store.job_counts()}

    assert counts == {
        ("create", JobStatus.PROCESSING): (1, None),
        ("create", JobStatus.PENDING): (2, now + 5),
        ("stop", JobStatus.PENDING): (1, now + 1),
    }


async def test_the_history_of_jobs_is_trimmed_like_any_log(store, clock):
    """An entry's time is when the job ended."""
    await ask(store, wake())
    await finish(store, await claim_one(store))

    assert await store.trim_log("jobs", before=clock.now()) == 0
    assert await store.trim_log("jobs", before=clock.now() + 1) == 1
    assert await log_ids(store, log="jobs") == []
