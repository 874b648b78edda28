"""API keys of ours: who may ask for what. The secret itself is never kept, only its SHA-256 (random keys need no
slow hash).
"""

from enum import StrEnum

import msgspec

from novitai.domain.money import Usd


class Scope(StrEnum):
    """What a key may do; each implies the one before."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def allows(self, needed: "Scope") -> bool:
        order = (Scope.READ, Scope.WRITE, Scope.ADMIN)
        return order.index(self) >= order.index(needed)


class KeyLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a key may use at most; None: no limit of its own."""

    requests_per_minute: int | None = None
    gpus: int | None = None
    usd_per_hour: Usd | None = None


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as stored. Its text is `nvk_<id>_<secret>`."""

    id: str
    name: str
    scope: Scope
    secret_hash: str
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    limits: KeyLimits = KeyLimits()

    def valid(self, now: float) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: the key's id (owner of what it makes), what it may do, and its limits; or a policy that acts by itself."""

    owner: str
    scope: Scope
    limits: KeyLimits = KeyLimits()
    policy: str = ""

    @property
    def by(self) -> str:
        """The word for `desired.by`."""
        return self.policy or f"user:{self.owner}"
