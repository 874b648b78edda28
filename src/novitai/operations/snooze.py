"""The link in an announcement, by which anybody who gets it can postpone what was announced: once, and without a key.

A token names one announcement and is signed with a key derived from that of the audit log, which lies sealed in the store. It
is worth something as long as its announcement stands: not after it was used, nor after the instance was used or stopped.
"""

import hashlib
import hmac

import msgspec

from novitai.domain.idle import Warned
from novitai.domain.ids import InstanceId
from novitai.domain.keys import Actor, Scope
from novitai.operations import records
from novitai.operations.audit import Audit
from novitai.operations.idle import Idleness
from novitai.operations.ledger import Ledger
from novitai.operations.optimism import until_committed
from novitai.operations.reads import ReadModel
from novitai.operations.requests import Context
from novitai.ports.store import Commit, Conflict

WHO = "link"
"""The word for who postponed, in the audit log: whoever had the link."""
_PURPOSE = b"links that postpone an idle stop"


class LinkRefused(Exception):
    """The link does nothing. `spent`: it is genuine, but its time is over."""

    def __init__(self, why: str, *, spent: bool) -> None:
        super().__init__(why)
        self.why = why
        self.spent = spent


class Snooze:
    """Makes links and follows them. `public_url` empty: links are paths."""

    def __init__(self, *, ledger: Ledger, reads: ReadModel, idleness: Idleness, audit: Audit, public_url: str) -> None:
        self._ledger = ledger
        self._reads = reads
        self._idleness = idleness
        self._audit = audit
        self._public_url = public_url
        self._key: bytes | None = None

    async def link(self, instance_id: InstanceId, warned_id: str) -> str:
        """Where to go to postpone this announcement."""
        token = f"{warned_id}.{await self._signature(instance_id, warned_id)}"
        return f"{self._public_url}/api/instances/{instance_id}/snooze?token={token}"

    async def announced(self, instance_id: str, token: str) -> Warned:
        """The announcement that a token belongs to. Raises LinkRefused."""
        warned_id, _, signature = token.rpartition(".")
        expected = await self._signature(instance_id, warned_id)
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode()):
            raise LinkRefused("This link was not made by this server.", spent=False)
        memory, _ = self._idleness.memory(instance_id)
        snapshot = self._reads.get(instance_id)
        if snapshot is None or memory.warned is None or memory.warned.id != warned_id:
            raise LinkRefused("This link was used before, or something newer has been announced.", spent=True)
        if self._idleness.judge(snapshot).verdict.warned is None:
            raise LinkRefused(
                "There is nothing to postpone: the instance was used meanwhile, or is stopped.", spent=True
            )
        return memory.warned

    async def postpone(self, instance_id: str, token: str, context: Context) -> float:
        """Count this moment like a use; gives when the deed is due now, if nobody uses the instance. Raises LinkRefused."""

        async def decide() -> float:
            warned = await self.announced(instance_id, token)
            now = self._ledger.clock.now()
            memory, version = self._idleness.memory(instance_id)
            totals, expect = await self._idleness.totals()
            later = msgspec.structs.replace(memory, warned=None, postponed_at=now)
            more = msgspec.structs.replace(totals, postponed=totals.postponed + 1)
            noted = self._ledger.note(context, "instance.snooze", target=instance_id, what=str(warned.deed))
            puts = (records.put_idle(later, expect=version), records.put_idle_totals(more, expect=expect))
            try:
                await self._ledger.store.commit(Commit(puts=puts, appends=(noted,)))
            except Conflict:
                await self._idleness.load()
                raise
            snapshot = self._reads.get(instance_id)
            verdict = self._idleness.judge(snapshot).verdict if snapshot is not None else None
            return verdict.acts_at if verdict is not None and verdict.acts_at is not None else now

        return await until_committed(decide, subject=f"instance {instance_id}")

    async def _signature(self, instance_id: str, warned_id: str) -> str:
        if self._key is None:
            self._key = hmac.digest(await self._audit.key(), _PURPOSE, hashlib.sha256)
        told = f"{instance_id}\n{warned_id}".encode("utf-8", "replace")
        return hmac.digest(self._key, told, hashlib.sha256).hex()


def bearer_of_the_link(*, correlation_id: str, request_id: str, address: str) -> Context:
    """Who follows a link, for the audit log."""
    actor = Actor(owner=WHO, scope=Scope.WRITE, policy=WHO)
    return Context(actor=actor, correlation_id=correlation_id, request_id=request_id, address=address)
