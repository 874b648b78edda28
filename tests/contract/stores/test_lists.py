"""Declared lists: ordered by bytes, paged by a cursor that stays valid while records come and go."""

import pytest

from contract.stores.samples import list_ids, listed, put
from novitai.ports.store import Commit, Delete, ListEntry


async def write(store, *puts):
    await store.commit(Commit(puts=puts))


async def test_a_list_is_ordered_by_sort_and_then_by_id(store):
    """Ties of `sort` go by record id."""
    await write(store, listed("b", "1"), listed("a", "2"), listed("a1", "1"), listed("c", "0"))

    assert await list_ids(store) == ["c", "a1", "b", "a"]
    assert await list_ids(store, descending=True) == ["a", "b", "a1", "c"]


async def test_sort_is_compared_as_bytes(store):
    """Capitals before small letters, a prefix before what it begins, and UTF-8 order beyond ASCII."""
    sorts = ["", "10", "9", "B", "a", "a ", "aa", "é", "￿", "𐀀"]
    await write(store, *(listed(f"r{number}", sort) for number, sort in enumerate(sorts)))

    in_order = [f"r{sorts.index(sort)}" for sort in sorted(sorts, key=str.encode)]

    assert await list_ids(store) == in_order
    assert await list_ids(store, descending=True) == in_order[::-1]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 3, 10])
async def test_pages_show_every_record_once(store, descending, limit):
    """Following the cursor to its end gives the whole list in order, and the last page has none."""
    await write(store, *(listed(f"r{number:02}", str(number % 4)) for number in range(10)))
    whole = await list_ids(store, descending=descending)

    seen, cursor = [], None
    while True:
        page = await store.list("things", "all", cursor=cursor, limit=limit, descending=descending)
        seen += [record.id for record in page.records]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert seen == whole
    assert len(whole) == 10


async def test_a_cursor_stays_valid_while_records_come_and_go(store):
    """What is written or removed behind the cursor does not shift what comes after it, even when its own record goes."""
    await write(store, *(listed(f"r{number}", f"{number}") for number in range(6)))
    first = await store.list("things", "all", limit=3)

    await write(store, listed("early", "0a"), listed("late", "3a"))
    await store.commit(Commit(deletes=(Delete(kind="thing", id="r2"), Delete(kind="thing", id="r4"))))

    assert await list_ids(store, cursor=first.next_cursor) == ["r3", "late", "r5"]


async def test_a_list_has_partitions(store):
    """A record stands where its entries say, in several lists at once."""
    places = (ListEntry("things", "all", "1"), ListEntry("things", "owner:x", "1"), ListEntry("names", "all", "zoe"))
    await write(store, put("a", entries=places))

    for listing, partition, expected in [("things", "owner:x", 1), ("names", "all", 1), ("things", "owner:y", 0)]:
        page = await store.list(listing, partition)
        assert len(page.records) == expected
        assert await store.count(listing, partition) == expected


async def test_writing_again_replaces_all_entries(store):
    """Old places are left, new ones taken, unchanged ones kept with the new body."""
    await write(store, put("a", b"1", entries=(ListEntry("things", "all", "1"), ListEntry("things", "state:new", "1"))))
    await write(store, put("a", b"2", entries=(ListEntry("things", "all", "1"), ListEntry("things", "state:old", "1"))))

    assert await store.count("things", "state:new") == 0
    assert await store.count("things", "state:old") == 1
    assert [record.body for record in (await store.list("things", "all")).records] == [b"2"]
    await write(store, put("a"))
    assert await store.count("things", "all") == 0


async def test_two_kinds_may_share_a_list_and_an_id(store):
    """Both records are listed, and paging passes neither over."""
    await write(store, listed("a", "1", kind="cat"), listed("a", "1", kind="dog"))

    first = await store.list("things", "all", limit=1)
    second = await store.list("things", "all", limit=1, cursor=first.next_cursor)

    assert {record.kind for page in (first, second) for record in page.records} == {"cat", "dog"}


async def test_a_cursor_of_another_listing_is_refused(store):
    """A cursor works only with the listing, partition and direction that gave it; anything else is a ValueError."""
    await write(store, *(listed(f"r{number}", f"{number}") for number in range(3)))
    cursor = (await store.list("things", "all", limit=1)).next_cursor

    for listing, partition, descending in [("others", "all", False), ("things", "x", False), ("things", "all", True)]:
        with pytest.raises(ValueError, match="cursor"):
            await store.list(listing, partition, cursor=cursor, descending=descending)


@pytest.mark.parametrize("cursor", ["", "x", "not a cursor", "W10", "bnVsbA", "é", "eyJhIjogMX0"])
async def test_what_is_no_cursor_is_refused(store, cursor):
    """Whatever a client sends as a cursor, the answer is a ValueError."""
    with pytest.raises(ValueError, match="cursor"):
        await store.list("things", "all", cursor=cursor)


async def test_an_expired_record_does_not_shorten_a_page(store, clock):
    """A page is filled with records that are there; the cursor leads on."""
    await write(store, *(listed(f"old{number}", f"{number}", expires_at=clock.now() + 1) for number in range(3)))
    await write(store, *(listed(f"new{number}", f"{number}x") for number in range(3)))
    await clock.advance(2)

    page = await store.list("things", "all", limit=2)

    assert [record.id for record in page.records] == ["new0", "new1"]
    assert await list_ids(store, cursor=page.next_cursor) == ["new2"]
