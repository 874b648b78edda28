"""A server that, told to stop, aborts what is open instead of taking leave: no last answers, no farewell on kept connections."""

from novitai.api.server import Server
from support import forking


async def stop_at_once(self: Server) -> None:
    assert self._uvicorn is not None
    assert self._serving is not None
    for connection in list(self._uvicorn.server_state.connections):
        connection.transport.abort()
    self._uvicorn.force_exit = self._uvicorn.should_exit = True
    await self._serving


if __name__ == "__main__":
    Server.stop = stop_at_once
    forking.main()
