"""The engines that the contract is run against. A further engine adds one class here and its name to ENGINES."""

from pathlib import Path
from typing import Protocol

from novitai.ports.store import Store
from novitai.ports.world import Clock
from novitai.stores.sqlite import open_sqlite
from support.memory_store import MemoryDisk, MemoryStore

REOPENED = "keeps everything when closed and opened again"
EXCLUSIVE = "serves one process at a time, so what is held at opening is free at once"
FILE = "lives in a file of the machine it runs on"


class Engine(Protocol):
    """How to open stores of one engine, and what it can do beyond the port."""

    name: str
    can: frozenset[str]

    async def open(self, clock: Clock, *, place: str = "main") -> Store:
        """A store: the same one for the same place, where the engine keeps stores."""
        ...


class SqliteFile:
    name = "sqlite"
    can = frozenset({REOPENED, EXCLUSIVE, FILE})

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, place: str = "main") -> Path:
        return self.folder / f"{place}.db"

    async def open(self, clock: Clock, *, place: str = "main") -> Store:
        return await open_sqlite(self.path(place), clock=clock)


class SqliteMemory:
    name = "sqlite-memory"
    can: frozenset[str] = frozenset()

    async def open(self, clock: Clock, *, place: str = "main") -> Store:
        return await open_sqlite(None, clock=clock)


class Double:
    """What simulations use in place of an engine: a small double that keeps the contract, too."""

    name = "double"
    can = frozenset({REOPENED, EXCLUSIVE})

    def __init__(self) -> None:
        self._disks: dict[str, MemoryDisk] = {}

    def path(self, place: str = "main") -> str:
        return f"memory:{place}"

    async def open(self, clock: Clock, *, place: str = "main") -> Store:
        return MemoryStore(self._disks.setdefault(place, MemoryDisk(self.path(place))), clock=clock)
