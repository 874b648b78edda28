"""What every route has to say of itself, and what every request to one has to pass: its scope, its query, its body, its receipt.

A route cannot be declared without the scope it needs (None: no key at all). In order: authorisation, names of the query,
the body as JSON, the stored answer to an Idempotency-Key, then FastAPI's own reading of fields, then the endpoint. *Plain*
routes skip FastAPI's reading: they get the request as it is and answer bytes, for what is asked thousands of times a second.
"""

import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, get_type_hints

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from novitai.api import references
from novitai.api.bodies import is_json, read_body, read_json
from novitai.api.idempotency import under_receipt
from novitai.api.parts import ApiParts
from novitai.api.problems import Malformed, expected, problem_of
from novitai.api.queries import check_names, parameters, take
from novitai.api.schemas.problems import ProblemAnswer
from novitai.api.validation import refusal_of
from novitai.api.visits import Visit, visit_of
from novitai.domain.errors import Code, Refusal, invalid
from novitai.domain.keys import Scope
from novitai.domain.times import iso

log = structlog.get_logger("novitai.api")

Endpoint = Callable[..., Awaitable[Any]]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
JSON = "application/json"
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Who may use a route and how it is treated.

    `scope` None: no key is needed. `query`: names that the query string may have. `plain`: see the module's text. `commits_receipt`: the
    operation commits the receipt of an idempotent request with its change; for others the answer is kept afterwards.
    """

    scope: Scope | None
    query: frozenset[str]
    repeatable: frozenset[str]
    plain: bool = False
    commits_receipt: bool = False


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A route as declared in `routes/`."""

    method: str
    path: str
    endpoint: Endpoint
    rule: Rule
    options: dict[str, Any]


class Routes:
    """Collects the routes of one file, in the order in which they are matched."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self.declared: list[Declared] = []

    def add(
        self,
        method: str,
        path: str,
        *,
        needs: Scope | None,
        answer: type[BaseModel] | None = None,
        status: int = 200,
        others: dict[int, str] | None = None,
        query: type[BaseModel] | None = None,
        media: str = JSON,
        plain: bool = False,
        commits_receipt: bool = False,
    ) -> Callable[[Endpoint], Endpoint]:
        """Declare a route. `answer` is the body of success, `others` says what further statuses mean.

        What may be asked in the query is the type of the endpoint's parameter `query`; a plain route has none, so it says it here.
        `media`: the content type of success, when it is not JSON alone.
        """
        options: dict[str, Any] = {
            "response_model": None if plain else answer,
            "status_code": status,
            "tags": [self._tag],
            "responses": _responses(answer, status, others or {}, media=media, plain=plain, needs=needs),
            "openapi_extra": _described(path, query, needs) if plain else _described("", None, needs),
        }

        def declare(endpoint: Endpoint) -> Endpoint:
            names, repeatable = parameters(query or get_type_hints(endpoint).get("query"))
            rule = Rule(scope=needs, query=names, repeatable=repeatable, plain=plain, commits_receipt=commits_receipt)
            self.declared.append(Declared(method=method, path=path, endpoint=endpoint, rule=rule, options=options))
            return endpoint

        return declare


class GuardedRoute(APIRoute):
    """A route under a rule. A route of any other kind fails the test that walks them all."""

    def __init__(self, declared: Declared) -> None:
        self.rule = declared.rule  # first: the handler made by the next line looks at it
        super().__init__(
            declared.path,
            declared.endpoint,
            methods=[declared.method],
            operation_id=declared.endpoint.__name__,
            strict_content_type=False,
            **declared.options,
        )

    def get_route_handler(self) -> Handler:
        inner: Handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            visit = visit_of(request.scope)
            visit.route = self.path_format
            try:
                return await self._serve(request, visit, inner)
            except ClientDisconnect:
                return Response(status_code=400)
            except Exception as failure:  # noqa: BLE001 - the one place where every failure becomes an answer
                return refusal_answer(failure, visit, request.app.state.parts)

        return handle

    async def _serve(self, request: Request, visit: Visit, inner: Handler) -> Response:
        authorise(visit, self.rule.scope)
        check_names(request.scope["query_string"], self.rule.query, self.rule.repeatable)
        if request.method not in CHANGING:
            return await self._answer(request, inner)
        body = await self._body(request)
        return await under_receipt(
            request.app.state.parts,
            visit,
            request,
            body,
            committed_by_operation=self.rule.commits_receipt,
            run=lambda: self._answer(request, inner),
        )

    async def _body(self, request: Request) -> bytes:
        """The body, checked, and put where Starlette keeps one that was read, so that it is neither read nor parsed twice."""
        body = await read_body(request)
        request._body = body if body.strip() else b""  # noqa: SLF001 - see above
        if not body.strip():
            return b""
        if not is_json(request.headers.get("content-type", "")):
            raise Malformed("send the body as JSON, with 'Content-Type: application/json'")
        value = request._json = read_json(body)  # noqa: SLF001 - see above
        if self.body_field is None and value not in ({}, None):
            raise invalid("body", "is not expected here")
        return body

    async def _answer(self, request: Request, inner: Handler) -> Response:
        if self.rule.plain:
            response: Response = await self.endpoint(request)
            return response
        try:
            return await inner(request)
        except RequestValidationError as broken:
            raise refusal_of(broken) from None


def build(routes: Iterable[Routes]) -> tuple[GuardedRoute, ...]:
    """Declared routes as FastAPI's. They hold no parts of a program, so several applications can share them."""
    references.register()
    return tuple(GuardedRoute(declared) for one in routes for declared in one.declared)


