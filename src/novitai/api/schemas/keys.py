"""API keys."""

from typing import Literal

from pydantic import Field

from novitai.api.schemas.common import Answer, Body, Page, Time
from novitai.api.schemas.verbs import Moment

ScopeName = Literal["read", "write", "admin"]


class KeyLimitsBody(Body):
    """What a key may use at most; what is left out has no limit of its own. `usdPerHour` is USD."""

    requests_per_minute: int | None = Field(default=None, ge=1, le=1_000_000)
    gpus: int | None = Field(default=None, ge=0, le=100_000)
    usd_per_hour: float | None = Field(default=None, ge=0, le=1_000_000)


class KeyBody(Body):
    """A key to make."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")
    scope: ScopeName = "read"
    expires_at: Moment | None = None
    limits: KeyLimitsBody = KeyLimitsBody()


class KeyLimitsAnswer(Answer):
    """What a key may use at most; null: no limit of its own."""

    requests_per_minute: int | None
    gpus: int | None
    usd_per_hour: float | None


class KeyAnswer(Answer):
    """A key, without its text."""

    id: str
    name: str
    scope: ScopeName
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    limits: KeyLimitsAnswer


class NewKeyAnswer(KeyAnswer):
    """A key just made. `key` is its text, shown this once: an idempotent replay answers null."""

    key: str | None


class KeyPage(Page):
    """Keys, oldest first, revoked ones included."""

    keys: list[KeyAnswer]
