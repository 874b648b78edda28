"""Records: documents written whole, guarded by version, gone after their time."""

import asyncio

import pytest

from contract.stores.samples import entry, list_ids, listed, log_ids, put, wake
from novitai.ports.store import Check, Commit, Conflict, Delete, Record


async def test_a_put_document_is_read_back_as_written(store):
    """get returns body, version and revision as the commit answered them."""
    committed = await store.commit(Commit(puts=(put("a", b'{"n": 1}'),)))

    found = await store.get("thing", "a")

    assert found == committed.records[0]
    assert found == Record(kind="thing", id="a", version=1, revision=committed.revision, body=b'{"n": 1}')


async def test_a_document_that_was_never_written_is_none(store):
    """Absent is None, also when another kind has that id."""
    await store.commit(Commit(puts=(put("a", kind="thing"),)))

    assert await store.get("other", "a") is None
    assert await store.get("thing", "b") is None


async def test_get_many_returns_those_that_exist(store):
    """Absent ids are left out; ids given twice do no harm."""
    await store.commit(Commit(puts=(put("a", b"1"), put("b", b"2"))))

    found = await store.get_many("thing", ["a", "b", "c", "a"])

    assert {record_id: record.body for record_id, record in found.items()} == {"a": b"1", "b": b"2"}
    assert await store.get_many("thing", []) == {}


async def test_each_write_raises_the_version_by_one(store):
    """`version` counts a record's own writes."""
    for expected in (1, 2, 3):
        committed = await store.commit(Commit(puts=(put("a"),)))
        assert committed.records[0].version == expected


async def test_every_write_takes_one_revision_in_order_of_commits(store):
    """One counter numbers puts, deletes and log entries of the whole store."""
    before = await store.revision()
    first = await store.commit(Commit(puts=(put("a"), put("b")), appends=(entry(),)))
    second = await store.commit(Commit(puts=(put("c"),), deletes=(Delete(kind="thing", id="a"),)))

    taken = [record.revision for record in first.records] + [logged.position for logged in first.entries]
    taken += [record.revision for record in second.records]
    assert taken == list(range(before + 1, before + 6))
    assert (first.revision, second.revision) == (before + 3, before + 5)
    assert await store.revision() == before + 5


async def test_any_bytes_may_be_a_body_and_any_text_an_id(store):
    """Bodies are not looked into; ids are not restricted to ASCII."""
    body = bytes(range(256))
    await store.commit(Commit(puts=(put("ünï/cödé:💡", body),)))

    found = await store.get("thing", "ünï/cödé:💡")

    assert found is not None
    assert found.body == body


async def test_a_put_at_the_expected_version_is_written(store):
    """Compare and set: the version read is the version expected."""
    await store.commit(Commit(puts=(put("a", b"1", expect=0),)))
    await store.commit(Commit(puts=(put("a", b"2", expect=1),)))

    found = await store.get("thing", "a")

    assert found is not None
    assert (found.body, found.version) == (b"2", 2)


@pytest.mark.parametrize("expect", [0, 1, 3])
async def test_a_put_at_another_version_is_a_conflict(store, expect):
    """Too old, too new and "must not exist" are refused alike, and nothing is written."""
    await store.commit(Commit(puts=(put("a", b"1"),)))
    await store.commit(Commit(puts=(put("a", b"2"),)))

    with pytest.raises(Conflict):
        await store.commit(Commit(puts=(put("a", b"3", expect=expect),)))

    found = await store.get("thing", "a")
    assert found is not None
    assert (found.body, found.version) == (b"2", 2)


async def test_a_put_that_expects_a_version_of_an_absent_record_is_a_conflict(store):
    """Version 1 of nothing is not there."""
    with pytest.raises(Conflict):
        await store.commit(Commit(puts=(put("a", expect=1),)))


async def test_a_deleted_record_is_gone_and_may_be_made_again(store):
    """A delete answers with a tombstone; afterwards the record counts as absent, and a new one starts at version 1."""
    await store.commit(Commit(puts=(listed("a", "1"),)))

    committed = await store.commit(Commit(deletes=(Delete(kind="thing", id="a", expect=1),)))

    assert committed.records[0].deleted
    assert await store.get("thing", "a") is None
    assert await list_ids(store) == []
    again = await store.commit(Commit(puts=(put("a", expect=0),)))
    assert again.records[0].version == 1


async def test_a_delete_at_another_version_is_a_conflict(store):
    """Deletes are guarded as puts are."""
    await store.commit(Commit(puts=(put("a"),)))

    with pytest.raises(Conflict):
        await store.commit(Commit(deletes=(Delete(kind="thing", id="a", expect=2),)))

    assert await store.get("thing", "a") is not None


async def test_deleting_what_is_not_there_is_fine_when_nothing_is_expected(store):
    """`expect=None` means whatever is there, also nothing."""
    committed = await store.commit(Commit(deletes=(Delete(kind="thing", id="a"),)))

    assert committed.records[0].deleted


