"""A machine's own logs, streamed from the addresses in `connectComponentLog` (novita-wire.md 3.5).

The system log tells the machine's statuses; the instance log is what its application says. Both go on while the machine runs.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web

from novita_simulator.http.reply import iso
from novita_simulator.machine import Machine
from novita_simulator.stage import Stage

PATH = "/instance-logs/{instance_id}/{kind:system|instance}"
_Lines = Callable[[Machine, float], Iterator[str]]
_HEARTBEAT = 5.0
_LOOK = 0.25


@dataclass(frozen=True, kw_only=True)
class Logs:
    stage: Stage
    advance: Callable[[], float]
    closing: asyncio.Event

    async def serve(self, request: web.Request) -> web.StreamResponse:
        machine = self.stage.world.machines.get(request.match_info["instance_id"])
        if machine is None:
            return web.Response(status=404, text="no such instance\n")
        lines = _system_lines if request.match_info["kind"] == "system" else self._instance_lines
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        with suppress(ConnectionError):  # the reader may leave at any line
            await self._stream(response, machine, lines)
        return response

    async def _stream(self, response: web.StreamResponse, machine: Machine, lines: _Lines) -> None:
        sent = 0
        while True:
            now = self.advance()
            for line in list(lines(machine, now))[sent:]:
                await response.write(f"{line}\n".encode())
                sent += 1
            if machine.running_since is None or self.closing.is_set():
                break
            await self._look_again()
        await response.write_eof()

    def _instance_lines(self, machine: Machine, now: float) -> Iterator[str]:
        """What the application says; computed anew each time, so that nothing has to be kept for a thousand machines."""
        started = machine.running_since
        if started is None:
            yield f"{iso(machine.last_stopped_at or machine.created_at)} container is not running"
            return
        ready = started + self.stage.world.settings.delay("app_refuse") + self.stage.world.settings.delay("app_warmup")
        yield f"{iso(started)} container started from {machine.workload.image_url}"
        yield f"{iso(started)} loading model weights"
        if now < ready:
            return
        for port in machine.ports:
            yield f"{iso(ready)} listening on 0.0.0.0:{port.number} ({port.type})"
        for beat in range(1, int((now - ready) // _HEARTBEAT) + 1):
            yield f"{iso(ready + beat * _HEARTBEAT)} alive, 0 requests in flight"

    async def _look_again(self) -> None:
        try:
            await asyncio.wait_for(self.closing.wait(), _LOOK)
        except TimeoutError:
            return


def _system_lines(machine: Machine, _now: float) -> Iterator[str]:
    for at, status in machine.history:
        yield f"{iso(at)} {machine.id} {status}"
