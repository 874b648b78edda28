"""API keys: made, listed, revoked. Admins only."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from novitai.api.access import Here, Parts
from novitai.api.paging import slice_of
from novitai.api.routing import Routes, json_answer
from novitai.api.schemas.common import PageQuery
from novitai.api.schemas.keys import KeyAnswer, KeyBody, KeyLimitsAnswer, KeyPage, NewKeyAnswer
from novitai.api.schemas.verbs import unix
from novitai.domain.errors import invalid
from novitai.domain.keys import ApiKey, KeyLimits, Scope
from novitai.domain.money import dollars, usd
from novitai.domain.times import iso, iso_or_none

ROUTES = Routes("keys")


@ROUTES.add("GET", "/api/keys", needs=Scope.ADMIN, answer=KeyPage)
async def list_keys(parts: Parts, query: Annotated[PageQuery, Query()]) -> Response:
    """Keys, oldest first, revoked ones included; never their texts. `NOVITAI_API_KEY` is not among them."""
    found = parts.keys.all()
    page, cursor = slice_of(found, "keys", cursor=query.cursor, limit=query.limit)
    return json_answer(KeyPage(keys=[_key(key) for key in page], total=len(found), next_cursor=cursor))


@ROUTES.add("POST", "/api/keys", needs=Scope.ADMIN, answer=NewKeyAnswer, status=201)
async def create_key(body: KeyBody, parts: Parts, visit: Here) -> Response:
    """Make a key. Its text is in this answer and nowhere else: an idempotent replay answers `key: null`."""
    expires_at = unix(body.expires_at) if body.expires_at is not None else None
    if expires_at is not None and expires_at <= parts.clock.now():
        raise invalid("expiresAt", "lies in the past")
    limits = body.limits
    made = await parts.keys.make(
        visit.context(),
        name=body.name,
        scope=Scope(body.scope),
        expires_at=expires_at,
        limits=KeyLimits(
            requests_per_minute=limits.requests_per_minute,
            gpus=limits.gpus,
            usd_per_hour=None if limits.usd_per_hour is None else usd(limits.usd_per_hour),
        ),
    )
    visit.shown_once = "key"
    return json_answer(NewKeyAnswer(**_key(made.key).model_dump(), key=made.text), status=201)


@ROUTES.add("DELETE", "/api/keys/{key_id}", needs=Scope.ADMIN, answer=KeyAnswer, others={404: "There is no such key"})
async def revoke_key(key_id: str, parts: Parts, visit: Here) -> Response:
    """Revoke a key: requests with it are refused from now on. It stays in the list."""
    return json_answer(_key(await parts.keys.revoke(key_id, visit.context())))


def _key(key: ApiKey) -> KeyAnswer:
    limits = key.limits
    return KeyAnswer.model_validate(
        {
            "id": key.id,
            "name": key.name,
            "scope": str(key.scope),
            "createdAt": iso(key.created_at),
            "expiresAt": iso_or_none(key.expires_at),
            "revokedAt": iso_or_none(key.revoked_at),
            "limits": KeyLimitsAnswer(
                requests_per_minute=limits.requests_per_minute,
                gpus=limits.gpus,
                usd_per_hour=None if limits.usd_per_hour is None else dollars(limits.usd_per_hour),
            ),
        }
    )
