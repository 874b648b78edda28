"""The key file is made once, kept to its owner, and replaced whole or not at all."""

import os
import stat

import pytest

from novitai.stores.key_file import (
    KEY_FILE,
    key_text,
    load_or_make_keys,
    new_key,
    others_who_read,
    read_keys,
    replace_keys,
)


def test_the_key_is_made_at_first_start_and_read_at_the_next(tmp_path):
    """Mode 0600, the same key ever after, and no draft left behind."""
    data_dir = tmp_path / "data"

    first, second = load_or_make_keys(data_dir), load_or_make_keys(data_dir)

    assert first == second
    assert [len(key) for key in first] == [32]
    assert stat.S_IMODE((data_dir / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in data_dir.iterdir()] == [KEY_FILE]


@pytest.mark.parametrize("content", ["", "not base64 !", "c2hvcnQ=", "é", "\n\n"])
def test_a_key_file_that_holds_no_key_is_refused_with_its_path(tmp_path, content):
    """A new key in its place would lock away everything sealed before."""
    (tmp_path / KEY_FILE).write_text(content)

    with pytest.raises(ValueError, match=str(tmp_path / KEY_FILE)):
        load_or_make_keys(tmp_path)


def test_one_bad_line_is_enough_to_refuse_the_file(tmp_path):
    """Leaving it out could leave out the key that everything was sealed with."""
    (tmp_path / KEY_FILE).write_text(f"{key_text(new_key())}\nhalf a k\n")

    with pytest.raises(ValueError, match="does not hold a key"):
        load_or_make_keys(tmp_path)


def test_a_start_that_was_cut_short_does_not_keep_the_next_one_from_making_a_key(tmp_path):
    """In a container every process has the same number, so its leftovers must not stand in the way."""
    (tmp_path / f"{KEY_FILE}.{os.getpid()}.new").write_bytes(b"half a k")

    assert len(load_or_make_keys(tmp_path)) == 1


def test_keys_are_replaced_in_order_with_the_same_mode_and_without_leftovers(tmp_path):
    """The first line is the one that seals."""
    path = tmp_path / KEY_FILE
    (old,) = load_or_make_keys(tmp_path)
    new = new_key()

    replace_keys(path, [new, old])

    assert read_keys(path) == (new, old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == [KEY_FILE]


def test_keys_that_cannot_be_replaced_stay_as_they_were(tmp_path):
    """No room, no rights: the old content is whole."""
    path = tmp_path / KEY_FILE
    before = load_or_make_keys(tmp_path)

    with pytest.raises(OSError, match="missing"):
        replace_keys(tmp_path / "missing" / KEY_FILE, [new_key()])

    assert read_keys(path) == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_an_administrator_who_replaces_keys_leaves_the_file_to_its_owner(tmp_path):
    """The server that runs as another user could not read it otherwise."""
    path = tmp_path / KEY_FILE
    load_or_make_keys(tmp_path)
    os.chown(path, 12345, 12346)

    replace_keys(path, [new_key()])

    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346)


@pytest.mark.parametrize(
    ("mode", "readers"),
    [(0o600, None), (0o400, None), (0o640, "its group"), (0o644, "everybody"), (0o602, "everybody")],
)
def test_who_else_can_read_the_file_is_told(tmp_path, mode, readers):
    """Whoever may write it may put a key of their own there, which is as bad."""
    path = tmp_path / KEY_FILE
    path.touch()
    path.chmod(mode)

    assert others_who_read(path) == readers
