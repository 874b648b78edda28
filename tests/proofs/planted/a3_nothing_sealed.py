"""Boxes that are glass: what is to be sealed is kept as it is.

It is what a store without encryption does. It stands in for sealing and opening of `KeySealer`. Run as a program it forks servers with the
bug.
"""

from novitai.domain.secrets import Sealed
from novitai.stores.crypto import KeySealer
from support import forking

BUG = "secrets kept as they are"


def _seal(self: KeySealer, plaintext: str) -> Sealed:
    return Sealed(f"v1.{self.key_id}.{plaintext}")


def _open(_self: KeySealer, sealed: Sealed) -> str:
    return sealed.box.split(".", 2)[2]


if __name__ == "__main__":
    KeySealer.seal = _seal  # type: ignore[method-assign]
    KeySealer.open = _open  # type: ignore[method-assign]
    forking.main()
