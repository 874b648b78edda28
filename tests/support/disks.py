"""What disks do to a program that runs: they fill up, turn read-only, or are held by somebody else. Done from outside, and undone.

Each trouble says whether it can be made here: a full file system must be mounted, and files are made unchangeable, which both take rights
that containers often do not have.
"""

import fcntl
import os
import resource
import shutil
import sqlite3
import struct
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Protocol

DATABASE = "novitai.db"
_GET_FLAGS, _SET_FLAGS, _IMMUTABLE = 0x80086601, 0x40086602, 0x10
_SMALL_DISK = "size=24m,mode=0700"


class Trouble(Protocol):
    """Something that a disk does. `name` says it in words."""

    name: str

    def prepare(self, data: Path) -> str:
        """Called on the empty data directory; why it cannot be done here, empty when it can."""
        ...

    def begin(self, data: Path, pid: int) -> None:
        """From now on."""
        ...

    def end(self) -> None:
        """Until now; ending twice is fine."""
        ...

    def close(self) -> None:
        """Leave the directory as it was found."""
        ...


class _Plain:
    """What most troubles need not do."""

    def prepare(self, data: Path) -> str:
        return ""

    def close(self) -> None:
        """Nothing is left."""


class FilesMayNotGrow(_Plain):
    """The system refuses the process to write beyond 4 KiB of any file."""

    name = "no file may grow (RLIMIT_FSIZE)"

    def __init__(self) -> None:
        self._pid = 0
        self._usual = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)

    def begin(self, data: Path, pid: int) -> None:
        self._pid = pid
        self._usual = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, self._usual[1]))

    def end(self) -> None:
        with suppress(ProcessLookupError):
            resource.prlimit(self._pid, resource.RLIMIT_FSIZE, self._usual)


class HeldFile(_Plain):
    """Another program has the database locked for writing."""

    name = "database locked by another program (BEGIN EXCLUSIVE)"

    def __init__(self) -> None:
        self._other: sqlite3.Connection | None = None

    def begin(self, data: Path, pid: int) -> None:
        self._other = sqlite3.connect(data / DATABASE, isolation_level=None, timeout=5.0, check_same_thread=False)
        self._other.execute("BEGIN EXCLUSIVE")

    def end(self) -> None:
        if self._other is not None:
            self._other.execute("ROLLBACK")
            self._other.close()
            self._other = None


class FullDisk:
    """The file system has no room left."""

    name = "file system full (tmpfs)"

    def __init__(self) -> None:
        self._mounted: Path | None = None

    def prepare(self, data: Path) -> str:
        mount = shutil.which("mount")
        if mount is None or os.geteuid() != 0:
            return "mounting a small file system takes root's rights"
        command = [mount, "-t", "tmpfs", "-o", _SMALL_DISK, "tmpfs", str(data)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            return "mounting is not allowed here"
        self._mounted = data
        return ""

    def begin(self, data: Path, pid: int) -> None:
        with suppress(OSError), (data / "ballast").open("wb", buffering=0) as ballast:
            while ballast.write(b"\0" * 4096):
                pass

    def end(self) -> None:
        if self._mounted is not None:
            (self._mounted / "ballast").unlink(missing_ok=True)

    def close(self) -> None:
        if self._mounted is not None:
            subprocess.run(["umount", "--lazy", str(self._mounted)], check=False)


class ReadOnly:
    """Directory and files can no longer be changed, by nobody, not even through files that are open.

    But for SQLite's `-shm`: it is mapped, and who writes into a mapped file that cannot be written is ended by the system (SIGBUS).
    """

    name = "files read-only (immutable)"

    def __init__(self) -> None:
        self._frozen: list[Path] = []

    def prepare(self, data: Path) -> str:
        probe = data / "probe"
        probe.touch()
        try:
            _flag(probe, on=True)
            _flag(probe, on=False)
        except OSError as error:
            return f"the file system or our rights do not let a file be made immutable ({error.strerror})"
        finally:
            probe.unlink()
        return ""

    def begin(self, data: Path, pid: int) -> None:
        self._frozen = [data, *(path for path in data.iterdir() if not path.name.endswith("-shm"))]
        for path in self._frozen:
            _flag(path, on=True)

    def end(self) -> None:
        for path in self._frozen:
            _flag(path, on=False)
        self._frozen = []

    def close(self) -> None:
        """Nothing is left."""


TROUBLES: tuple[type[Trouble], ...] = (FilesMayNotGrow, HeldFile, FullDisk, ReadOnly)


def freeze(folder: Path) -> str:
    """Let nothing be made in a folder; why that cannot be done here, empty when it is done."""
    if os.geteuid() != 0:
        folder.chmod(0o500)
        return ""
    try:
        _flag(folder, on=True)
    except OSError as error:
        return f"root may write everywhere, and files cannot be made immutable here ({error.strerror})"
    return ""


def thaw(folder: Path) -> None:
    """Undo `freeze`."""
    if os.geteuid() == 0:
        with suppress(OSError):
            _flag(folder, on=False)
    else:
        folder.chmod(0o700)


def _flag(path: Path, *, on: bool) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        (flags,) = struct.unpack("i", fcntl.ioctl(number, _GET_FLAGS, struct.pack("i", 0)))
        flags = flags | _IMMUTABLE if on else flags & ~_IMMUTABLE
        fcntl.ioctl(number, _SET_FLAGS, struct.pack("i", flags))
    finally:
        os.close(number)