def authorise(visit: Visit, needed: Scope | None) -> None:
    """Raises Refusal FORBIDDEN unless the key has the scope."""
    if needed is None:
        return
    if visit.actor is None:
        raise Refusal(Code.UNAUTHORIZED, "this needs a key")
    if not visit.actor.scope.allows(needed):
        raise Refusal(Code.FORBIDDEN, f"this needs a key with the scope '{needed}'; yours has '{visit.actor.scope}'")


def refusal_answer(failure: Exception, visit: Visit, parts: ApiParts) -> Response:
    """A failure as the answer to a request. What has no meaning of its own is logged in full and told in one neutral sentence."""
    problem = problem_of(failure)
    if not expected(failure):
        log.error("request_failed", route=visit.route, exc_info=failure)
    body = problem.body(at=iso(parts.clock.now()), request_id=visit.request_id, correlation_id=visit.correlation_id)
    response = Response(body, status_code=problem.status, media_type=JSON)
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def json_answer(body: BaseModel, *, status: int = 200) -> Response:
    """A body as an answer that FastAPI passes on as it is."""
    return Response(take(body), status_code=status, media_type=JSON)


def _responses(
    answer: type[BaseModel] | None,
    status: int,
    others: dict[int, str],
    *,
    media: str,
    plain: bool,
    needs: Scope | None,
) -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {}
    if answer is not None and plain:
        found[status] = {"model": answer, "description": "Done"}
    if media != JSON:
        found[status] = {"content": {media: {}}, "description": "Done"}
    usual = {400: "The request cannot be read", 422: "The request breaks a rule", 429: "Too many requests"}
    if needs is not None:
        usual |= {401: "No valid key", 403: "The key lacks the scope", 503: "The store is away"}
    if needs is None and media != JSON:  # a page for people says in its own form what went wrong
        found |= {code: {"description": meaning, "content": {media: {}}} for code, meaning in others.items()}
    for code, meaning in (usual | others).items():
        model = ProblemAnswer if code >= 400 else answer
        found.setdefault(code, {"description": meaning} | ({"model": model} if model else {}))
    return found


def _described(path: str, query: type[BaseModel] | None, needs: Scope | None) -> dict[str, Any]:
    extra: dict[str, Any] = {"x-scope": str(needs) if needs else "open"}
    if needs is None:
        extra["security"] = []
    parameters = [*_in_path(path), *(described(query) if query is not None else ())]
    return extra | ({"parameters": parameters} if parameters else {})


def _in_path(path: str) -> list[dict[str, Any]]:
    names = re.findall(r"{(\w+)", path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def described(query: type[BaseModel]) -> list[dict[str, Any]]:
    """The parameters of a plain route for the OpenAPI document."""
    schema = query.model_json_schema(by_alias=True)
    required = set(schema.get("required", ()))
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": field.get("description", ""),
            "schema": {key: value for key, value in field.items() if key != "description"},
        }
        for name, field in schema.get("properties", {}).items()
    ]
