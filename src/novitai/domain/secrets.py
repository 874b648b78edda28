"""Values that must not be read by accident: they are encrypted before they reach a record and opened only where they
are used.
"""

import msgspec


class Sealed(msgspec.Struct, frozen=True):
    """An encrypted value (`box` is ciphertext in text form). Its printed form shows nothing."""

    box: str

    def __repr__(self) -> str:
        return "Sealed(***)"

    __str__ = __repr__
