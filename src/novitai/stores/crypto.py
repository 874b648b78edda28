"""Sealing single values with AES-256-GCM (ports.world.Sealer).

A box is text: `v1.<key id>.<nonce and ciphertext, base64>`. The key id (the beginning of the key's SHA-256) tells a box of another key from
a damaged one, and lets a ring of several keys find the right one: the first key seals, all of them open. So a new key can come into use
while boxes of the old one are still about. Where keys are kept is `key_file.py`'s business; whoever loses them loses what was sealed, and
nothing else.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from novitai.domain.secrets import Sealed

KEY_BYTES = 32
_FORMAT = "v1"
_NONCE_BYTES = 12


class KeySealer:
    """Seals with one key of 32 bytes. Raises ValueError for a key of another length."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a sealing key has {KEY_BYTES} bytes, not {len(key)}")
        self._cipher = AESGCM(key)
        self.key_id = hashlib.sha256(key).hexdigest()[:8]

    def seal(self, plaintext: str) -> Sealed:
        """Encrypt; equal texts give different boxes."""
        nonce = os.urandom(_NONCE_BYTES)
        content = nonce + self._cipher.encrypt(nonce, plaintext.encode(), self.key_id.encode())
        return Sealed(f"{_FORMAT}.{self.key_id}.{base64.urlsafe_b64encode(content).decode()}")

    def open(self, sealed: Sealed) -> str:
        """Decrypt. Raises ValueError when it was sealed with another key or changed."""
        version, _, rest = sealed.box.partition(".")
        key_id, _, text = rest.partition(".")
        if version != _FORMAT:
            raise ValueError("not a sealed value")
        if key_id != self.key_id:
            raise ValueError(f"sealed with key {key_id}, but this is key {self.key_id}")
        try:
            content = base64.b64decode(text, altchars=b"-_", validate=True)
            nonce, ciphertext = content[:_NONCE_BYTES], content[_NONCE_BYTES:]
            return self._cipher.decrypt(nonce, ciphertext, self.key_id.encode()).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise ValueError("the sealed value was changed") from error


class Keyring:
    """Several keys: the first seals, all open. Raises ValueError for none at all, or one of another length."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ValueError("a keyring has at least one key")
        self._sealers = [KeySealer(key) for key in keys]
        self._first = self._sealers[0]
        self._by_id = {sealer.key_id: sealer for sealer in self._sealers}

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Which keys these are, the sealing one first; tells nothing of the keys themselves."""
        return tuple(sealer.key_id for sealer in self._sealers)

    def seal(self, plaintext: str) -> Sealed:
        """Encrypt with the first key."""
        return self._first.seal(plaintext)

    def open(self, sealed: Sealed) -> str:
        """Decrypt. Raises ValueError when it was sealed with a key that is not here, or changed."""
        return self._by_id.get(key_id_of(sealed), self._first).open(sealed)

    def resealed(self, sealed: Sealed) -> Sealed:
        """The same text in a box of the first key; the very box when it is one. Raises ValueError as `open`."""
        text = self.open(sealed)
        return sealed if key_id_of(sealed) == self._first.key_id else self.seal(text)


def key_id_of(sealed: Sealed) -> str:
    """Which key a box was sealed with; a text that is no box gives one that no key has."""
    _, _, rest = sealed.box.partition(".")
    return rest.partition(".")[0]
