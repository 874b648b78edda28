"""Why: an instance explained, in sentences and as data."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from novitai.api.access import Parts
from novitai.api.next_action import next_action
from novitai.api.paging import number, pack, unpack
from novitai.api.parts import ApiParts
from novitai.api.routing import Routes, json_answer
from novitai.api.schemas.explain import (
    DecisionAnswer,
    ExplainAnswer,
    ExplainQuery,
    PolicyViewAnswer,
    SignAnswer,
)
from novitai.api.schemas.instances import DesiredAnswer, NextActionAnswer
from novitai.api.views import desired_of
from novitai.domain.errors import Code, Refusal
from novitai.domain.explanation import Sign
from novitai.domain.keys import Scope
from novitai.domain.times import iso, iso_or_none
from novitai.operations.explanation import Decided, Told
from novitai.operations.ledger import Snapshot

ROUTES = Routes("instances")


@ROUTES.add(
    "GET",
    "/api/instances/{instance_id:reference}/explain",
    needs=Scope.READ,
    answer=ExplainAnswer,
    others={404: "There is no such instance", 409: "Several instances have this name"},
)
async def explain_instance(instance_id: str, parts: Parts, query: Annotated[ExplainQuery, Query()]) -> Response:
    """Why an instance is as it is: its state, who wants what, every signal with its age, every policy with its source and what it says,
    what comes next and what would change that, and the reason of everything that was done by itself.
    """
    snapshot = await _managed(parts, instance_id)
    scope = f"explain:{snapshot.instance.id}"
    before = number(unpack(scope, query.cursor, length=1)[0]) if query.cursor is not None else None
    page = await parts.explaining.decisions(snapshot.instance.id, before=before, limit=query.limit)
    told = parts.explaining.explain(snapshot)
    cursor = None if page.next_position is None else pack(scope, page.next_position)
    return json_answer(_answer(told, [_decision(one) for one in page.decisions], cursor))


async def _managed(parts: ApiParts, reference: str) -> Snapshot:
    """The instance that is meant. Raises Refusal, which says so when there is a machine that we only do not manage."""
    try:
        return await parts.verbs.resolve(reference)
    except Refusal as refusal:
        if refusal.code is not Code.INSTANCE_NOT_FOUND or parts.orphans.get(reference) is None:
            raise
        message = f"machine {reference} is on the account but not managed, so nothing is planned for it; adopt it, or see /api/orphans"
        raise Refusal(refusal.code, message) from None


def _answer(told: Told, decisions: list[DecisionAnswer], cursor: str | None) -> ExplainAnswer:
    coming = next_action(told.coming)
    return ExplainAnswer(
        instance_id=told.instance.id,
        name=told.instance.name,
        at=iso(told.at),
        summary=told.summary,
        state=str(told.instance.state),
        desired=DesiredAnswer.model_validate(desired_of(told.instance), from_attributes=True),
        signals=[_sign(sign, now=told.at) for sign in told.signs],
        policies=[
            PolicyViewAnswer(name=view.name, value=view.value, source=view.source, verdict=view.verdict)
            for view in told.policies
        ],
        next_action=None if coming is None else NextActionAnswer.model_validate(coming, from_attributes=True),
        decisions=decisions,
        next_cursor=cursor,
    )


def _sign(sign: Sign, *, now: float) -> SignAnswer:
    age = None if not sign.at else round(now - sign.at, 3)
    return SignAnswer(name=sign.name, value=sign.value, at=iso_or_none(sign.at), age_seconds=age, idle=sign.idle)


def _decision(one: Decided) -> DecisionAnswer:
    why = one.why
    return DecisionAnswer(at=iso(one.at), by=one.by, action=one.action, because=why.because, facts=why.facts)
