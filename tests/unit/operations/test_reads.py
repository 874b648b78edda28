"""The read model: own commits are in it before the answer, others' come by the feed, and waiting needs no polling."""

import asyncio

import pytest

from novitai.domain.errors import Code, Refusal
from novitai.domain.idle import Activity
from novitai.domain.ids import InstanceId
from novitai.domain.instance import Verb
from novitai.domain.lifecycle import State
from novitai.operations import records
from novitai.operations.reads import GONE_REMEMBERED, ReadModel
from novitai.ports.store import Commit
from novitai.stores.sqlite import open_sqlite
from support import builders
from support.clock import FakeClock, settle
from support.running import context, running


async def put(store, instance, *, expect=None):
    """Commit an instance as another process would."""
    return await store.commit(Commit(puts=(records.put_instance(instance, expect=expect, retention_seconds=60.0),)))


def numbered(number: int, **fields):
    return builders.instance(id=f"inst_{number:026d}", name=f"m{number}", machine=None, **fields)


async def test_an_own_commit_is_visible_before_its_caller_goes_on():
    """Whoever was answered finds it in the next list."""
    async with running() as house:
        made = await house.create()
        assert house.program.operations.reads.get(made).instance.state is State.CREATING

        await house.ask(made, Verb.DELETE)
        assert house.program.operations.reads.get(made).instance.state is State.DELETING


async def test_every_live_instance_is_loaded_and_deleted_ones_are_left_out():
    """More than one page of them."""
    store = await open_sqlite(None, clock=FakeClock())
    for number in range(700):
        await put(store, numbered(number))
    await put(store, numbered(700, state=State.DELETED, deleted_at=2e9))
    reads = ReadModel(store)
    await reads.load()

    assert len(reads.all()) == 700
    await store.close()


async def test_what_another_process_wrote_comes_by_the_feed():
    """New, changed and deleted ones; listeners hear of each."""
    store = await open_sqlite(None, clock=FakeClock())
    reads, heard = ReadModel(store), []
    await put(store, numbered(1))
    await reads.load()
    reads.listen(lambda snapshot: heard.append((snapshot.instance.name, snapshot.instance.state)))
    await put(store, numbered(2))
    await put(store, numbered(1, state=State.DELETED, deleted_at=2e9))
    await reads.follow()

    assert [s.instance.name for s in reads.all()] == ["m2"]
    assert heard == [("m2", State.READY), ("m1", State.DELETED)]
    await store.close()


async def test_a_feed_that_was_trimmed_makes_it_read_the_lists_again():
    """Also what was deleted and forgotten meanwhile disappears."""
    clock = FakeClock()
    store = await open_sqlite(None, clock=clock)
    reads = ReadModel(store)
    await put(store, numbered(1))
    await put(store, numbered(2))
    await reads.load()
    await put(store, numbered(1, state=State.DELETED, deleted_at=clock.now()))
    await clock.advance(100.0)
    await store.expire()
    await put(store, numbered(3))
    await store.trim_changes(before_revision=await store.revision())
    await reads.follow()

    assert {s.instance.name for s in reads.all()} == {"m2", "m3"}
    await store.close()


async def test_an_older_reading_does_not_bring_a_deleted_instance_back():
    """A page that was read before the delete and is taken in after it."""
    store = await open_sqlite(None, clock=FakeClock())
    reads = ReadModel(store)
    [old] = (await put(store, numbered(1))).records
    [gone] = (await put(store, numbered(1, state=State.DELETED, deleted_at=2e9))).records
    reads._apply([gone])
    reads._apply([old])

    assert reads.all() == ()
    await store.close()


async def test_what_is_remembered_of_the_gone_is_bounded():
    """A year of short-lived instances does not grow the memory."""
    store = await open_sqlite(None, clock=FakeClock())
    reads = ReadModel(store)
    [record] = (await put(store, numbered(1, state=State.DELETED, deleted_at=2e9))).records
    for number in range(GONE_REMEMBERED + 100):
        reads._apply(
            [type(record)(kind=record.kind, id=f"inst_{number}", version=1, revision=number + 1, body=record.body)]
        )

    assert len(reads._revisions) <= GONE_REMEMBERED
    await store.close()


async def test_a_listener_that_stumbles_keeps_nobody_else_from_hearing():
    """Neither the other listeners nor the read model itself."""
    store = await open_sqlite(None, clock=FakeClock())
    reads, heard = ReadModel(store), []

    def stumble(snapshot):
        raise RuntimeError("a fault of ours")

    reads.listen(stumble)
    reads.listen(lambda snapshot: heard.append(snapshot.instance.name))
    reads._apply((await put(store, numbered(1))).records + (await put(store, numbered(2))).records)

    assert heard == ["m1", "m2"]
    assert len(reads.all()) == 2
    await store.close()


