"""`Idempotency-Key`: the same request gets the stored answer, whatever came of it (api.md 7.2).

Kept: what was committed, and what the state of the world refused before acceptance (402, and 409 unless it says to try
again). Not kept: what only the request decides, and what failed on our side. For most changes the operation commits the
receipt together with the change; where it cannot (keys, caches, jobs, last use) the answer is kept just after, so a crash
in between lets a repeat do the same once more.
"""

import re
from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from novitai.api.parts import ApiParts
from novitai.api.problems import Problem, problem_of
from novitai.api.visits import Visit
from novitai.domain.errors import Code, Refusal, invalid
from novitai.domain.times import iso
from novitai.operations.receipts import Answer, Draft
from novitai.ports.store import StoreError, StoreUnavailable

HEADER = "idempotency-key"
REPLAYED = "Idempotency-Replayed"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_STATUSES = frozenset({402, 409})


async def under_receipt(
    parts: ApiParts,
    visit: Visit,
    request: Request,
    body: bytes,
    *,
    committed_by_operation: bool,
    run: Callable[[], Awaitable[Response]],
) -> Response:
    """Answer a change, once for each key. Raises what `run` raises."""
    key = request.headers.get(HEADER)
    if key is None or visit.actor is None:
        return await run()
    if not _KEY.fullmatch(key):
        raise invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
    begun = await parts.receipts.begin(
        owner=visit.actor.owner, method=request.method, path=request.scope["path"], key=key, body=body
    )
    if isinstance(begun, Answer):
        return replay(begun)
    visit.draft = begun
    try:
        return await _decide(parts, visit, begun, committed_by_operation=committed_by_operation, run=run)
    finally:
        parts.receipts.end(begun)


async def _decide(
    parts: ApiParts,
    visit: Visit,
    draft: Draft,
    *,
    committed_by_operation: bool,
    run: Callable[[], Awaitable[Response]],
) -> Response:
    try:
        response = await run()
    except (Refusal, StoreError) as failure:
        problem = problem_of(failure)
        if problem.refusal.code is Code.CONFLICT and not isinstance(failure, StoreUnavailable):
            elsewhere = await parts.receipts.kept(draft)
            if elsewhere is not None:
                return replay(elsewhere)
        if worth_keeping(problem):
            await parts.receipts.keep(draft, _answer_of(problem, parts, visit))
        raise
    if not committed_by_operation and response.status_code < 400:
        kept = _keepable(response, without=visit.shown_once)
        await parts.receipts.keep(draft, Answer(status=response.status_code, body=kept))
    return response


def worth_keeping(problem: Problem) -> bool:
    """Whether a refusal is an answer for good: the state of the world said no, and did not say to try again soon."""
    return problem.status in _KEPT_STATUSES and problem.refusal.retry_after is None


def replay(answer: Answer) -> Response:
    """The stored answer."""
    response = Response(answer.body, status_code=answer.status, media_type="application/json")
    response.headers[REPLAYED] = "true"
    return response


def _answer_of(problem: Problem, parts: ApiParts, visit: Visit) -> Answer:
    body = problem.body(at=iso(parts.clock.now()), request_id=visit.request_id, correlation_id=visit.correlation_id)
    return Answer(status=problem.status, body=body.decode())


def _keepable(response: Response, *, without: str) -> str:
    """The body without what is shown only once: a new key's text is null when the answer is replayed."""
    text = bytes(response.body).decode()
    if not without:
        return text
    return msgspec.json.encode(msgspec.json.decode(text) | {without: None}).decode()
