"""A limiter window that outlives its process: the stamps of held slots in a small file.

Without it, kill -9 and a quick restart would start from an empty window and could put 200 calls into one minute. What
was written belongs to the kernel, so a killed process loses nothing; a power cut may, and lasts longer than a window.
One record a slot, all of one size. Written, not mapped: a mapped file on a disk that turns read-only ends the process.

Seconds are those of a clock that nobody sets, since one set forward would empty the window early. Such clocks begin
anew with the machine; the file's `era` says to which start its seconds belong. Calls of another era count as just made.
"""

import math
import os
import struct
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from msgspec.structs import replace

from novitai.resilience.limiter import Limiter, LimiterSettings, Share, Slot, Stamp, Wait
from novitai.resilience.waiting import RoomClock

_MAGIC = b"nvwin\x00\x00\x02"
_ERA = 40  # bytes of the era's name behind it
_HEAD = len(_MAGIC) + _ERA
# Start and end (0 while the call is under way), then the share's number: 0 says that the record is free.
_LAYOUT = struct.Struct("<ddB7x")
_END = struct.Struct("<d")
_END_AT = 8
_RECORD = _LAYOUT.size
_FREE = bytes(_RECORD)
_SHARES = {1: Share.ACT, 2: Share.OBSERVE, 3: Share.BULK}
_MARKS = {share: mark for mark, share in _SHARES.items()}


class StampFile:
    """A fixed number of records. Which of them are free is known to its owner, not to the file.

    A disk that cannot be written keeps nobody from calling Novita: the stamps of that time are not found after a restart.
    """

    def __init__(self, path: Path, *, capacity: int, era: str) -> None:
        """Replace the file by an empty one of this capacity. Raises OSError when that cannot be done."""
        fresh = path.with_name(path.name + ".new")
        # Zeros are written, so that there is room for stamps later.
        fresh.write_bytes(_MAGIC + _era(era) + _FREE * capacity)
        fresh.chmod(0o600)
        self._file = os.open(fresh, os.O_RDWR | os.O_CLOEXEC)
        fresh.replace(path)

    def write(self, index: int, stamp: Stamp) -> None:
        """Keep a stamp in a record."""
        self._put(index, _LAYOUT.pack(stamp.start, stamp.end or 0.0, _MARKS[stamp.share]))

    def end(self, index: int, end: float) -> None:
        """Note when the call of a record ended."""
        self._put(index, _END.pack(end), at=_END_AT)

    def clear(self, index: int) -> None:
        """Forget a record."""
        self._put(index, _FREE)

    def close(self) -> None:
        """Let go of the file; closing twice is fine."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _put(self, index: int, data: bytes, *, at: int = 0) -> None:
        with suppress(OSError):
            os.pwrite(self._file, data, _HEAD + index * _RECORD + at)


def read_stamps(path: Path, era: str = "") -> tuple[list[Stamp], str | None]:
    """The stamps a process left behind; those of another era have no end. What is not ours or makes no sense is left
    out; the second value says so.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], None
    except OSError as error:
        return [], f"{path.name} cannot be read ({error.strerror}): starting with an empty window"
    if not content.startswith(_MAGIC) or (len(content) - _HEAD) % _RECORD:
        return [], f"{path.name} is not a window file of this version: starting with an empty window"
    stamps, spoiled = _parse(memoryview(content)[_HEAD:])
    if content[len(_MAGIC) : _HEAD] != _era(era):
        stamps = [replace(stamp, end=None) for stamp in stamps]
    return stamps, f"{path.name}: {spoiled} records made no sense and were left out" if spoiled else None


def _era(name: str) -> bytes:
    return name.encode()[:_ERA].ljust(_ERA, b"\0")


def _parse(records: memoryview) -> tuple[list[Stamp], int]:
    stamps: list[Stamp] = []
    spoiled = 0
    for at in range(0, len(records), _RECORD):
        start, end, mark = _LAYOUT.unpack_from(records, at)
        if not mark:
            continue
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
    def kept_in(
        cls, path: Path, settings: LimiterSettings, clock: RoomClock, *, era: str = ""
    ) -> tuple[Self, str | None]:
        """A window that goes on where the last process stopped, and a warning when that was not possible. `era`: to
        which start of the machine the clock's seconds belong.

        Never fails: without a usable file the window lives in memory, and the warning says what is lost.
        """
        window = cls(settings, clock)
        stamps, warning = read_stamps(path, era)
        now = clock.now()
        window._limiter.load(stamps, now)
        held = window._limiter.dump(now)
        try:
            window._file = StampFile(path, capacity=settings.limit + len(held), era=era)
        except OSError as error:
            return window, f"{path.name} cannot be written ({error.strerror}): a restart will not know of earlier calls"
        window._keep(held, now)
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

    def _keep(self, held: Sequence[Stamp], now: float) -> None:
        assert self._file is not None
        for index, stamp in enumerate(held):
            self._file.write(index, stamp)
            self._leaving.append((self._limiter.latest_arrival(stamp, now), index))
        self._free.extend(range(len(held), len(held) + self.settings.limit))

    def _free_record(self, now: float) -> int:
        if not self._free:
            self._recycle(now)
        # The limiter admits no more than `limit` at a time; a clock set back can still leave old records waiting for
        # their end.
        return self._free.popleft() if self._free else self._leaving.popleft()[1]

    def _recycle(self, now: float) -> None:
        still = deque(one for one in self._leaving if one[0] + self.settings.window > now)
        self._free.extend(index for end, index in self._leaving if end + self.settings.window <= now)
        self._leaving = still
