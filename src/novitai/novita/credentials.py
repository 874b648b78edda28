"""The content of registry credentials, which a create must carry and nobody may keep.

Novita lists them with their passwords in clear (novita-wire.md 3.12). They are looked up right before they are used and
remembered by this process for a minute at most, so that a row of creates costs one look-up; they are never stored.
"""

from collections.abc import Awaitable, Callable

from novitai.domain.errors import RegistryAuthMissing
from novitai.novita.reading import text
from novitai.novita.wire import RegistryAuth

REMEMBERED_SECONDS = 60.0


class Credentials:
    """`username:password` by credential id. `now` gives Unix seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._known: dict[str, str] = {}
        self._read_at = 0.0

    async def content(self, auth_id: str, look_up: Callable[[], Awaitable[tuple[RegistryAuth, ...]]]) -> str:
        """What a create sends as `imageAuth`. Raises RegistryAuthMissing, and what the look-up raises."""
        self._forget_old()
        if auth_id not in self._known:
            found = await look_up()
            self._read_at = self._now()
            self._known = {text(one.id): f"{text(one.username)}:{text(one.password)}" for one in found}
        if auth_id not in self._known:
            raise RegistryAuthMissing(f"the account has no registry credential {auth_id!r}")
        return self._known[auth_id]

    def _forget_old(self) -> None:
        if not 0 <= self._now() - self._read_at < REMEMBERED_SECONDS:
            self._known = {}
