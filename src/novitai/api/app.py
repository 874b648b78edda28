"""The HTTP application: every route under its rule, and the front around them."""

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from novitai.api.front import App, Front
from novitai.api.listing import Index
from novitai.api.parts import ApiParts
from novitai.api.rendering import Renderer
from novitai.api.routes import every
from novitai.api.routing import GuardedRoute, refusal_answer
from novitai.api.streams import Hub
from novitai.api.visits import visit_of
from novitai.domain.errors import Code, Refusal
from novitai.operations.history import History

TITLE = "Novitai"


def build_app(parts: ApiParts) -> App:
    """The whole of it, as an ASGI application."""
    app = build_inner(parts)
    public = [route for route in app.routes if isinstance(route, GuardedRoute) and route.rule.scope is None]
    return Front(app, parts=parts, public=[route.path_regex for route in public])


def build_inner(parts: ApiParts) -> FastAPI:
    """The routes without the front: for the OpenAPI document and for tests that walk them."""
    app = FastAPI(
        title=TITLE,
        version=parts.settings.version,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={HTTPException: _no_route},
    )
    app.state.parts = parts
    app.state.index = Index(parts.reads)
    app.state.renderer = Renderer(
        reads=parts.reads,
        freshness=parts.freshness,
        idleness=parts.idleness,
        costs=parts.costs,
        explaining=parts.explaining,
        usual_check=parts.settings.health_check,
        usual_move=parts.settings.move_rule,
    )
    app.state.hub = Hub(history=History(parts.store), reads=parts.reads, clock=parts.clock)
    settings = parts.settings
    app.router.routes.extend(every(production=settings.production, metrics_public=settings.metrics_public))
    return app


async def _no_route(request: Request, missing: Exception) -> Response:
    """What the router itself refuses: a path or a method that is not there."""
    visit = visit_of(request.scope)
    parts: ApiParts = request.app.state.parts
    status = missing.status_code if isinstance(missing, HTTPException) else 500
    if status != 405:
        refusal = Refusal(Code.NOT_FOUND, f"there is nothing at {request.url.path[:200]!r}")
        return refusal_answer(refusal, visit, parts)
    methods = sorted(methods_of(request))
    refusal = Refusal(Code.METHOD_NOT_ALLOWED, f"{request.method} is not offered here; {', '.join(methods)} is")
    response = refusal_answer(refusal, visit, parts)
    response.headers["Allow"] = ", ".join(methods)
    return response


def methods_of(request: Request) -> set[str]:
    """Every method that some route offers at this path."""
    path = request.scope["path"]
    found: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, GuardedRoute) and route.path_regex.match(path):
            found |= route.methods or set()
    return found
