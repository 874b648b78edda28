"""One process per store file: an advisory lock on a file beside it, which the kernel gives back when the process ends, however it ends."""

import fcntl
import os
from pathlib import Path

from novitai.ports.store import StoreInUse


class LockFile:
    """The lock beside a store file, held from construction to `release`. Raises StoreInUse when another holder lives."""

    def __init__(self, store: Path) -> None:
        path = store.with_name(f"{store.name}.lock")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise StoreInUse(
                f"{store} is in use by another process (pid {holder}); one process at a time can serve a store file"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others have the store. The file stays: removing it could let two holders lock two different files."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
