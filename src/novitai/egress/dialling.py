"""From a host's name to a connected socket, past the guard twice: at every resolved address, and at the one being
dialled.

The first look refuses a host as soon as one of its addresses is refused. The second sees what no resolver sees (aiohttp
resolves literals by itself) and what a second answer of the same name server says, so checked and dialled can never
differ.
"""

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from novitai.egress.addresses import Guard
from novitai.egress.errors import AddressRefused, ConnectFailed

AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]

# Threads are only made while that many names are being looked up at once; a dead name server must not hold the names of
# others.
_LOOKUPS_AT_ONCE = 128


class RefusedDial(OSError):
    """How a refusal travels through aiohttp, which knows only OSError from sockets."""

    def __init__(self, refusal: AddressRefused) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class SystemResolver(AbstractResolver):
    """The system's resolver on threads of its own, since a slow lookup cannot be interrupted."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="egress-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of a host. Raises OSError when it has none."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _look_up, host, port, family)
        return [
            ResolveResult(
                hostname=host, host=str(at[0]), port=port, family=kin, proto=proto, flags=socket.AI_NUMERICHOST
            )
            for kin, _, proto, _, at in found
        ]

    async def close(self) -> None:
        """Abandon lookups under way; closing twice is fine."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class GuardedResolver(AbstractResolver):
    """Another resolver's answers, unless the guard refuses one of them: then all are."""

    def __init__(self, guard: Guard, resolver: AbstractResolver) -> None:
        self._guard = guard
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of a host. Raises OSError when it has none, AddressRefused when one is refused."""
        answers = await self._resolver.resolve(host, port, family)
        for answer in answers:
            self._guard.check(answer["host"], host=host)
        return answers

    async def close(self) -> None:
        """Close the resolver underneath."""
        await self._resolver.close()


class Dialler:
    """Opens sockets to addresses that the guard lets pass."""

    def __init__(self, guard: Guard, resolver: AbstractResolver) -> None:
        self._guard = guard
        self.resolver = GuardedResolver(guard, resolver)

    def open_socket(self, info: AddressInfo) -> socket.socket:
        """A socket for the address about to be dialled (aiohttp's `socket_factory`). Raises RefusedDial."""
        family, kind, protocol, _, address = info
        try:
            self._guard.check(str(address[0]))
        except AddressRefused as refusal:
            raise RefusedDial(refusal) from refusal
        return socket.socket(family, kind, protocol)

    async def connect(self, host: str, port: int) -> None:
        """Open a TCP connection and close it. Raises AddressRefused or ConnectFailed; the caller bounds the time."""
        last: OSError | None = None
        for address in await self._addresses(host, port):
            try:
                await self._touch(address, port)
            except RefusedDial as refused:
                raise refused.refusal from None
            except OSError as error:
                last = error
            else:
                return
        raise ConnectFailed(f"no connection to {host}:{port}: {last or 'no address'}") from last

    async def _addresses(self, host: str, port: int) -> list[str]:
        if _is_literal(host):
            return [host]
        try:
            return [answer["host"] for answer in await self.resolver.resolve(host, port)]
        except (OSError, UnicodeError) as error:
            raise ConnectFailed(f"{host} cannot be resolved: {error}") from error

    async def _touch(self, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.open_socket((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))) as sock:
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, (address, port))


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[AddressInfo]:
    return list(socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG))


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
