"""Who we are: the installation's four characters, made once with the store and kept in it. They stand in every
machine's name.
"""

import msgspec

from novitai.operations import records
from novitai.ports.store import Commit, Conflict, Put, Store
from novitai.ports.world import Ids

RECORD = "installation"


async def installation_id(store: Store, ids: Ids, configured: str | None) -> str:
    """The configured id, else the stored one, else a fresh one that is stored now."""
    if configured is not None:
        return configured
    while True:
        record = await store.get(records.META, RECORD)
        if record is not None:
            return msgspec.json.decode(record.body, type=str)
        fresh = ids.new("x")[-4:]
        try:
            await store.commit(
                Commit(puts=(Put(kind=records.META, id=RECORD, body=msgspec.json.encode(fresh), expect=0),))
            )
        except Conflict:
            continue
        return fresh
