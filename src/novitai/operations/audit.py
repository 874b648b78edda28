"""The audit log: an entry for the commit of each change, pages of it, and the walk along its chain of seals."""

import secrets
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from novitai.domain.audit import AuditEntry, Break, ChainReport, Seal
from novitai.domain.secrets import Sealed
from novitai.operations import records
from novitai.operations.requests import Context
from novitai.policies import chain
from novitai.policies.chain import Kept
from novitai.ports.store import Append, Commit, Conflict, Put, Store
from novitai.ports.world import Clock, Sealer

KEEP_SECONDS = 365 * 86_400.0
PAGE = 500
KEY_RECORD = "audit_key"
"""Where the key of the seals is kept, sealed with the secrets key."""


def entry(
    context: Context,
    action: str,
    *,
    target: str,
    entry_id: str,
    at: float,
    by: str | None = None,
    detail: dict[str, Any] | None = None,
) -> Append:
    """What is to be written in the same commit as the change. `action` is a noun and a verb, such as `instance.stop`; `by` is who acts,
    when that is not the caller.
    """
    return records.append_audit(
        AuditEntry(
            id=entry_id,
            at=at,
            by=by or context.actor.by,
            action=action,
            target=target,
            detail=detail or {},
            request_id=context.request_id,
            correlation_id=context.correlation_id,
            address=context.address,
        )
    )


def put_key(box: Sealed, *, expect: int) -> Put:
    """The key of the seals as a document."""
    return Put(kind=records.META, id=KEY_RECORD, body=msgspec.json.encode(box), expect=expect)


class Audit:
    """Reads the log and its seals."""

    def __init__(self, *, store: Store, clock: Clock, sealer: Sealer) -> None:
        self._store = store
        self._clock = clock
        self._sealer = sealer

    async def page(self, *, key: str, before: int | None, limit: int) -> tuple[tuple[AuditEntry, ...], int, int | None]:
        """Entries under a key of the log, newest first, how many there are, and the position to go on from."""
        page = await self._store.read_log(records.AUDIT, key, after=before, limit=limit, descending=True)
        entries = tuple(records.read_audit(entry.body) for entry in page.entries)
        return entries, await self._store.count_log(records.AUDIT, key), page.next_position

    async def last_seal(self) -> Seal | None:
        """The newest link of the chain."""
        page = await self._store.list(records.SEALS, "all", limit=1, descending=True)
        return records.read_seal(page.records[0]) if page.records else None

    async def entries_after(self, position: int, *, limit: int = PAGE) -> tuple[Kept, ...]:
        """Entries beyond a position, oldest first."""
        page = await self._store.read_log(records.AUDIT, "all", after=position, limit=limit)
        return tuple(Kept(entry.position, entry.id, entry.at, entry.body) for entry in page.entries)

    async def key(self) -> bytes:
        """The key of the seals, made once with the store and kept sealed in it. Raises ValueError when it cannot be opened."""
        while True:
            record = await self._store.get(records.META, KEY_RECORD)
            if record is not None:
                return bytes.fromhex(self._sealer.open(msgspec.json.decode(record.body, type=Sealed)))
            box = self._sealer.seal(secrets.token_hex(32))
            try:
                await self._store.commit(Commit(puts=(put_key(box, expect=0),)))
            except Conflict:
                continue  # another replica was first

    async def verify(self) -> ChainReport:
        """Walk along the whole chain and say where it does not hold. Log and seals are read once, side by side, in pages."""
        try:
            key = await self.key()
        except (ValueError, msgspec.MsgspecError) as error:
            unreadable = Break(0, f"the key of the seals cannot be opened, so nothing can be verified: {error}")
            return ChainReport(seals=0, entries=0, unsealed=0, trimmed=0, head="", breaks=(unreadable,))
        last: Seal | None = None
        breaks: list[Break] = []
        seals = entries = trimmed = 0
        log = _Walk(self)
        async for seal in self._seals():
            if isinstance(seal, Break):
                breaks.append(seal)
                continue
            found = await log.under(seal)
            # Judged after the reading: what was forgotten before it is older than this.
            old = seal.first_at < self._clock.now() - KEEP_SECONDS
            breaks += chain.breaks(seal, found, last=last, key=key, trimmed=old)
            seals, entries, trimmed, last = seals + 1, entries + len(found), trimmed + old, seal
        return ChainReport(
            seals=seals,
            entries=entries,
            unsealed=await log.rest(),
            trimmed=trimmed,
            head=last.mac if last is not None else "",
            breaks=tuple(breaks),
        )

    async def _seals(self) -> AsyncIterator[Seal | Break]:
        """Every seal, oldest first; a break for one that is no seal any more."""
        cursor: str | None = None
        while True:
            page = await self._store.list(records.SEALS, "all", cursor=cursor, limit=PAGE)
            for record in page.records:
                try:
                    yield records.read_seal(record)
                except msgspec.MsgspecError:
                    yield Break(int(record.id) if record.id.isdecimal() else 0, "the seal cannot be read")
            cursor = page.next_cursor
            if cursor is None:
                return


class _Walk:
    """The log read from its beginning, page by page, handed out seal by seal."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self._ahead: deque[Kept] = deque()
        self._position = 0

    async def under(self, seal: Seal) -> list[Kept]:
        """The entries that stand where a seal says its own do, as far as no earlier seal had them."""
        found: list[Kept] = []
        while await self._more() and self._ahead[0].position <= seal.upto:
            entry = self._ahead.popleft()
            if entry.position > seal.after:
                found.append(entry)
        return found

    async def rest(self) -> int:
        """How many entries are left."""
        count = 0
        while await self._more():
            count += len(self._ahead)
            self._ahead.clear()
        return count

    async def _more(self) -> bool:
        if not self._ahead:
            self._ahead.extend(await self._audit.entries_after(self._position))
            self._position = self._ahead[-1].position if self._ahead else self._position
        return bool(self._ahead)
