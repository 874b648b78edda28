"""The key for what is encrypted at rest, and whether it is the right one: a store remembers a box that was sealed at its
first start. With another key nothing in it could be opened, which is better said at the start than when a machine is to be
bought.
"""

import secrets
from contextlib import suppress

import msgspec

from novitai.config import Settings
from novitai.domain.secrets import Sealed
from novitai.ports.store import Commit, Conflict, Put, Store
from novitai.ports.world import Sealer
from novitai.stores.crypto import KEY_BYTES, KeySealer, load_or_make_key

KIND, RECORD = "meta", "sealing"
PROBE = "novitai"


def sealer_of(settings: Settings) -> KeySealer:
    """The configured key, else the one in the data directory, made when there is none. Raises ValueError for a file that
    is not a key, OSError when it cannot be read or made.
    """
    configured = settings.store.secrets_key_bytes()
    if configured is not None:
        return KeySealer(configured)
    if settings.store.database is None:
        return KeySealer(secrets.token_bytes(KEY_BYTES))  # what it seals is forgotten with the store
    return KeySealer(load_or_make_key(settings.store.data_dir))


async def check_key(store: Store, sealer: Sealer) -> None:
    """Raises ValueError when the store was sealed with another key."""
    record = await store.get(KIND, RECORD)
    while record is None:
        body = msgspec.json.encode(sealer.seal(PROBE))
        with suppress(Conflict):  # another replica was first
            await store.commit(Commit(puts=(Put(kind=KIND, id=RECORD, body=body, expect=0),)))
        record = await store.get(KIND, RECORD)
    try:
        sealer.open(msgspec.json.decode(record.body, type=Sealed))
    except ValueError as error:
        raise ValueError(
            f"this is not the key that the store was sealed with ({error}): give the right one in NOVITAI_SECRETS_KEY, or"
            " put secrets.key back into the data directory"
        ) from error
