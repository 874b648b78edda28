"""Time, chance, identity and sealing: what pure code is given instead of looking it up."""

from typing import Protocol

from novitai.domain.secrets import Sealed


class Clock(Protocol):
    """The time, and waiting for it."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that long (at once for 0 or less)."""
        ...


class Ids(Protocol):
    """Fresh identifiers and chance."""

    def new(self, prefix: str) -> str:
        """A fresh id `<prefix>_<26 characters>`; later ids of one process sort after earlier ones."""
        ...

    def random(self) -> float:
        """Evenly spread in [0, 1), for jitter."""
        ...


class Sealer(Protocol):
    """Encryption of single values at rest."""

    def seal(self, plaintext: str) -> Sealed:
        """Encrypt; the result may be stored and listed."""
        ...

    def open(self, sealed: Sealed) -> str:
        """Decrypt. Raises ValueError when it was sealed with another key or changed."""
        ...
