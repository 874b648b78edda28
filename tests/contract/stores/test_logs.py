"""Logs: append-only, read under any of their keys, in both directions, trimmed by time."""

import pytest

from contract.stores.samples import entry, log_ids
from novitai.ports.store import Commit, LogEntry


async def append(store, *entries):
    return (await store.commit(Commit(appends=entries))).entries


async def test_an_entry_is_read_under_each_of_its_keys(store):
    """One entry, many keys; other keys and other logs do not show it."""
    [written] = await append(store, entry("e1", "all", "instance:a", at=5.0, body=b"\x00\xff"))

    for key in ("all", "instance:a"):
        assert (await store.read_log("events", key)).entries == (written,)
        assert await store.count_log("events", key) == 1
    assert written == LogEntry(log="events", id="e1", position=written.position, at=5.0, body=b"\x00\xff")
    assert await log_ids(store, "instance:b") == []
    assert await log_ids(store, "all", log="audit") == []


async def test_a_key_given_twice_shows_the_entry_once(store):
    """Keys are a set."""
    await append(store, entry("e1", "all", "all"))

    assert await log_ids(store) == ["e1"]
    assert await store.count_log("events", "all") == 1


async def test_positions_grow_with_every_entry_of_the_store(store):
    """Over all logs, within a commit as between commits."""
    first = await append(store, entry("e1"), entry("e2", log="audit"))
    second = await append(store, entry("e3", log="audit"), entry("e4"))

    positions = [logged.position for logged in (*first, *second)]

    assert positions == sorted(set(positions))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 3, 7, 20])
async def test_pages_show_every_entry_once_in_the_asked_direction(store, descending, limit):
    """`next_position` leads on and is None at the end."""
    for number in range(7):
        await append(store, entry(f"e{number}", "all" if number != 3 else "other"))

    seen, after = [], None
    while True:
        page = await store.read_log("events", "all", after=after, limit=limit, descending=descending)
        seen += [logged.id for logged in page.entries]
        after = page.next_position
        if after is None:
            break

    whole = ["e0", "e1", "e2", "e4", "e5", "e6"]
    assert seen == (whole[::-1] if descending else whole)


async def test_reading_on_shows_only_later_entries(store):
    """`after` is exclusive, whichever entry it names."""
    e0, e1, e2 = await append(store, entry("e0"), entry("e1"), entry("e2"))

    assert await log_ids(store, after=e1.position) == ["e2"]
    assert await log_ids(store, after=e1.position, descending=True) == ["e0"]
    assert await log_ids(store, after=e2.position) == []
    assert await log_ids(store, after=e0.position, descending=True) == []


async def test_trimming_removes_entries_older_than_a_time_from_all_keys(store):
    """Those at the time itself stay; other logs are left alone."""
    old = [entry(f"old{number}", "all", "x", at=1.0 + number) for number in range(4)]
    await append(
        store, *old, entry("edge", "all", "x", at=10.0), entry("new", at=11.0), entry("a", log="audit", at=1.0)
    )

    trimmed = [await store.trim_log("events", before=10.0, limit=3) for _ in range(3)]

    assert trimmed == [3, 1, 0]
    assert await log_ids(store) == ["edge", "new"]
    assert await log_ids(store, "x") == ["edge"]
    assert await store.count_log("events", "x") == 1
    assert await log_ids(store, log="audit") == ["a"]


async def test_positions_are_not_used_again_after_trimming(store):
    """A reader's place stays good when everything before it is gone."""
    [last] = await append(store, entry("e1", at=1.0))
    await store.trim_log("events", before=2.0)

    [later] = await append(store, entry("e2", at=1.0))

    assert later.position > last.position
    assert await log_ids(store, after=last.position) == ["e2"]