async def test_a_check_guards_a_commit_without_writing_the_record(store):
    """The checked record keeps its version; the commit goes through only while it is at that version."""
    await store.commit(Commit(puts=(put("guard"),)))

    await store.commit(Commit(checks=(Check(kind="thing", id="guard", version=1),), puts=(put("a"),)))
    with pytest.raises(Conflict):
        await store.commit(Commit(checks=(Check(kind="thing", id="guard", version=2),), puts=(put("b"),)))
    with pytest.raises(Conflict):
        await store.commit(Commit(checks=(Check(kind="thing", id="guard", version=0),), puts=(put("b"),)))

    guard = await store.get("thing", "guard")
    assert guard is not None
    assert guard.version == 1
    assert await store.get("thing", "b") is None


async def test_a_conflict_leaves_nothing_of_the_commit_behind(store):
    """Records, lists, logs and jobs are written whole or not at all, wherever in the commit the conflict is."""
    await store.commit(Commit(puts=(put("last"),)))
    before = await store.revision()

    with pytest.raises(Conflict):
        await store.commit(
            Commit(
                puts=(listed("a", "1"), put("last", expect=0)),
                deletes=(Delete(kind="thing", id="none"),),
                appends=(entry("e1"),),
                wakes=(wake(),),
            )
        )

    assert await store.revision() == before
    assert await store.get("thing", "a") is None
    assert await list_ids(store) == []
    assert await log_ids(store) == []
    assert await store.live_job("instance:a") is None


async def test_a_hundred_concurrent_increments_lose_none(store):
    """Read, add one, write at the version read, again on conflict: the sum is right."""

    async def increment() -> None:
        while True:
            found = await store.get("thing", "counter")
            count, version = (int(found.body), found.version) if found else (0, 0)
            try:
                await store.commit(Commit(puts=(put("counter", b"%d" % (count + 1), expect=version),)))
            except Conflict:
                continue
            return

    await asyncio.gather(*(increment() for _ in range(100)))

    counter = await store.get("thing", "counter")
    assert counter is not None
    assert (counter.body, counter.version) == (b"100", 100)


async def test_of_commits_sent_together_each_is_judged_alone(store):
    """One conflicting commit among many takes no other with it."""
    await store.commit(Commit(puts=(put("taken"),)))
    commits = [Commit(puts=(put(f"r{number}", expect=0),)) for number in range(20)]
    commits[7] = Commit(puts=(put("r7"), put("taken", expect=0)))

    results = await asyncio.gather(*(store.commit(commit) for commit in commits), return_exceptions=True)

    assert [number for number, result in enumerate(results) if isinstance(result, Conflict)] == [7]
    assert set(await store.get_many("thing", [f"r{n}" for n in range(20)])) == {f"r{n}" for n in range(20) if n != 7}


async def test_a_commit_that_names_a_record_twice_is_refused(store):
    """Such a commit contradicts itself; nothing of it is written."""
    with pytest.raises(ValueError, match="record"):
        await store.commit(Commit(puts=(put("a"),), deletes=(Delete(kind="thing", id="a"),)))
    with pytest.raises(ValueError, match="key"):
        await store.commit(Commit(puts=(put("a"),), wakes=(wake(), wake())))

    assert await store.get("thing", "a") is None


async def test_an_expired_record_is_absent_for_every_reader_before_it_is_swept(store, clock):
    """get, get_many and list leave it out from its time on."""
    await store.commit(Commit(puts=(listed("a", "1", expires_at=clock.now() + 10),)))
    assert await list_ids(store) == ["a"]

    await clock.advance(10)

    assert await store.get("thing", "a") is None
    assert await store.get_many("thing", ["a"]) == {}
    assert await list_ids(store) == []


async def test_an_expired_record_counts_as_absent_for_expectations(store, clock):
    """ "Must not exist" is met, its old version is not; what is made in its place starts at version 1."""
    await store.commit(Commit(puts=(listed("a", "1", b"old", expires_at=clock.now() + 10),)))
    await clock.advance(11)

    with pytest.raises(Conflict):
        await store.commit(Commit(puts=(put("a", expect=1),)))
    with pytest.raises(Conflict):
        await store.commit(Commit(checks=(Check(kind="thing", id="a", version=1),)))
    committed = await store.commit(Commit(puts=(listed("a", "2", b"new", expect=0),)))

    assert committed.records[0].version == 1
    assert [record.body for record in (await store.list("things", "all")).records] == [b"new"]


async def test_the_time_of_expiry_can_be_moved_by_writing_again(store, clock):
    """Each put decides anew when the record goes."""
    await store.commit(Commit(puts=(put("a", expires_at=clock.now() + 10),)))
    await store.commit(Commit(puts=(put("a"),)))
    await clock.advance(11)

    found = await store.get("thing", "a")

    assert found is not None
    assert found.expires_at is None


async def test_sweeping_removes_only_what_is_past_its_time_up_to_a_limit(store, clock):
    """expire returns how many it removed; nothing more is removed when nothing more has expired."""
    times = {f"old{number}": clock.now() + 1 for number in range(5)} | {"young": clock.now() + 100}
    await store.commit(Commit(puts=tuple(listed(name, name, expires_at=time) for name, time in times.items())))
    await store.commit(Commit(puts=(listed("stays", "stays"),)))
    await clock.advance(2)

    swept = [await store.expire(limit=3), await store.expire(limit=3), await store.expire(limit=3)]

    assert swept == [3, 2, 0]
    assert await store.count("things", "all") == 2
    assert await list_ids(store) == ["stays", "young"]
