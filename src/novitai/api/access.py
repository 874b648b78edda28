"""What endpoints ask for by type: the parts of the program, and the visit they serve."""

from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import Request

from novitai.api.parts import ApiParts
from novitai.api.rendering import Renderer
from novitai.api.visits import Visit, visit_of


async def parts_of(request: Request) -> ApiParts:
    """The parts that the application was built with."""
    return cast("ApiParts", request.app.state.parts)


async def renderer_of(request: Request) -> Renderer:
    """The one renderer of this application."""
    return cast("Renderer", request.app.state.renderer)


async def _visit(request: Request) -> Visit:
    return visit_of(request.scope)


Parts = Annotated[ApiParts, Depends(parts_of)]
Here = Annotated[Visit, Depends(_visit)]
Rendering = Annotated[Renderer, Depends(renderer_of)]
