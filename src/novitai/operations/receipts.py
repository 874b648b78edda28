"""Idempotent requests: the stored answer to a key, committed with the change it answers for.

Scope of a key: its owner, the method, the path and the key itself; the body counts by hash. The same request again gets
the stored answer; another body under the same key is refused; a request still being decided in this process is refused
as under way.
"""

import hashlib

import msgspec

from novitai.domain.errors import Code, Refusal
from novitai.operations import records
from novitai.ports.store import Commit, Conflict, Put, Store
from novitai.ports.world import Clock

KEEP_SECONDS = 86_400.0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A stored answer: HTTP status and the exact bytes of its JSON body."""

    status: int
    body: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept for a key."""

    body_hash: str
    answer: Answer
    at: float


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A key whose request is being decided; `put` makes the document to commit with the change."""

    id: str
    body_hash: str

    def put(self, answer: Answer, *, now: float) -> Put:
        receipt = Receipt(body_hash=self.body_hash, answer=answer, at=now)
        return Put(
            kind=records.RECEIPT,
            id=self.id,
            body=msgspec.json.encode(receipt),
            expect=0,
            expires_at=now + KEEP_SECONDS,
        )


class Receipts:
    """Looks keys up and keeps answers."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._deciding: set[str] = set()

    async def begin(self, *, owner: str, method: str, path: str, key: str, body: bytes) -> Draft | Answer:
        """The stored answer, or a draft to decide under; the draft must be given back with `end`.

        Raises Refusal IDEMPOTENCY_KEY_REUSED for another body and OPERATION_IN_PROGRESS while the same request is being
        decided.
        """
        scope = hashlib.sha256(f"{owner}\n{method}\n{path}\n{key}".encode()).hexdigest()
        body_hash = hashlib.sha256(body).hexdigest()
        if scope in self._deciding:
            # It may be stored already: whoever decided waits for Novita, or somebody else is only reading the stored answer.
            kept = await self._find(scope, body_hash)
            if kept is not None:
                return kept
            raise Refusal(
                Code.OPERATION_IN_PROGRESS,
                "a request with this Idempotency-Key is still being decided",
                retry_after=1.0,
            )
        self._deciding.add(scope)
        try:
            found = await self._find(scope, body_hash)
        except BaseException:
            self._deciding.discard(scope)
            raise
        if found is not None:
            self._deciding.discard(scope)
            return found
        return Draft(id=scope, body_hash=body_hash)

    def end(self, draft: Draft) -> None:
        """The request has been answered."""
        self._deciding.discard(draft.id)

    async def keep(self, draft: Draft, answer: Answer) -> None:
        """Keep the answer of a request that changed nothing but was refused by the state of the world."""
        try:
            await self._store.commit(Commit(puts=(draft.put(answer, now=self._clock.now()),)))
        except Conflict:
            return  # another replica kept its answer to the same request first

    async def kept(self, draft: Draft) -> Answer | None:
        """The answer that another replica kept meanwhile."""
        return await self._find(draft.id, draft.body_hash)

    async def _find(self, scope: str, body_hash: str) -> Answer | None:
        record = await self._store.get(records.RECEIPT, scope)
        if record is None:
            return None
        receipt = msgspec.json.decode(record.body, type=Receipt)
        if receipt.body_hash != body_hash:
            raise Refusal(
                Code.IDEMPOTENCY_KEY_REUSED,
                "this Idempotency-Key was used with another body; use a new key for a new request",
            )
        return receipt.answer
