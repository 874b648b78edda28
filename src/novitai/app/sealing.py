"""The keys for what is encrypted at rest, and whether they are the right ones: a store remembers a box that was sealed at its
first start. With other keys nothing in it could be opened, which is better said at the start than when a machine is to be
bought.
"""

from contextlib import suppress

import msgspec
import structlog

from novitai.config import Settings
from novitai.domain.secrets import Sealed
from novitai.operations import records
from novitai.ports.store import Commit, Conflict, Put, Store
from novitai.ports.world import Sealer
from novitai.stores.crypto import Keyring
from novitai.stores.key_file import KEY_FILE, load_or_make_keys, new_key, others_who_read

log = structlog.get_logger("novitai")

RECORD = "sealing"
PROBE = "novitai"


def keyring_of(settings: Settings) -> Keyring:
    """The configured keys, else those in the data directory, one made when there is none. Raises ValueError for a file
    that does not hold keys or, in production, that everybody can read; OSError when it cannot be read or made.
    """
    configured = settings.store.sealing_keys()
    if configured:
        return Keyring(configured)
    if settings.store.database is None:
        return Keyring([new_key()])  # what it seals is forgotten with the store
    keys = load_or_make_keys(settings.store.data_dir)
    _judge_readers(settings)
    return Keyring(keys)


def _judge_readers(settings: Settings) -> None:
    """A group is warned about only: orchestrators that mount a volume for a group of their own give it every file."""
    path = settings.store.data_dir / KEY_FILE
    readers = others_who_read(path)
    if readers is None:
        return
    told = f"{path} can be read by {readers}: chmod 600 it, and if somebody may have read it, `novitai secrets rotate`"
    if readers == "everybody" and settings.server.production:
        raise ValueError(told)
    log.warning("key_file_open", what=told)


async def check_key(store: Store, sealer: Sealer) -> None:
    """Raises ValueError when the store was sealed with another key."""
    record = await store.get(records.META, RECORD)
    while record is None:
        with suppress(Conflict):  # another replica was first
            await store.commit(Commit(puts=(put_probe(sealer.seal(PROBE), expect=0),)))
        record = await store.get(records.META, RECORD)
    try:
        sealer.open(msgspec.json.decode(record.body, type=Sealed))
    except ValueError as error:
        raise ValueError(
            f"this is not the key that the store was sealed with ({error}): give the right one in NOVITAI_SECRETS_KEY, or"
            " put secrets.key back into the data directory"
        ) from error


def put_probe(box: Sealed, *, expect: int) -> Put:
    """The box by which the right key is known, as a document."""
    return Put(kind=records.META, id=RECORD, body=msgspec.json.encode(box), expect=expect)
