"""The change feed: each fed record once with its newest content, in order of revision, with nothing left out."""

import asyncio

from contract.stores.samples import entry, listed, put, wake
from novitai.ports.store import Commit, Delete


async def write(store, *puts):
    return await store.commit(Commit(puts=puts))


async def test_a_fed_record_appears_once_with_its_newest_content(store):
    """Records come in the order of their last write; others do not appear at all."""
    await write(store, put("a", b"1", fed=True), put("b", b"1", fed=True), put("silent"))
    last = await write(store, put("a", b"2", fed=True))

    feed = await store.changes(0)

    assert [(record.id, record.body, record.version) for record in feed.records] == [("b", b"1", 1), ("a", b"2", 2)]
    assert feed.records[-1] == last.records[0]
    assert (feed.revision, feed.truncated) == (last.revision, False)


async def test_reading_on_from_the_given_revision_shows_only_what_is_new(store):
    """`revision` is where to continue; with nothing new the feed is empty and keeps its place."""
    await write(store, put("a", fed=True))
    first = await store.changes(0)
    await write(store, put("b", fed=True))

    second = await store.changes(first.revision)
    third = await store.changes(second.revision)

    assert [record.id for record in second.records] == ["b"]
    assert (third.records, third.revision) == ((), second.revision)


async def test_the_feed_keeps_up_with_writes_that_are_not_fed(store):
    """A reader's place moves past them, so that it does not fall behind the trimming."""
    await write(store, put("a", fed=True))
    last = await store.commit(Commit(puts=(put("silent"),), appends=(entry(),)))

    assert (await store.changes(0)).revision == last.revision == await store.revision()


async def test_a_feed_read_in_pages_is_the_whole_feed(store):
    """A full page continues at its last record."""
    for number in range(7):
        await write(store, put(f"r{number}", fed=True))
    await store.commit(Commit(deletes=(Delete(kind="thing", id="r3"),)))

    told, since = [], 0
    while page := (await store.changes(since, limit=2)).records:
        told += page
        since = page[-1].revision

    assert [record.id for record in told] == ["r0", "r1", "r2", "r4", "r5", "r6", "r3"]
    assert [record.deleted for record in told] == [False] * 6 + [True]


async def test_a_deleted_fed_record_leaves_a_tombstone(store):
    """The tombstone stands at the delete's revision and has no content."""
    await write(store, put("a", fed=True), put("silent"))
    gone = await store.commit(
        Commit(deletes=(Delete(kind="thing", id="a"), Delete(kind="thing", id="silent"), Delete(kind="thing", id="x")))
    )

    feed = await store.changes(0)

    assert feed.records == (gone.records[0],)
    assert feed.records[0].deleted
    assert feed.records[0].body == b""


async def test_a_record_made_again_replaces_its_tombstone(store):
    """Each record appears once, whatever happened to it in between."""
    await write(store, put("a", fed=True))
    await store.commit(Commit(deletes=(Delete(kind="thing", id="a"),)))
    await write(store, put("a", b"again", fed=True))

    feed = await store.changes(0)

    assert [(record.body, record.deleted) for record in feed.records] == [(b"again", False)]


async def test_a_record_that_leaves_and_joins_the_feed_can_be_deleted(store):
    """Being fed may change from write to write without upsetting later deletes."""
    await write(store, put("a", fed=True))
    await store.commit(Commit(deletes=(Delete(kind="thing", id="a"),)))
    await write(store, put("a"))
    await write(store, put("a", fed=True))
    await store.commit(Commit(deletes=(Delete(kind="thing", id="a"),)))

    feed = await store.changes(0)

    assert [(record.id, record.deleted) for record in feed.records] == [("a", True)]


async def test_trimmed_tombstones_truncate_the_feed_for_those_behind(store):
    """Readers at the trimmed revision or later miss nothing; earlier ones are told to read the lists again."""
    await write(store, put("a", fed=True))
    gone = (await store.commit(Commit(deletes=(Delete(kind="thing", id="a"),)))).revision
    kept = await store.commit(Commit(puts=(put("b", fed=True),)))

    await store.trim_changes(before_revision=gone + 1)

    behind, level = await store.changes(gone - 1), await store.changes(gone)
    assert (behind.truncated, level.truncated) == (True, False)
    assert behind.records == level.records == kept.records


async def test_trimming_leaves_younger_tombstones(store):
    """Only tombstones older than the given revision are forgotten, and trimming further back changes nothing."""
    await write(store, put("a", fed=True), put("b", fed=True))
    await store.commit(Commit(deletes=(Delete(kind="thing", id="a"),)))
    second = await store.commit(Commit(deletes=(Delete(kind="thing", id="b"),)))

    await store.trim_changes(before_revision=second.revision)
    await store.trim_changes(before_revision=1)

    feed = await store.changes(second.revision - 1)
    assert (feed.records, feed.truncated) == (second.records, False)
    assert (await store.changes(0)).truncated


async def test_trimming_beyond_the_newest_revision_does_not_truncate_those_who_are_level(store):
    """The feed cannot forget what has not happened yet."""
    last = await write(store, put("a", fed=True))

    await store.trim_changes(before_revision=last.revision + 1_000)

    assert not (await store.changes(last.revision)).truncated


async def test_a_revision_that_this_store_never_gave_is_truncated(store):
    """A reader of another history (the store was replaced by an older one) must read the lists again."""
    last = await write(store, put("a", fed=True))

    feed = await store.changes(last.revision + 100)

    assert (feed.truncated, feed.revision) == (True, last.revision)


async def test_expired_records_do_not_appear(store, clock):
    """Absent for every reader; once swept they are told as deleted."""
    await write(store, put("a", fed=True, expires_at=clock.now() + 1), put("b", fed=True))
    await clock.advance(2)

    before = await store.changes(0)
    await store.expire()
    after = await store.changes(before.revision)

    assert [record.id for record in before.records] == ["b"]
    assert [(record.id, record.deleted) for record in after.records] == [("a", True)]


async def test_a_follower_of_the_feed_misses_nothing_under_concurrent_writers(store):
    """Revisions become visible in order: a reader that always continues where it stopped ends with what the store holds."""
    writers = 8
    followed, since, running = {}, 0, True

    async def writing(writer: int) -> None:
        for number in range(20):
            name = f"w{writer}r{number % 5}"
            if number % 7 == 6:
                await store.commit(Commit(deletes=(Delete(kind="thing", id=name),)))
            else:
                await store.commit(Commit(puts=(listed(name, name, b"%d" % number, fed=True),), wakes=(wake(name),)))

    async def follow() -> None:
        nonlocal since
        feed = await store.changes(since, limit=7)
        for record in feed.records:
            assert record.revision > since
            followed[record.id] = None if record.deleted else record.body
        since = feed.revision

    async def following() -> None:
        while running:
            await follow()
            await asyncio.sleep(0)

    follower = asyncio.create_task(following())
    await asyncio.gather(*(writing(writer) for writer in range(writers)))
    running = False
    await follower
    while since < await store.revision():
        await follow()

    stored = {record.id: record.body for record in (await store.list("things", "all", limit=500)).records}
    assert {name: body for name, body in followed.items() if body is not None} == stored
