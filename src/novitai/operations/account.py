"""Things of the account that requests refer to: templates, registry credentials, network volumes. Read when needed,
kept for a while.

What is kept is sealed as a whole: templates carry environment values, and a cache may be shared with other programs. It
holds no password: credentials are known here by id, name and user only.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from novitai.domain.errors import Code, Gone, ProviderFailure, Refusal
from novitai.domain.secrets import Sealed
from novitai.domain.templates import NetworkStorage, RegistryAuth, Template
from novitai.operations.catalogue import ACCEPTANCE_WAIT_SECONDS, upstream_refusal, upstream_timeout
from novitai.ports.coordination import Coordination, Share
from novitai.ports.provider import Call, Provider
from novitai.ports.world import Sealer

TEMPLATES, AUTHS, STORAGES = "templates", "registry-auths", "network-storages"
_TTL_SECONDS = {TEMPLATES: 600.0, AUTHS: 60.0, STORAGES: 60.0}
_TEMPLATE_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
T = TypeVar("T")


class Account:
    """Templates and the like, through a cache with single readings."""

    def __init__(self, *, provider: Provider, coordination: Coordination, sealer: Sealer) -> None:
        self._provider = provider
        self._coordination = coordination
        self._sealer = sealer
        self._call = Call(share=Share.ACT, longest_wait=ACCEPTANCE_WAIT_SECONDS)
        self._reading: dict[tuple[str, str], asyncio.Task[Any]] = {}

    async def template(self, template_id: str) -> Template:
        """One template. Raises Refusal TEMPLATE_NOT_FOUND, or what Novita's trouble means for a waiting caller."""
        if not _TEMPLATE_ID.fullmatch(template_id):  # nor may it be the key under which the whole list is kept
            raise _no_template(template_id)
        try:
            return await self._through(
                TEMPLATES,
                template_id,
                Template,
                lambda: self._provider.template(template_id, self._call),
                "the template",
            )
        except Gone:
            raise _no_template(template_id) from None

    async def templates(self) -> tuple[Template, ...]:
        """The account's private templates."""
        read = lambda: self._provider.templates(self._call)  # noqa: E731 - a thunk, named for the call below
        return await self._through(TEMPLATES, "*", tuple[Template, ...], read, "the templates")

    async def registry_auths(self) -> tuple[RegistryAuth, ...]:
        """Registry credentials, without passwords."""
        read = lambda: self._provider.registry_auths(self._call)  # noqa: E731 - as above
        return await self._through(AUTHS, "*", tuple[RegistryAuth, ...], read, "the registry credentials")

    async def require_registry_auth(self, auth_id: str) -> None:
        """Raises Refusal REGISTRY_AUTH_NOT_FOUND unless the account has this credential."""
        known = await self.registry_auths()
        if all(auth.id != auth_id for auth in known):
            names = ", ".join(f"{auth.id} ({auth.name})" for auth in known) or "none"
            raise Refusal(
                Code.REGISTRY_AUTH_NOT_FOUND, f"there is no registry credential {auth_id!r}; the account has: {names}"
            )

    async def network_storages(self) -> tuple[NetworkStorage, ...]:
        """The account's network volumes."""
        read = lambda: self._provider.network_storages(self._call)  # noqa: E731 - as above
        return await self._through(STORAGES, "*", tuple[NetworkStorage, ...], read, "the network volumes")

    async def _through(self, cache: str, key: str, shape: type[T], read: Callable[[], Awaitable[T]], what: str) -> T:
        cached = await self._coordination.cache_get(cache, key)
        if cached is not None and (text := self._opened(cached.body)) is not None:
            return msgspec.json.decode(text, type=shape)
        try:
            async with asyncio.timeout(ACCEPTANCE_WAIT_SECONDS):
                value = await self._once(cache, key, read)
        except TimeoutError:
            raise upstream_timeout(what) from None
        except Gone:
            raise
        except ProviderFailure as failure:
            raise upstream_refusal(failure, what=what) from failure
        return value

    async def _once(self, cache: str, key: str, read: Callable[[], Awaitable[T]]) -> T:
        """One reading at a time of the same thing, whoever asks; it goes on when one of them gives up."""
        task: asyncio.Task[T] | None = self._reading.get((cache, key))
        if task is None:
            task = asyncio.create_task(self._read(cache, key, read))
            self._reading[cache, key] = task
            task.add_done_callback(lambda done: self._ended((cache, key), done))
        return await asyncio.shield(task)

    async def _read(self, cache: str, key: str, read: Callable[[], Awaitable[T]]) -> T:
        value = await read()
        box = self._sealer.seal(msgspec.json.encode(value).decode()).box
        await self._coordination.cache_put(cache, key, box.encode(), ttl_seconds=_TTL_SECONDS[cache])
        return value

    def _opened(self, body: bytes) -> str | None:
        """What was kept, or None when it was sealed with a key that has been replaced since: then it is read anew."""
        try:
            return self._sealer.open(Sealed(body.decode()))
        except ValueError:
            return None

    def _ended(self, what: tuple[str, str], task: asyncio.Task[Any]) -> None:
        self._reading.pop(what, None)
        if not task.cancelled():
            task.exception()  # whoever waits has it; nobody waiting is no reason to complain


def _no_template(template_id: str) -> Refusal:
    return Refusal(Code.TEMPLATE_NOT_FOUND, f"there is no template {template_id[:100]!r} in the account")
