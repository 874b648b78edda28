"""The real world behind `ports.world`: the system's clock, fresh identifiers, chance."""

import asyncio
import base64
import random
import time

import uuid_utils


class SystemClock:
    """Unix time and real waiting."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class SystemIds:
    """Version 7 UUIDs in base32 with the extended hex alphabet: 26 characters of `[a-v0-9]`, sortable by creation."""

    def new(self, prefix: str) -> str:
        text = base64.b32hexencode(uuid_utils.uuid7().bytes).decode().rstrip("=").lower()
        return f"{prefix}_{text}"

    def random(self) -> float:
        return random.random()  # noqa: S311 - jitter, not secrecy
