"""Seals the audit log: every second in which something was written down, the new entries become one link of the chain (or a few, when
there are very many).
"""

import structlog

from novitai.operations import records
from novitai.operations.audit import PAGE, Audit
from novitai.policies import chain
from novitai.ports.store import Commit, Lease, Store
from novitai.ports.world import Clock

SEAL_SECONDS = 1.0
LOOK_SECONDS = 60.0
"""Without a nudge: what another replica wrote down, or this one just before it ended."""

log = structlog.get_logger("novitai.audit")


class AuditSealer:
    """Work of the loop `audit`."""

    def __init__(self, *, audit: Audit, store: Store, clock: Clock) -> None:
        self._audit = audit
        self._store = store
        self._clock = clock
        self._key: bytes | None = None
        self._earliest = 0.0

    async def run(self, lease: Lease) -> float:
        """Seal what is new; gives the seconds until the next look."""
        now = self._clock.now()
        if 0.0 < self._earliest - now <= SEAL_SECONDS:  # further ahead: the clock was set back
            return self._earliest - now
        if self._key is None:
            self._key = await self._audit.key()
        last = await self._audit.last_seal()
        full = True
        while full and (entries := await self._audit.entries_after(last.upto if last is not None else 0)):
            full = len(entries) == PAGE  # what came since then waits for its second
            last = chain.sealed(entries, last=last, key=self._key)
            await self._store.commit(Commit(puts=(records.put_seal(last),), lease=lease))
            # Whoever keeps this line elsewhere can tell a chain that was cut off at its end from a whole one.
            log.info("audit_sealed", seal=last.number, entries=last.count, head=last.mac)
        self._earliest = self._clock.now() + SEAL_SECONDS
        return LOOK_SECONDS
