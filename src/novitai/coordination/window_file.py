"""A limiter window that outlives its process: the stamps of held slots in a small mapped file.

Without it, kill -9 and a quick restart would start from an empty window and could put 200 calls into one minute. Mapped
memory belongs to the kernel from the moment it is written, so a killed process loses nothing; a power cut may, and
lasts longer than a window. One record a slot, all of one size; wall-clock seconds, since other clocks do not survive a
restart.
"""

import math
import mmap
import struct
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from novitai.resilience.limiter import Limiter, LimiterSettings, Share, Slot, Stamp, Wait
from novitai.resilience.waiting import RoomClock

_MAGIC = b"nvwin\x00\x00\x01"
# Start and end (0 while the call is under way), then the share's number: written last, it makes the record valid.
_TIMES = struct.Struct("<dd")
_MARK_AT = _TIMES.size
_RECORD = 24
_SHARES = {1: Share.ACT, 2: Share.OBSERVE, 3: Share.BULK}
_MARKS = {share: mark for mark, share in _SHARES.items()}


class StampFile:
    """A fixed number of records. Which of them are free is known to its owner, not to the file."""

    def __init__(self, path: Path, capacity: int) -> None:
        """Replace the file by an empty one of this capacity. Raises OSError when that cannot be done."""
        fresh = path.with_name(path.name + ".new")
        # Zeros are written, not only reserved: on a full disk this fails here, and not as a signal at a later store.
        fresh.write_bytes(_MAGIC + bytes(_RECORD * capacity))
        fresh.chmod(0o600)
        with fresh.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        fresh.replace(path)

    def write(self, index: int, stamp: Stamp) -> None:
        """Keep a stamp in a record."""
        at = len(_MAGIC) + index * _RECORD
        self._map[at + _MARK_AT] = 0
        _TIMES.pack_into(self._map, at, stamp.start, stamp.end or 0.0)
        self._map[at + _MARK_AT] = _MARKS[stamp.share]

    def end(self, index: int, end: float) -> None:
        """Note when the call of a record ended."""
        struct.pack_into("<d", self._map, len(_MAGIC) + index * _RECORD + 8, end)

    def clear(self, index: int) -> None:
        """Forget a record."""
        self._map[len(_MAGIC) + index * _RECORD + _MARK_AT] = 0

    def close(self) -> None:
        """Unmap; closing twice is fine."""
        self._map.close()


def read_stamps(path: Path) -> tuple[list[Stamp], str | None]:
    """The stamps a process left behind. What is not ours or makes no sense is left out; the second value says so."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], None
    except OSError as error:
        return [], f"{path.name} cannot be read ({error.strerror}): starting with an empty window"
    if not content.startswith(_MAGIC) or (len(content) - len(_MAGIC)) % _RECORD:
        return [], f"{path.name} is not a window file of this version: starting with an empty window"
    stamps, spoiled = _parse(memoryview(content)[len(_MAGIC) :])
    return stamps, f"{path.name}: {spoiled} records made no sense and were left out" if spoiled else None


def _parse(records: memoryview) -> tuple[list[Stamp], int]:
    stamps: list[Stamp] = []
    spoiled = 0
    for at in range(0, len(records), _RECORD):
        mark = records[at + _MARK_AT]
        if not mark:
            continue
        start, end = _TIMES.unpack_from(records, at)
        if mark in _SHARES and math.isfinite(start) and math.isfinite(end) and start > 0 and end >= 0:
            # An end before the start is a clock set back during the call, or a write cut short: under way is the safe
            # reading.
            stamps.append(Stamp(start=start, end=end if end >= start else None, share=_SHARES[mark]))
        else:
            spoiled += 1
    return stamps, spoiled


class LocalWindow:
    """A limiter window of this process, kept in a file when there is one. Implements `resilience.waiting.Window`."""

    def __init__(self, settings: LimiterSettings, clock: RoomClock) -> None:
        self._limiter = Limiter(settings)
        self._clock = clock
        self._file: StampFile | None = None
        self._records: dict[int, int] = {}
        self._free: deque[int] = deque()
        self._leaving: deque[tuple[float, int]] = deque()

    @classmethod
    def kept_in(cls, path: Path, settings: LimiterSettings, clock: RoomClock) -> tuple[Self, str | None]:
        """A window that goes on where the last process stopped, and a warning when that was not possible.

        Never fails: without a usable file the window lives in memory, and the warning says what is lost.
        """
        window = cls(settings, clock)
        stamps, warning = read_stamps(path)
        now = clock.now()
        window._limiter.load(stamps, now)
        held = window._limiter.dump(now)
        try:
            window._file = StampFile(path, capacity=settings.limit + len(held))
        except OSError as error:
            return window, f"{path.name} cannot be written ({error.strerror}): a restart will not know of earlier calls"
        window._keep(held)
        return window, warning

    @property
    def settings(self) -> LimiterSettings:
        """The limit and its window."""
        return self._limiter.settings

    def used(self) -> int:
        """Slots held now."""
        return self._limiter.used(self._clock.now())

    def used_by_share(self) -> dict[Share, int]:
        """Slots held now, by share."""
        return self._limiter.used_by_share(self._clock.now())

    async def admit(self, share: Share) -> Slot | Wait:
        """A slot for one call, or how long to wait."""
        now = self._clock.now()
        outcome = self._limiter.admit(share, now)
        if isinstance(outcome, Slot) and self._file is not None:
            index = self._free_record(now)
            self._file.write(index, Stamp(start=now, end=None, share=share))
            self._records[outcome.id] = index
        return outcome

    async def settle(self, slot_id: int) -> None:
        """The call has ended or was given up."""
        now = self._clock.now()
        self._limiter.settle(slot_id, now)
        index = self._records.pop(slot_id, None)
        if self._file is not None and index is not None:
            self._file.end(index, now)
            self._leaving.append((now, index))

    async def release(self, slot_id: int) -> None:
        """The call was never sent."""
        self._limiter.release(slot_id)
        index = self._records.pop(slot_id, None)
        if self._file is not None and index is not None:
            self._file.clear(index)
            self._free.append(index)

    def close(self) -> None:
        """Let go of the file; closing twice is fine."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _keep(self, held: Sequence[Stamp]) -> None:
        assert self._file is not None
        for index, stamp in enumerate(held):
            self._file.write(index, stamp)
            self._leaving.append((stamp.end or 0.0, index))
        self._free.extend(range(len(held), len(held) + self.settings.limit))

    def _free_record(self, now: float) -> int:
        while self._leaving and self._leaving[0][0] + self.settings.window <= now:
            self._free.append(self._leaving.popleft()[1])
        # The limiter admits no more than `limit` at a time; a clock set back can still leave old records waiting for
        # their end.
        return self._free.popleft() if self._free else self._leaving.popleft()[1]
