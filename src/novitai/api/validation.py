"""Broken rules as people read them: which field, under the name it has outside, and what would be allowed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError

from novitai.domain.errors import Code, FieldProblem, Refusal

MOST_PROBLEMS = 100
"""More mistakes than that are not told one by one: an answer must not be many times as large as its request."""
LONGEST_PATH = 500

_PLACES = {"body", "query", "path", "header"}


def refusal_of(broken: RequestValidationError) -> Refusal:
    """The refusal for what FastAPI found."""
    problems = problems_of(broken.errors())
    message = "; ".join(f"{problem.field}: {problem.message}" for problem in problems[:5])
    return Refusal(Code.VALIDATION_ERROR, message, fields=problems)


def problems_of(errors: Iterable[Mapping[str, Any]]) -> list[FieldProblem]:
    """Each field once with the first thing that is wrong with it, as pydantic tells errors."""
    found: dict[str, FieldProblem] = {}
    for error in errors:
        path = field_path(error["loc"])
        found.setdefault(path[:LONGEST_PATH], FieldProblem(path[:LONGEST_PATH], _sentence(error)))
        if len(found) == MOST_PROBLEMS:
            break
    return list(found.values())


def field_path(location: Sequence[str | int]) -> str:
    """`healthCheck.timeoutMs`, `ports[0].port`; `body` for the whole of it."""
    path = ""
    for part in location[1:] if location and location[0] in _PLACES else location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else str(part)
    return path or str(location[0] if location else "body")


def _sentence(error: Mapping[str, Any]) -> str:
    kind = error["type"]
    if kind == "extra_forbidden":
        return "is not a known field"
    if kind == "missing":
        return "is required"
    return str(error["msg"]).removeprefix("Value error, ")
