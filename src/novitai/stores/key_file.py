"""The key file beside the store: one key a line in base64, the first seals, all open.

Made at first start, kept to its owner, and only ever replaced whole: a key half written would lock away what it sealed. Whether others can
read it is told, not mended: a key that was readable may have been read.
"""

import base64
import contextlib
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from novitai.stores.crypto import KEY_BYTES

KEY_FILE = "secrets.key"


def new_key() -> bytes:
    """A fresh key."""
    return os.urandom(KEY_BYTES)


def key_text(key: bytes) -> str:
    """A key as it stands in the file and in the setting."""
    return base64.b64encode(key).decode()


def load_or_make_keys(data_dir: Path) -> tuple[bytes, ...]:
    """The keys in the data directory, one made when there is none. Raises ValueError for a file that does not hold keys."""
    path = data_dir / KEY_FILE
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        with contextlib.suppress(FileExistsError):  # another process made one meanwhile: that is the key, then
            _write(path, [new_key()], place=os.link)  # unlike a rename, never replaces one
    return read_keys(path)


def read_keys(path: Path) -> tuple[bytes, ...]:
    """The keys in a file, the sealing one first. Raises ValueError when a line is not a key, or there is none."""
    try:
        keys = tuple(base64.b64decode(line, validate=True) for line in path.read_text(encoding="ascii").split())
    except ValueError:
        raise ValueError(f"{path} does not hold a key") from None
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise ValueError(f"{path} does not hold a key of {KEY_BYTES} bytes")
    return keys


def replace_keys(path: Path, keys: Sequence[bytes]) -> None:
    """Put other keys into the file: durable, and at every moment the old content or the new one. The owner stays the same."""
    _write(path, keys, place=os.replace)


def others_who_read(path: Path) -> str | None:
    """Who beside the owner can read the file: `everybody`, `its group`, or None."""
    mode = path.stat().st_mode
    if mode & stat.S_IRWXO:
        return "everybody"
    return "its group" if mode & stat.S_IRWXG else None


def _write(path: Path, keys: Sequence[bytes], *, place: Callable[[Path, Path], None]) -> None:
    # Not by the process id, which is the same at each start of a container: what a start cut short left must not block the next.
    draft = path.with_name(f"{path.name}.{os.urandom(8).hex()}.new")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(file, "w", encoding="ascii") as opened:
            opened.writelines(f"{key_text(key)}\n" for key in keys)
            opened.flush()
            _keep_owner(path, opened.fileno())
            os.fsync(opened.fileno())
        place(draft, path)
    finally:
        draft.unlink(missing_ok=True)
        _sync_folder(path.parent)


def _keep_owner(path: Path, file: int) -> None:
    """An administrator who rotates must not take the file away from the user that the server runs as."""
    with contextlib.suppress(FileNotFoundError):
        before = path.stat()
        if (before.st_uid, before.st_gid) != (os.getuid(), os.getgid()):
            os.fchown(file, before.st_uid, before.st_gid)


def _sync_folder(place: Path) -> None:
    folder = os.open(place, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
