"""From the bytes of an answer to a value or an exception. Pure: the same answer always reads the same."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from novitai_client._calls import Call
from novitai_client._retries import retry_after_seconds
from novitai_client.errors import NovitaiError, Problem, ServerAway, UnexpectedAnswer, api_error
from novitai_client.models import Shape

T = TypeVar("T")

# A proxy answers these in its own words when the server behind it is down.
_AWAY = frozenset({502, 503, 504})


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as it came. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Paged(Shape, frozen=True, kw_only=True):
    """A page of a list; `next_cursor` asks for the next one, None on the last."""

    next_cursor: str | None = None


class _ErrorBody(msgspec.Struct):
    error: Problem


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is an error: what to raise, its code, and when to ask again (seconds)."""

    error: NovitaiError
    code: str | None = None
    retry_after: float | None = None


def read(answer: Answer, shape: type[T]) -> T:
    """The answer's value. Raises UnexpectedAnswer when it is not of that shape, ServerAway when a proxy wrote it."""
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _stranger(answer, f"the answer could not be read: {error}") from error


def failure(answer: Answer, call: Call) -> Failure:
    """What an answer other than 2xx means."""
    after = retry_after_seconds(answer.headers.get("retry-after"), date=answer.headers.get("date"))
    problem = _problem(answer)
    if problem is None:
        why = f"status {answer.status} without an error this client knows; is this a Novitai server?"
        return Failure(error=_stranger(answer, why, key=call.key), retry_after=after)
    after = problem.retry_after if after is None else after
    problem = msgspec.structs.replace(problem, retry_after=after)
    error = api_error(answer.status, problem)
    if isinstance(error, ServerAway):
        error.idempotency_key = call.key
    return Failure(error=error, code=problem.code, retry_after=after)


def _problem(answer: Answer) -> Problem | None:
    try:
        return msgspec.json.decode(answer.body, type=_ErrorBody).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _stranger(answer: Answer, why: str, *, key: str | None = None) -> NovitaiError:
    """What an answer means that is not in this API's words."""
    if answer.status in _AWAY:
        message = f"the server is away: something in front of it answered {answer.status}"
        return ServerAway(message, idempotency_key=key)
    return UnexpectedAnswer(why, status=answer.status, body=answer.body)
