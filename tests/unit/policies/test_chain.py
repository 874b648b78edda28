"""The chain of audit seals: whatever is changed, added, removed or moved afterwards, a walk along it says where (promise A4)."""

import msgspec
import pytest

from novitai.policies.chain import Kept, breaks, sealed

KEY = b"k" * 32


def entries(first, count):
    return [
        Kept(position, f"aud_{position}", 1000.0 + position, b'{"n":%d}' % position)
        for position in range(first, first + count)
    ]


def chain():
    """Three seals over two, one and three entries, with gaps between positions as the log has them."""
    batches = [entries(3, 2), entries(9, 1), entries(20, 3)]
    seals, last = [], None
    for batch in batches:
        last = sealed(batch, last=last, key=KEY)
        seals.append(last)
    return seals, batches


def walk(seals, batches, *, key=KEY, trimmed=()):
    last, found = None, []
    for seal, batch in zip(seals, batches, strict=True):
        found += breaks(seal, batch, last=last, key=key, trimmed=seal.number in trimmed)
        last = seal
    return found


def test_an_untouched_chain_holds():
    """And it says so."""
    assert walk(*chain()) == []


@pytest.mark.parametrize("field", ["position", "id", "at", "body"])
def test_any_change_of_an_entry_shows_at_its_seal(field):
    """One byte is enough."""
    seals, batches = chain()
    changed = {"position": 10, "id": "aud_8", "at": 1009.5, "body": b'{"n":8}'}[field]
    batches[1] = [msgspec.structs.replace(batches[1][0], **{field: changed})]

    assert [broken.number for broken in walk(seals, batches)] == [2]


@pytest.mark.parametrize("harm", ["removed", "added", "swapped"])
def test_entries_that_come_go_or_move_show(harm):
    """The order counts, too."""
    seals, batches = chain()
    match harm:
        case "removed":
            batches[2] = batches[2][:-1]
        case "added":
            batches[2] = [*batches[2], *entries(30, 1)]
        case "swapped":
            batches[2] = [batches[2][1], batches[2][0], batches[2][2]]

    assert [broken.number for broken in walk(seals, batches)] == [3]


@pytest.mark.parametrize(
    "change",
    [{"count": 2}, {"upto": 19}, {"digest": "0" * 64}, {"previous": ""}, {"last_at": 0.0}, {"after": 5}],
    ids=str,
)
def test_any_change_of_a_seal_shows(change):
    """Without the key nobody can make its code anew."""
    seals, batches = chain()
    seals[1] = msgspec.structs.replace(seals[1], **change)

    assert 2 in [broken.number for broken in walk(seals, batches)]


def test_a_seal_that_is_missing_shows():
    """With its entries or without."""
    seals, batches = chain()
    [broken] = walk([seals[0], seals[2]], [batches[0], batches[2]])

    assert (broken.number, "2 to 2 are missing" in broken.what) == (3, True)


def test_a_chain_made_anew_with_another_key_shows():
    """Who can write the database but has not the key cannot forge one."""
    seals, batches = chain()

    assert {broken.number for broken in walk(seals, batches, key=b"x" * 32)} == {1, 2, 3}


def test_what_was_forgotten_after_its_time_is_no_break():
    """Of seals whose entries are past their retention only the link is judged."""
    seals, batches = chain()
    batches[0] = []

    assert walk(seals, batches, trimmed={1}) == []
    assert [broken.number for broken in walk(seals, batches)] == [1]


def test_a_chain_without_its_beginning_shows():
    """Seals are never forgotten, so the first there is must be the first there was."""
    seals, batches = chain()
    [broken] = walk(seals[1:], batches[1:])

    assert (broken.number, "1 to 1 are missing" in broken.what) == (2, True)


def test_a_seal_spans_its_entries_whatever_the_clock_did():
    """After a clock was set back the earliest entry is not the first: by it the seal is judged when entries are forgotten by age."""
    batch = [Kept(1, "aud_1", 2000.0, b"{}"), Kept(2, "aud_2", 1000.0, b"{}"), Kept(3, "aud_3", 1500.0, b"{}")]
    seal = sealed(batch, last=None, key=KEY)

    assert (seal.first_at, seal.last_at) == (1000.0, 2000.0)
