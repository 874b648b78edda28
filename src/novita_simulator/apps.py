"""The applications on the machines: real ports on 127.0.0.1, one for each port of each machine.

A port belongs to its machine from the first time it runs until it is deleted; when the system has no socket left, the machine shows
no endpoint for it. While the application is not up, the port is taken but
nobody listens, so that connections are refused and no other program can get it; then it answers 502, then 200.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import web

from novita_simulator.machine import Machine, Port
from novita_simulator.stage import Stage

_LOOPBACK = "127.0.0.1"
_BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


@dataclass(slots=True)
class Door:
    """One port of one machine; `server` is set while it listens."""

    machine_id: str
    port: Port
    reserved: socket.socket | None
    number: int
    wanted_open: bool = False
    server: asyncio.Server | None = None
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def endpoint(self) -> str:
        return f"http://{_LOOPBACK}:{self.number}" if self.port.type == "http" else f"{_LOOPBACK}:{self.number}"


class Apps:
    """Keeps the doors as the world says. `clock` tells how far an application is with its warm-up."""

    def __init__(self, stage: Stage, *, clock: Callable[[], float]) -> None:
        self._stage = stage
        self._clock = clock
        self._doors: dict[str, dict[int, Door]] = {}
        self._by_number: dict[int, Door] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._http = web.Server(self._answer, access_log=None)

    def notice(self, now: float) -> None:
        """Look at the machines that something happened to. Ports are reserved and closed at once, opened soon after."""
        machines = self._stage.world.machines
        for machine_id in self._stage.world.take_touched():
            machine = machines.get(machine_id)
            if machine is None or not self._stage.world.settings.switches.apps:
                self._release(machine_id)
            else:
                self._tend(machine, now)

    async def settled(self) -> None:
        """Wait until every port that should listen does."""
        while self._opening:
            await asyncio.wait(self._opening)

    async def close(self) -> None:
        self.clear()
        await self.settled()
        await self._http.shutdown(timeout=0.1)

    def clear(self) -> None:
        """Give every port back: the world they belonged to is gone."""
        for machine_id in list(self._doors):
            self._release(machine_id)

    def _tend(self, machine: Machine, now: float) -> None:
        if machine.id not in self._doors and machine.running_since is None:
            return
        doors = self._doors.setdefault(machine.id, {})
        for number in _no_longer_there(doors, machine.ports):
            self._give_back(doors.pop(number))
        for port in machine.ports:
            if port.number not in doors:
                self._add(machine, port)
        is_open = self._stage.world.app_phase(machine, now) != "refuse"
        for door in doors.values():
            self._set_open(door, is_open=is_open)
            machine.endpoints[door.port.number] = door.endpoint()

    def _add(self, machine: Machine, port: Port) -> None:
        reserved = _reserve(0)
        if reserved is None:
            return
        door = Door(machine.id, port, reserved, reserved.getsockname()[1])
        self._doors[machine.id][port.number] = door
        self._by_number[door.number] = door
        machine.endpoints[port.number] = door.endpoint()

    def _release(self, machine_id: str) -> None:
        for door in self._doors.pop(machine_id, {}).values():
            self._give_back(door)

    def _give_back(self, door: Door) -> None:
        self._set_open(door, is_open=False)
        if door.reserved is not None:
            door.reserved.close()
            door.reserved = None
        self._by_number.pop(door.number, None)

    def _set_open(self, door: Door, *, is_open: bool) -> None:
        if is_open == door.wanted_open:
            return
        door.wanted_open = is_open
        if is_open:
            task = asyncio.get_running_loop().create_task(self._open(door))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        elif door.server is not None:
            self._shut(door)

    async def _open(self, door: Door) -> None:
        if door.reserved is None or not door.wanted_open:
            return
        door.closed = asyncio.Event()
        listening, door.reserved = door.reserved, None
        if door.port.type == "http":
            door.server = await asyncio.get_running_loop().create_server(self._http, sock=listening, backlog=128)
        else:
            door.server = await asyncio.start_server(self._echo, sock=listening)
        self._shut_if_unwanted(door)

    def _shut_if_unwanted(self, door: Door) -> None:
        """The machine may have stopped while its port was being opened."""
        if not door.wanted_open:
            self._shut(door)

    def _shut(self, door: Door) -> None:
        """Stop listening and take the port again, so that it refuses."""
        if door.server is not None:
            door.server.close()
            door.server = None
        door.closed.set()
        if self._by_number.get(door.number) is door:
            door.reserved = _reserve(door.number)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        door = self._door_of(request.transport)
        machine = self._stage.world.machines.get(door.machine_id) if door else None
        if door is None or machine is None:
            return _drop(request)
        phase = self._stage.world.app_phase(machine, self._clock())
        if phase == "refuse":
            return _drop(request)
        if phase == "hang":
            await door.closed.wait()
            return _drop(request)
        if phase == "502":
            return _once(web.Response(status=502, text=_BAD_GATEWAY, content_type="text/html"))
        return _once(_page(machine, door.port, request.path))

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A tcp port accepts, and gives back what it is sent."""
        door = self._door_of(writer.transport)
        closed = asyncio.ensure_future(door.closed.wait()) if door else None
        try:
            while closed is not None and not closed.done():
                reading = asyncio.ensure_future(reader.read(4096))
                await asyncio.wait({reading, closed}, return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    reading.cancel()
                    break
                if not (data := reading.result()):
                    break
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            if closed is not None:
                closed.cancel()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def _door_of(self, transport: asyncio.BaseTransport | None) -> Door | None:
        address = transport.get_extra_info("sockname") if transport else None
        return self._by_number.get(address[1]) if address else None


def _no_longer_there(doors: dict[int, Door], ports: Iterable[Port]) -> list[int]:
    kept = set(ports)
    return [number for number, door in doors.items() if door.port not in kept]


def _reserve(number: int) -> socket.socket | None:
    """A bound socket that does not listen, so that connections are refused; None when the system has none left."""
    try:
        reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return None
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind((_LOOPBACK, number))
    except OSError:
        reserved.close()
        return None
    return reserved


def _page(machine: Machine, port: Port, path: str) -> web.Response:
    if machine.app.body is not None:
        return web.Response(status=machine.app.status, text=machine.app.body)
    body = {"status": "ok", "instanceId": machine.id, "name": machine.name, "port": port.number, "path": path}
    return web.json_response(body, status=machine.app.status)


def _once(response: web.Response) -> web.Response:
    """Close after the answer, so that a stopped application is not reached over an old connection."""
    response.force_close()
    return response


def _drop(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