async def test_waiting_ends_with_the_state_that_was_waited_for():
    """No polling: the commit wakes the waiter."""
    async with running() as house:
        made = await house.create()
        reads = house.program.operations.reads
        before = len(reads._listeners)
        waiting = asyncio.create_task(
            reads.wait_until(made, lambda instance: instance.state is State.READY, seconds=300.0, clock=house.clock)
        )
        await house.until(made, State.READY)
        await settle()

        assert waiting.done()
        assert waiting.result().state is State.READY
        assert len(reads._listeners) == before


async def test_waiting_ends_with_the_latest_state_when_the_time_is_over():
    """And leaves nothing behind."""
    async with running() as house:
        made = await house.create()
        reads = house.program.operations.reads
        before = len(reads._listeners)
        waiting = asyncio.create_task(reads.wait_until(made, lambda instance: False, seconds=5.0, clock=house.clock))
        await house.clock.advance(6.0)

        assert waiting.result().state is State.CREATING
        assert len(reads._listeners) == before


async def test_waiting_for_an_instance_that_is_deleted_meanwhile_shows_it_deleted():
    """The end is a state like any other."""
    async with running() as house:
        made = await house.ready()
        reads = house.program.operations.reads
        waiting = asyncio.create_task(
            reads.wait_until(made, lambda instance: instance.state is State.DELETED, seconds=300.0, clock=house.clock)
        )
        await house.ask(made, Verb.DELETE)
        await house.until(made, State.DELETED)
        await settle()

        assert waiting.result().state is State.DELETED
        assert await reads.wait_until(made, lambda _: True, seconds=1.0, clock=house.clock) is None


async def test_a_name_that_two_have_is_refused_with_their_ids():
    """Names need not be unique; what is deleted does not count."""
    async with running() as house:
        first, second = await house.create(name="twin"), await house.create(name="twin")
        verbs = house.program.operations.verbs
        with pytest.raises(Refusal) as refused:
            await verbs.resolve("twin")
        assert refused.value.code is Code.NAME_AMBIGUOUS
        assert set(refused.value.details["instanceIds"]) == {first, second}

        await house.ask(first, Verb.DELETE)
        await house.until(first, State.DELETED)
        assert (await verbs.resolve("twin")).instance.id == second


async def test_an_instance_is_found_by_our_id_by_novitas_and_by_its_name():
    """In this order; a deleted one by our id alone."""
    async with running() as house:
        made = await house.ready(name="web")
        verbs = house.program.operations.verbs
        machine_id = (await house.instance(made)).machine.id
        for reference in (made, machine_id, "web"):
            assert (await verbs.resolve(reference)).instance.id == made

        await house.ask(made, Verb.DELETE)
        await house.until(made, State.DELETED)
        assert (await verbs.resolve(made)).instance.state is State.DELETED
        for reference in (machine_id, "web", "inst_unknown"):
            with pytest.raises(Refusal) as refused:
                await verbs.resolve(reference)
            assert refused.value.code is Code.INSTANCE_NOT_FOUND


async def test_last_used_is_the_latest_time_told():
    """Older news change nothing, the future is refused, and it survives a restart."""
    async with running() as house:
        made = await house.ready()
        verbs, reads, now = house.program.operations.verbs, house.program.operations.reads, house.clock.now()
        assert await verbs.last_used(made, now - 50.0, context()) == now - 50.0
        assert await verbs.last_used(made, now - 90.0, context()) == now - 50.0
        with pytest.raises(Refusal) as refused:
            await verbs.last_used(made, now + 61.0, context())
        assert refused.value.code is Code.VALIDATION_ERROR
        assert reads.last_used(made) == now - 50.0

        again = ReadModel(house.store)
        await again.load()
        assert again.last_used(made) == now - 50.0


async def test_a_use_counts_although_a_clock_that_was_ahead_told_of_a_later_one():
    """The clock was set right since: what lies in the future was never true, and must not hide what happens now."""
    async with running() as house:
        made = await house.ready()
        verbs, now = house.program.operations.verbs, house.clock.now()
        ahead = Activity(instance_id=InstanceId(made), last_used_at=now + 3600.0)
        await house.store.commit(Commit(puts=(records.put_activity(ahead, expect=0),)))

        assert await verbs.last_used(made, None, context()) == now
