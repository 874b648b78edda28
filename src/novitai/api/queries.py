"""Query strings: which names a route knows, and reading them into its model for the routes that FastAPI does not read."""

from functools import lru_cache
from typing import Any, TypeVar, get_origin
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from novitai.api.validation import problems_of
from novitai.domain.errors import Code, FieldProblem, Refusal

Q = TypeVar("Q", bound=BaseModel)
MOST_NAMES = 100


def parameters(query: type[BaseModel] | None) -> tuple[frozenset[str], frozenset[str]]:
    """The names that a query may have, and those that may be repeated."""
    if query is None:
        return frozenset(), frozenset()
    fields = query.model_fields
    names = {field.alias or name for name, field in fields.items()}
    repeatable = {field.alias or name for name, field in fields.items() if get_origin(field.annotation) is list}
    return frozenset(names), frozenset(repeatable)


def check_names(query_string: bytes, names: frozenset[str], repeatable: frozenset[str]) -> None:
    """Raises Refusal for a name that is not known, with those that are, and for one that is given twice without meaning."""
    if not query_string:
        return
    seen: set[str] = set()
    for name, value in pairs(query_string):
        if name not in names:
            allowed = ", ".join(sorted(names)) or "none"
            raise _refused(FieldProblem(_printable(name), f"is not a known parameter; allowed: {allowed}"))
        if name in seen and name not in repeatable:
            raise _refused(FieldProblem(name, "is given twice"))
        if "\0" in value:
            raise _refused(FieldProblem(name, "holds a NUL character"))
        seen.add(name)


def read_query(query: type[Q], query_string: bytes) -> Q:
    """The query of a plain route, whose names were checked before. Raises Refusal for a wrong value."""
    return _read(query, query_string)  # type: ignore[return-value]  # the cache forgets the type


@lru_cache(maxsize=1024)
def _read(query: type[BaseModel], query_string: bytes) -> BaseModel:
    repeatable = parameters(query)[1]
    values: dict[str, Any] = {}
    for name, value in pairs(query_string):
        if name in repeatable:
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    try:
        return query.model_validate(values)
    except ValidationError as broken:
        raise _refused(*problems_of(broken.errors(include_url=False, include_input=False))) from None


def pairs(query_string: bytes) -> list[tuple[str, str]]:
    """Names and values in order. Raises Refusal when there are too many to be meant."""
    try:
        return parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_NAMES)
    except ValueError:
        raise _refused(FieldProblem("query", f"has more than {MOST_NAMES} parameters")) from None


def take(body: BaseModel) -> str:
    """A response body as JSON text."""
    return body.model_dump_json(by_alias=True)


def _printable(name: str) -> str:
    return name.encode("ascii", "backslashreplace").decode()[:100]


def _refused(*problems: FieldProblem) -> Refusal:
    message = "; ".join(f"{problem.field}: {problem.message}" for problem in problems)
    return Refusal(Code.VALIDATION_ERROR, message, fields=problems)
