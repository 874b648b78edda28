"""Reading instances: the list, one, and everything the account has."""

from typing import Annotated

import msgspec
from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from novitai.api.access import Parts, Rendering
from novitai.api.comprehensive import merge, sources_of
from novitai.api.listing import Filter, arrange
from novitai.api.paging import slice_of
from novitai.api.parts import ApiParts
from novitai.api.queries import read_query
from novitai.api.rendering import Renderer
from novitai.api.routing import Routes, authorise, json_answer
from novitai.api.schemas.instances import (
    ComprehensivePage,
    ComprehensiveQuery,
    InstanceDetailsAnswer,
    InstancePage,
    ListQuery,
    OneQuery,
)
from novitai.api.visits import Visit, visit_of
from novitai.api.waiting import hold, settled
from novitai.domain.errors import Code, Refusal, invalid
from novitai.domain.instance import Instance
from novitai.domain.keys import Scope
from novitai.domain.lifecycle import State
from novitai.domain.secrets import Sealed
from novitai.operations import records
from novitai.operations.ledger import Snapshot, snapshot_of

ROUTES = Routes("instances")
DELETED = str(State.DELETED)
_NOT_FOUND = {404: "There is no such instance"}


@ROUTES.add("GET", "/api/instances", needs=Scope.READ, answer=InstancePage, query=ListQuery, plain=True)
async def list_instances(request: Request) -> Response:
    """Managed instances, newest first. Answered from memory; `stale` says when Novita was not heard of lately."""
    state = request.app.state
    parts: ApiParts = state.parts
    query = read_query(ListQuery, request.scope["query_string"])
    wanted = filter_of(query)
    arranged = state.index.of(wanted) if DELETED not in query.status else arrange(await _deleted(parts), wanted)
    snapshots, cursor = arranged.page(cursor=query.cursor, limit=query.limit)
    body = state.renderer.page(snapshots, total=len(arranged.snapshots), next_cursor=cursor, now=parts.clock.now())
    return Response(body, media_type="application/json")


@ROUTES.add("GET", "/api/instances/comprehensive", needs=Scope.READ, answer=ComprehensivePage)
async def list_comprehensive(
    parts: Parts, renderer: Rendering, query: Annotated[ComprehensiveQuery, Query()]
) -> Response:
    """Managed instances with what Novita's list says of their machines, and the machines of the account that are not managed."""
    rows, performance = merge(parts, renderer, filter_of(query), unmanaged=query.include_novita_only)
    page, cursor = slice_of(rows, "comprehensive", cursor=query.cursor, limit=query.limit)
    return json_answer(
        ComprehensivePage(
            instances=list(page),
            total=len(rows),
            next_cursor=cursor,
            sources=sources_of(rows),
            performance=performance,
        )
    )


@ROUTES.add(
    "GET",
    "/api/instances/{instance_id:reference}",
    needs=Scope.READ,
    answer=InstanceDetailsAnswer,
    query=OneQuery,
    others=_NOT_FOUND | {409: "Several instances have this name, or the key is gone that a value was encrypted with"},
    plain=True,
)
async def get_instance(request: Request) -> Response:
    """One instance, by our id, Novita's id, or a name that only one has. `?wait=ready` holds the answer until it is ready.

    A deleted instance can be read while its record is kept.
    """
    parts: ApiParts = request.app.state.parts
    visit = visit_of(request.scope)
    query = read_query(OneQuery, request.scope["query_string"])
    if query.reveal:
        authorise(visit, Scope.ADMIN)
    snapshot = await parts.verbs.resolve(request.path_params["instance_id"])
    if query.wait is not None and not settled(snapshot.instance):
        snapshot = await _wait(parts, visit, snapshot, seconds=query.timeout)
    return Response(_details(parts, request.app.state.renderer, snapshot, query), media_type="application/json")


def filter_of(query: ListQuery) -> Filter:
    """The conditions of a list query. Raises Refusal VALIDATION_ERROR for what cannot be meant."""
    if DELETED in query.status and len(query.status) > 1:
        raise invalid("status", "'deleted' cannot be combined with others: deleted instances are a list of their own")
    labels = []
    for text in query.label:
        key, sign, value = text.partition("=")
        if not key or not sign:
            raise invalid("label", f"{text[:100]!r} is not key=value")
        labels.append((key, value))
    return Filter(
        statuses=frozenset(query.status),
        name=query.name,
        labels=tuple(labels),
        region=query.region,
        billing_mode=query.billing_mode,
        sort=query.sort,
    )


async def _deleted(parts: ApiParts) -> list[Snapshot]:
    """Every deleted instance that is still kept; this may wait for the disk."""
    found: list[Snapshot] = []
    cursor: str | None = None
    while True:
        page = await parts.store.list(records.INSTANCES, "deleted", cursor=cursor, limit=500)
        found += map(snapshot_of, page.records)
        cursor = page.next_cursor
        if cursor is None:
            return found


async def _wait(parts: ApiParts, visit: Visit, snapshot: Snapshot, *, seconds: float) -> Snapshot:
    visit.held = True
    instance_id = snapshot.instance.id
    await hold(parts, instance_id, settled, seconds=seconds)
    live = parts.reads.get(instance_id)
    if live is not None:
        return live
    try:
        return await parts.verbs.load(instance_id)
    except Refusal:  # deleted meanwhile, and kept for no time at all
        return snapshot


def _details(parts: ApiParts, renderer: Renderer, snapshot: Snapshot, query: OneQuery) -> bytes:
    instance = snapshot.instance
    body = renderer.one(snapshot, now=parts.clock.now(), more={"envs": _envs(parts, instance, query)})
    password = instance.serving.password if instance.serving else None
    if "credentials" not in query.reveal or password is None:
        return body
    shown = msgspec.json.decode(body)
    if shown["connectionDetails"] is not None:
        shown["connectionDetails"]["password"] = _revealed(parts, password)
    return msgspec.json.encode(shown)


def _envs(parts: ApiParts, instance: Instance, query: OneQuery) -> list[dict[str, str]]:
    shown = "envs" in query.reveal
    return [{"key": key, "value": _revealed(parts, value) if shown else "***"} for key, value in instance.spec.envs]


def _revealed(parts: ApiParts, value: Sealed) -> str:
    """Raises Refusal INVALID_STATE when the key that sealed it is gone."""
    try:
        return parts.sealer.open(value)
    except ValueError as error:
        why = f"this cannot be shown, because the key it was encrypted with is not here ({error})"
        raise Refusal(Code.INVALID_STATE, f"{why}; NOVITAI_SECRETS_KEY may hold several") from error
