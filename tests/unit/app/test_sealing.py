"""Which keys a start takes, and when it refuses them."""

import pytest

from novitai.app.sealing import check_key, keyring_of
from novitai.config import load
from novitai.stores.key_file import KEY_FILE, key_text, load_or_make_keys, new_key, replace_keys
from novitai.stores.sqlite import open_sqlite
from support.clock import FakeClock


def settings(folder, **environment):
    return load({"NOVITAI_DATA_DIR": str(folder), **environment}, folder, require_novita=False)


def test_keys_of_the_setting_come_before_the_file(tmp_path):
    """In the order in which they are written."""
    first, second = new_key(), new_key()

    ring = keyring_of(settings(tmp_path, NOVITAI_SECRETS_KEY=f"{key_text(first)}, {key_text(second)}"))

    assert len(ring.key_ids) == 2
    assert not (tmp_path / KEY_FILE).exists()


def test_a_file_named_by_the_setting_holds_a_key_a_line(tmp_path):
    """As the key file does."""
    place = tmp_path / "keys"
    place.write_text(f"{key_text(new_key())}\n{key_text(new_key())}\n")

    assert len(keyring_of(settings(tmp_path, NOVITAI_SECRETS_KEY_FILE=str(place))).key_ids) == 2


def test_every_key_of_the_setting_is_left_out_of_logs(tmp_path):
    """Not only the setting as a whole."""
    texts = {key_text(new_key()), key_text(new_key())}

    assert texts <= settings(tmp_path, NOVITAI_SECRETS_KEY=",".join(texts)).secret_values()


@pytest.mark.parametrize(("mode", "refused"), [(0o600, False), (0o640, False), (0o644, True)])
def test_in_production_a_key_file_that_everybody_can_read_is_refused(tmp_path, mode, refused):
    """The whole database is open to whoever has it; a group is left to the operator, since mounted volumes have one."""
    tmp_path.chmod(0o700)
    load_or_make_keys(tmp_path)
    (tmp_path / KEY_FILE).chmod(mode)

    if refused:
        with pytest.raises(ValueError, match="chmod 600"):
            keyring_of(settings(tmp_path, NOVITAI_ENV="production"))
    else:
        keyring_of(settings(tmp_path, NOVITAI_ENV="production"))


def test_elsewhere_a_key_file_that_everybody_can_read_is_only_told_of(tmp_path):
    """A first try on a strange file system should not fail."""
    load_or_make_keys(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)

    assert keyring_of(settings(tmp_path)).key_ids


async def test_a_store_knows_its_key_again_also_behind_a_newer_one(tmp_path):
    """A start in the middle of a rotation is a start like any other; one with another key is refused."""
    (old,) = load_or_make_keys(tmp_path)
    store = await open_sqlite(None, clock=FakeClock())
    await check_key(store, keyring_of(settings(tmp_path)))

    replace_keys(tmp_path / KEY_FILE, [new_key(), old])
    await check_key(store, keyring_of(settings(tmp_path)))
    replace_keys(tmp_path / KEY_FILE, [new_key()])
    with pytest.raises(ValueError, match="not the key that the store was sealed with"):
        await check_key(store, keyring_of(settings(tmp_path)))
