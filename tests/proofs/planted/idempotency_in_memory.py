"""Idempotency keys remembered in memory only, as a cache beside the handler would: whoever asks again after a restart is served anew.

It stands in for `Draft.put`, which keeps the answer where nobody looks for it, and for `Receipts._find`. Run as a program it forks servers with the bug.
"""

import msgspec

from novitai.operations.receipts import Answer, Draft, Receipts
from novitai.ports.store import Put
from support import forking

BUG = "idempotency keys remembered in memory only"
_answers: dict[str, Answer] = {}
_real = Draft.put


def _put(self: Draft, answer: Answer, *, now: float) -> Put:
    _answers[self.id] = answer
    return _real(msgspec.structs.replace(self, id=f"{self.id}-{len(_answers)}-{now}"), answer, now=now)


async def _find(_self: Receipts, scope: str, _body_hash: str) -> Answer | None:
    return _answers.get(scope)


if __name__ == "__main__":
    Draft.put = _put  # type: ignore[method-assign]
    Receipts._find = _find  # type: ignore[method-assign]
    forking.main()
