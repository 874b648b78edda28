"""The routing table of the whole server: control, logs, and everything else to the simulated API."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from novita_simulator.http.control import Control
from novita_simulator.http.edge import Edge
from novita_simulator.http.logs import PATH as LOGS_PATH
from novita_simulator.http.logs import Logs
from novita_simulator.stage import Stage

_LARGEST_BODY = 4 * 1024 * 1024


def build_app(stage: Stage, *, advance: Callable[[], float], closing: asyncio.Event) -> web.Application:
    app = web.Application(client_max_size=_LARGEST_BODY)
    app.add_routes(Control(stage=stage, advance=advance).routes())
    app.router.add_get(LOGS_PATH, Logs(stage=stage, advance=advance, closing=closing).serve)
    app.router.add_route("*", "/{path:.*}", Edge(stage=stage, advance=advance, closing=closing).serve)
    return app
