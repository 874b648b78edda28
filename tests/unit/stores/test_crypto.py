"""Sealed values open with their key alone, and the key file is made once and kept to its owner."""

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novitai.domain.secrets import Sealed
from novitai.stores.crypto import KEY_FILE, KeySealer, load_or_make_key

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


def test_the_key_is_made_at_first_start_and_read_at_the_next(tmp_path):
    """Mode 0600, the same key ever after, and no draft left behind."""
    data_dir = tmp_path / "data"

    first, second = load_or_make_key(data_dir), load_or_make_key(data_dir)

    assert first == second
    assert len(first) == 32
    assert stat.S_IMODE((data_dir / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in data_dir.iterdir()] == [KEY_FILE]


@pytest.mark.parametrize("content", ["", "not base64 !", "c2hvcnQ="])
def test_a_key_file_that_holds_no_key_is_refused_with_its_path(tmp_path, content):
    """A new key in its place would lock away everything sealed before."""
    (tmp_path / KEY_FILE).write_text(content)

    with pytest.raises(ValueError, match=str(tmp_path / KEY_FILE)):
        load_or_make_key(tmp_path)


def test_a_start_that_was_cut_short_does_not_keep_the_next_one_from_making_a_key(tmp_path):
    """In a container every process has the same number, so its leftovers must not stand in the way."""
    (tmp_path / f"{KEY_FILE}.{os.getpid()}.new").write_bytes(b"half a k")

    assert len(load_or_make_key(tmp_path)) == len(KEY)
