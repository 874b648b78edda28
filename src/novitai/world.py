"""The real world behind `ports.world`: the system's clocks, fresh identifiers, chance."""

import asyncio
import base64
import random
import time
from pathlib import Path

import uuid_utils


class SystemClock:
    """Unix time and real waiting."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class SteadyClock(SystemClock):
    """Seconds since the machine was started, which nobody sets forward or back; a restart of the process does not interrupt them.

    `era` names the start that they are counted from: readings of different eras cannot be compared. Where the system does not tell (it
    is Linux's file), it is empty, and the seconds are Unix time.
    """

    def __init__(self, boot_id: Path = Path("/proc/sys/kernel/random/boot_id")) -> None:
        try:
            self.era = boot_id.read_text(encoding="ascii").strip()
        except OSError:
            self.era = ""

    def now(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) if self.era else super().now()


class SystemIds:
    """Version 7 UUIDs in base32 with the extended hex alphabet: 26 characters of `[a-v0-9]`, sortable by creation."""

    def new(self, prefix: str) -> str:
        text = base64.b32hexencode(uuid_utils.uuid7().bytes).decode().rstrip("=").lower()
        return f"{prefix}_{text}"

    def random(self) -> float:
        return random.random()  # noqa: S311 - jitter, not secrecy
