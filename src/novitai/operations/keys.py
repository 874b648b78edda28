"""API keys: made, listed, revoked, and asked who they are. The secret is shown once; what is kept is its SHA-256."""

import hashlib
import hmac
import secrets

import msgspec

from novitai.domain.errors import Code, Refusal
from novitai.domain.keys import Actor, ApiKey, KeyLimits, Scope
from novitai.operations import records
from novitai.operations.ledger import Ledger
from novitai.operations.optimism import until_committed
from novitai.operations.requests import Context
from novitai.ports.store import Commit, Committed

ENVIRONMENT_KEY_ID = "environment"
_NOBODY = hashlib.sha256(b"").hexdigest()


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key just made, with its text, which is never shown again."""

    key: ApiKey
    text: str


def key_text(key_id: str, secret: str) -> str:
    """What a caller sends: `nvk_<id>_<secret>`."""
    return f"nvk_{key_id}_{secret}"


def secret_hash(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def generate_text() -> str:
    """A fresh key for `NOVITAI_API_KEY`, made without a server."""
    return key_text(secrets.token_hex(6), secrets.token_urlsafe(32).replace("_", "-"))


class Keys:
    """Keys in memory, fed by commits; `NOVITAI_API_KEY` is one more admin key that is never stored."""

    def __init__(self, *, ledger: Ledger, environment_key: str | None) -> None:
        self._ledger = ledger
        self._environment_hash = secret_hash(environment_key) if environment_key else None
        self._by_id: dict[str, ApiKey] = {}

    async def load(self) -> None:
        """Read every key once; later changes come by `committed`."""
        cursor: str | None = None
        while True:
            page = await self._ledger.store.list(records.KEYS, "all", cursor=cursor, limit=500)
            self._by_id |= {record.id: records.read_key(record) for record in page.records}
            cursor = page.next_cursor
            if cursor is None:
                return

    def committed(self, _commit: Commit, result: Committed) -> None:
        """Take in a commit of this process: a revoked key stops working at once."""
        for record in result.records:
            if record.kind == records.KEY and not record.deleted:
                self._by_id[record.id] = records.read_key(record)

    @property
    def any(self) -> bool:
        """Whether anybody could get in."""
        now = self._ledger.clock.now()
        return self._environment_hash is not None or any(key.valid(now) for key in self._by_id.values())

    def actor(self, text: str) -> Actor | None:
        """Who this key is; None when unknown, revoked or expired. Takes the same time whichever part is wrong."""
        if self._environment_hash is not None and hmac.compare_digest(secret_hash(text), self._environment_hash):
            return Actor(owner=ENVIRONMENT_KEY_ID, scope=Scope.ADMIN)
        prefix, _, rest = text.partition("_")
        key_id, _, secret = rest.partition("_")
        key = self._by_id.get(key_id) if prefix == "nvk" else None
        matches = hmac.compare_digest(secret_hash(secret), key.secret_hash if key else _NOBODY)
        if key is None or not matches or not key.valid(self._ledger.clock.now()):
            return None
        return Actor(owner=key.id, scope=key.scope, limits=key.limits)

    def limits_of(self, owner: str) -> KeyLimits:
        """What the key of this id may use at most; nothing is limited for a key that is not stored."""
        key = self._by_id.get(owner)
        return key.limits if key is not None else KeyLimits()

    async def make(
        self, context: Context, *, name: str, scope: Scope, expires_at: float | None, limits: KeyLimits
    ) -> NewKey:
        """A new key."""
        secret = secrets.token_urlsafe(32).replace("_", "-")
        key = ApiKey(
            id=secrets.token_hex(6),
            name=name,
            scope=scope,
            secret_hash=secret_hash(secret),
            created_at=self._ledger.clock.now(),
            expires_at=expires_at,
            limits=limits,
        )
        noted = self._ledger.note(context, "key.create", target=key.id, name=name, scope=str(scope))
        await self._ledger.store.commit(Commit(puts=(records.put_key(key, expect=0),), appends=(noted,)))
        return NewKey(key=key, text=key_text(key.id, secret))

    def all(self) -> tuple[ApiKey, ...]:
        """Every key, oldest first, revoked ones included."""
        return tuple(sorted(self._by_id.values(), key=lambda key: (key.created_at, key.id)))

    async def revoke(self, key_id: str, context: Context) -> ApiKey:
        """A key stops working. Raises Refusal KEY_NOT_FOUND."""

        async def decide() -> ApiKey:
            record = await self._ledger.store.get(records.KEY, key_id)
            if record is None:
                raise Refusal(Code.KEY_NOT_FOUND, f"there is no key {key_id!r}")
            key = records.read_key(record)
            if key.revoked_at is not None:
                return key
            revoked = msgspec.structs.replace(key, revoked_at=self._ledger.clock.now())
            put = records.put_key(revoked, expect=record.version)
            noted = self._ledger.note(context, "key.revoke", target=key_id, name=key.name)
            await self._ledger.store.commit(Commit(puts=(put,), appends=(noted,)))
            return revoked

        return await until_committed(decide, subject=f"key {key_id}")
