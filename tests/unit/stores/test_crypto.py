"""Sealed values open with their key alone; of several keys the first seals and all open."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novitai.domain.secrets import Sealed
from novitai.stores.crypto import Keyring, KeySealer, key_id_of

KEY = bytes(range(32))


@given(st.text())
def test_what_was_sealed_opens_again(plaintext):
    """Any text, also an empty one."""
    assert KeySealer(KEY).open(KeySealer(KEY).seal(plaintext)) == plaintext


def test_a_box_shows_nothing_and_never_repeats():
    """Equal values give different boxes, and neither holds the text."""
    sealer = KeySealer(KEY)

    first, second = sealer.seal("hunter2"), sealer.seal("hunter2")

    assert first.box != second.box
    assert "hunter2" not in first.box
    assert "box" not in repr(first)


def test_another_key_is_named_in_the_refusal():
    """So that the operator can tell a wrong key from damage."""
    sealed = KeySealer(KEY).seal("secret")

    with pytest.raises(ValueError, match=r"sealed with key \w{8}, but this is key \w{8}"):
        KeySealer(bytes(32)).open(sealed)


@pytest.mark.parametrize("place", [-1, -20, 15])
def test_a_changed_box_is_refused(place):
    """Whatever character was changed."""
    box = list(KeySealer(KEY).seal("a secret of some length").box)
    box[place] = "A" if box[place] != "A" else "B"

    with pytest.raises(ValueError, match="changed"):
        KeySealer(KEY).open(Sealed("".join(box)))


@pytest.mark.parametrize("box", ["", "v1", "v1.", "plain text", "v2.630dcd29.AAAA", "v1.630dcd29.é", "v1.630dcd29."])
def test_what_is_no_box_is_refused(box):
    """Never another error than ValueError."""
    with pytest.raises(ValueError, match="sealed"):
        KeySealer(KEY).open(Sealed(box))


def test_a_key_of_another_length_is_refused():
    """AES-256 has 32 bytes."""
    with pytest.raises(ValueError, match="32"):
        KeySealer(b"short")


OLD, NEW = bytes(32), bytes(range(1, 33))


def test_the_first_key_of_a_ring_seals_and_every_one_opens():
    """So a new key can be put in front while what the old one sealed is still about."""
    before = KeySealer(OLD).seal("secret")
    ring = Keyring([NEW, OLD])

    after = ring.seal("secret")

    assert (ring.open(before), ring.open(after)) == ("secret", "secret")
    assert key_id_of(after) == KeySealer(NEW).key_id == ring.key_ids[0]


def test_a_box_of_a_key_that_is_not_on_the_ring_is_refused_by_name():
    """As with a single key."""
    with pytest.raises(ValueError, match=KeySealer(KEY).key_id):
        Keyring([NEW, OLD]).open(KeySealer(KEY).seal("secret"))


def test_sealing_again_leaves_alone_what_the_first_key_sealed():
    """A second pass over everything finds nothing to do."""
    ring = Keyring([NEW, OLD])
    current = ring.seal("secret")

    assert ring.resealed(current) is current
    assert key_id_of(ring.resealed(KeySealer(OLD).seal("secret"))) == ring.key_ids[0]


def test_a_ring_without_a_key_is_refused():
    """It could neither seal nor open."""
    with pytest.raises(ValueError, match="at least one"):
        Keyring([])
