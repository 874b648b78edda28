"""Sealing single values with AES-256-GCM (ports.world.Sealer).

A box is text: `v1.<key id>.<nonce and ciphertext, base64>`. The key id (the beginning of the key's SHA-256) tells a box of another key from
a damaged one. The key comes from the settings, or from a file beside the store that is made at first start; whoever loses it loses what
was sealed, and nothing else.
"""

import base64
import binascii
import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from novitai.domain.secrets import Sealed

KEY_BYTES = 32
KEY_FILE = "secrets.key"
_FORMAT = "v1"
_NONCE_BYTES = 12


class KeySealer:
    """Seals with one key of 32 bytes. Raises ValueError for a key of another length."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a sealing key has {KEY_BYTES} bytes, not {len(key)}")
        self._cipher = AESGCM(key)
        self._key_id = hashlib.sha256(key).hexdigest()[:8]

    def seal(self, plaintext: str) -> Sealed:
        """Encrypt; equal texts give different boxes."""
        nonce = os.urandom(_NONCE_BYTES)
        content = nonce + self._cipher.encrypt(nonce, plaintext.encode(), self._key_id.encode())
        return Sealed(f"{_FORMAT}.{self._key_id}.{base64.urlsafe_b64encode(content).decode()}")

    def open(self, sealed: Sealed) -> str:
        """Decrypt. Raises ValueError when it was sealed with another key or changed."""
        version, _, rest = sealed.box.partition(".")
        key_id, _, text = rest.partition(".")
        if version != _FORMAT:
            raise ValueError("not a sealed value")
        if key_id != self._key_id:
            raise ValueError(f"sealed with key {key_id}, but this is key {self._key_id}")
        try:
            content = base64.b64decode(text, altchars=b"-_", validate=True)
            nonce, ciphertext = content[:_NONCE_BYTES], content[_NONCE_BYTES:]
            return self._cipher.decrypt(nonce, ciphertext, self._key_id.encode()).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise ValueError("the sealed value was changed") from error


def load_or_make_key(data_dir: Path) -> bytes:
    """The key in the data directory, made with mode 0600 when there is none. Raises ValueError for a file that is not a key."""
    path = data_dir / KEY_FILE
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _make_key(path)
    try:
        key = base64.b64decode(path.read_text().strip(), validate=True)
    except ValueError as error:
        raise ValueError(f"{path} does not hold a key") from error
    if len(key) != KEY_BYTES:
        raise ValueError(f"{path} does not hold a key of {KEY_BYTES} bytes")
    return key


def _make_key(path: Path) -> None:
    """Durable before its first use, and whole or absent: a key half written would lock away what it sealed."""
    # Not by the process id, which is the same at each start of a container: what a start cut short left must not block the next.
    draft = path.with_name(f"{path.name}.{os.urandom(8).hex()}.new")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "wb") as opened:
        opened.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
        opened.flush()
        os.fsync(opened.fileno())
    try:
        os.link(draft, path)  # unlike a rename, never replaces a key that another process made meanwhile
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
