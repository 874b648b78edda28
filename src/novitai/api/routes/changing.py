"""Changes of instances: create, start, stop, restart, delete, by id and by name, and last-used."""

from starlette.requests import Request
from starlette.responses import Response

from novitai.api.access import Here, Parts
from novitai.api.offers_view import offer_answer
from novitai.api.parts import ApiParts
from novitai.api.routing import Routes, json_answer
from novitai.api.schemas.creating import ChosenOffer, CreateBody, CreatedAnswer, PlanAnswer
from novitai.api.schemas.verbs import (
    AcceptedAnswer,
    LastUsedAnswer,
    LastUsedBody,
    StartBody,
    StartByNameBody,
    StopBody,
    StopByNameBody,
    VerbBody,
    VerbByNameBody,
    unix,
)
from novitai.api.views import links_of, refused_offers
from novitai.api.visits import Visit
from novitai.api.waiting import answered, created, hold, preferred_wait, refusal_in
from novitai.domain.errors import Code, Refusal, invalid
from novitai.domain.instance import Instance, Verb
from novitai.domain.keys import Scope
from novitai.domain.money import dollars
from novitai.domain.offers import Offer, Ranked
from novitai.domain.times import iso, iso_or_none
from novitai.operations.instances import not_found
from novitai.operations.receipts import Answer
from novitai.operations.requests import Accepted, Created, VerbRequest

ROUTES = Routes("instances")

_REFUSED = {402: "The Novita account cannot pay", 409: "The state of the world refuses it"}
_ACCEPTED = {200: "It is so already", 404: "There is no such instance"} | {409: _REFUSED[409]}

_DONE = {
    Verb.START: "the instance runs already",
    Verb.RESTART: "the instance runs already",
    Verb.STOP: "the instance is stopped",
    Verb.DELETE: "the instance is deleted",
}


@ROUTES.add(
    "POST",
    "/api/instances",
    needs=Scope.WRITE,
    answer=CreatedAnswer,
    status=201,
    others=_REFUSED | {404: "Product, template, region, volume or credential is not there", 502: "Novita failed"},
    commits_receipt=True,
)
async def create_instance(request: Request, body: CreateBody, parts: Parts, visit: Here) -> Response:
    """Get an instance.

    201 comes when the intent is durable, before Novita answers; with `Prefer: wait=N` when Novita accepted or refused, or after N seconds.
    `dryRun` answers 200 with what would be done.
    """
    if body.dry_run:
        return json_answer(await _planned(parts, visit, body))
    require_control(parts)
    made = await parts.creation.create(body.request(), visit.context(), _created_answer)
    instance = made.instance
    if seconds := _wait(request, parts, visit):
        instance = await hold(parts, instance.id, created, seconds=seconds) or instance
        _raise_refusal(instance, made.instance.operation.id)
    answer = json_answer(_created(Created(instance=instance, ranked=made.ranked)), status=201)
    return _applied(answer, seconds)


@ROUTES.add(
    "POST",
    "/api/instances/start",
    needs=Scope.WRITE,
    answer=AcceptedAnswer,
    status=202,
    others=_ACCEPTED,
    commits_receipt=True,
)
async def start_by_name(request: Request, body: StartByNameBody, parts: Parts, visit: Here) -> Response:
    """Start the one instance of this name."""
    instance_id = await by_name(parts, visit, body.instance_name)
    return await _perform(request, parts, visit, instance_id, Verb.START, body.request())


@ROUTES.add(
    "POST",
    "/api/instances/stop",
    needs=Scope.WRITE,
    answer=AcceptedAnswer,
    status=202,
    others=_ACCEPTED,
    commits_receipt=True,
)
async def stop_by_name(request: Request, body: StopByNameBody, parts: Parts, visit: Here) -> Response:
    """Stop the one instance of this name."""
    instance_id = await by_name(parts, visit, body.instance_name)
    return await _perform(request, parts, visit, instance_id, Verb.STOP, body.request())


@ROUTES.add(
    "POST",
    "/api/instances/delete",
    needs=Scope.WRITE,
    answer=AcceptedAnswer,
    status=202,
    others=_ACCEPTED,
    commits_receipt=True,
)
async def delete_by_name(request: Request, body: VerbByNameBody, parts: Parts, visit: Here) -> Response:
    """Delete the one instance of this name, its machine and its disk."""
    instance_id = await by_name(parts, visit, body.instance_name)
    return await _perform(request, parts, visit, instance_id, Verb.DELETE, body.request())


@ROUTES.add(
    "POST",
    "/api/instances/{instance_id:reference}/start",
    needs=Scope.WRITE,
    answer=AcceptedAnswer,
    status=202,
    others=_ACCEPTED,
    commits_receipt=True,
)
async def start_instance(
    request: Request, instance_id: str, parts: Parts, visit: Here, body: StartBody | None = None
) -> Response:
    """Start a stopped or failed instance. `{instance_id}` is ours, Novita's, or a name that only one instance has."""
    body = body or StartBody()
    found = await _named_as_said(parts, instance_id, body.instance_name)
    return await _perform(request, parts, visit, found, Verb.START, body.request())


@ROUTES.add(
    "POST",
    "/api/instances/{instance_id:reference}/stop",
    needs=Scope.WRITE,
    answer=AcceptedAnswer,
    status=202,
    others=_ACCEPTED,
    commits_receipt=True,
)
async def stop_instance(
    request: Request, instance_id: str, parts: Parts, visit: Here, body: StopBody | None = None
) -> Response:
    """Stop an instance; its disk stays. It stays stopped until somebody starts it; with `until` its schedule counts again from then."""
    body = body or StopBody()
    found = await _named_as_said(parts, instance_id, body.instance_name)
    return await _perform(request, parts, visit, found, Verb.STOP, body.request())


@ROUTES.add(
    "POST",
    "/api/instances/{instance_id:reference}/restart",
    needs=Scope.WRITE,
    answer=AcceptedAnswer,
    status=202,
    others=_ACCEPTED,
    commits_receipt=True,
)
async def restart_instance(
    request: Request, instance_id: str, parts: Parts, visit: Here, body: VerbBody | None = None
) -> Response:
    """Restart a running machine; a stopped one is started."""
    body = body or VerbBody()
    found = await _named_as_said(parts, instance_id, body.instance_name)
    return await _perform(request, parts, visit, found, Verb.RESTART, body.request())


@ROUTES.add(
    "DELETE",
    "/api/instances/{instance_id:reference}",
    needs=Scope.WRITE,
    answer=AcceptedAnswer,
    status=202,
    others=_ACCEPTED,
    commits_receipt=True,
)
async def delete_instance(
    request: Request, instance_id: str, parts: Parts, visit: Here, body: VerbBody | None = None
) -> Response:
    """Delete an instance, its machine and its disk. This cannot be taken back."""
    body = body or VerbBody()
    found = await _named_as_said(parts, instance_id, body.instance_name)
    return await _perform(request, parts, visit, found, Verb.DELETE, body.request())


@ROUTES.add(
    "PUT",
    "/api/instances/{instance_id:reference}/last-used",
    needs=Scope.WRITE,
    answer=LastUsedAnswer,
    others={404: "There is no such instance"},
)
async def mark_last_used(instance_id: str, parts: Parts, visit: Here, body: LastUsedBody | None = None) -> Response:
    """Say that an instance is in use, now or at a moment before. The latest moment that was told holds."""
    instance = (await parts.verbs.resolve(instance_id)).instance
    asked = unix(body.last_used_at) if body is not None and body.last_used_at is not None else None
    holds = await parts.verbs.last_used(instance.id, asked, visit.context())
    message = "noted" if asked is None or holds == asked else "a later use is known; it holds"
    return json_answer(LastUsedAnswer(instance_id=instance.id, last_used_at=iso(holds), message=message))


def require_control(parts: ApiParts) -> None:
    """Raises Refusal FORBIDDEN in observe mode: Novita must not be changed."""
    if parts.settings.observe:
        raise Refusal(
            Code.FORBIDDEN, "NOVITAI_MODE is 'observe': instances are watched, and nothing is changed on Novita"
        )


async def by_name(parts: ApiParts, visit: Visit, name: str) -> str:
    """The id of the one managed instance of a name. A machine of that name that nobody manages is taken under management first, when the
    settings allow to look for it. Raises Refusal.
    """
    require_control(parts)
    found = parts.reads.find_name(name)
    if found is not None:
        return found.instance.id
    if not parts.settings.name_lookup:
        raise not_found(name)
    return (await parts.orphans.adopt(name, visit.context())).instance.id


async def _named_as_said(parts: ApiParts, reference: str, name: str | None) -> str:
    """The id of the instance in the path. Raises Refusal, also when the body names another one."""
    require_control(parts)
    instance = (await parts.verbs.resolve(reference)).instance
    if name is not None and name != instance.name:
        raise invalid("instanceName", f"{name!r} is not the name of the instance in the path, {instance.name!r}")
    return instance.id


async def _perform(
    request: Request, parts: ApiParts, visit: Visit, instance_id: str, verb: Verb, asked: VerbRequest
) -> Response:
    def receipt(accepted: Accepted) -> Answer:
        body = _accepted(accepted, verb)
        return Answer(status=_status(accepted), body=body.model_dump_json(by_alias=True))

    accepted = await parts.verbs.perform(instance_id, verb, asked, visit.context(), receipt)
    instance = accepted.instance
    seconds = _wait(request, parts, visit) if accepted.under_way else 0.0
    if seconds:
        operation_id = instance.operation.id
        latest = await hold(parts, instance_id, answered(operation_id, verb), seconds=seconds)
        if latest is not None:
            _raise_refusal(latest, operation_id)
    return _applied(json_answer(_accepted(accepted, verb), status=_status(accepted)), seconds)


def _wait(request: Request, parts: ApiParts, visit: Visit) -> float:
    """Seconds to hold the answer. The receipt is committed by now, so a repeat need not wait with us."""
    seconds = preferred_wait(request.headers)
    if seconds and visit.draft is not None:
        parts.receipts.end(visit.draft)
    visit.held = visit.held or seconds > 0
    return seconds


def _applied(response: Response, seconds: float) -> Response:
    if seconds:
        response.headers["Preference-Applied"] = f"wait={seconds:.0f}"
    return response


def _raise_refusal(instance: Instance, operation_id: str) -> None:
    error = instance.last_error
    refusal = refusal_in(instance, operation_id, refused_offers(error) if error is not None else [])
    if refusal is not None:
        raise refusal


def _status(accepted: Accepted) -> int:
    """202 while something is left to do, 200 when it is so already."""
    left = accepted.instance.operation.under_way if accepted.changed else accepted.under_way
    return 202 if left else 200


def _accepted(accepted: Accepted, verb: Verb) -> AcceptedAnswer:
    instance, operation = accepted.instance, accepted.instance.operation
    message = f"{verb} accepted" if accepted.changed else f"{verb} is under way"
    return AcceptedAnswer(
        instance_id=instance.id,
        novita_instance_id=instance.serving.id if instance.serving else None,
        status=str(instance.state),
        message=message if _status(accepted) == 202 else _DONE[verb],
        operation_id=operation.id,
        estimated_ready_time=iso_or_none(operation.estimated_ready_at) if operation.under_way else None,
    )


def _created_answer(made: Created) -> Answer:
    return Answer(status=201, body=_created(made).model_dump_json(by_alias=True))


def _created(made: Created) -> CreatedAnswer:
    instance, offer = made.instance, made.instance.offer
    spot = offer.spot_price_per_hour
    return CreatedAnswer(
        instance_id=instance.id,
        novita_instance_id=instance.machine.id if instance.machine else None,
        name=instance.name,
        status=str(instance.state),
        message="the create is accepted; follow it by its events or with ?wait=ready",
        product_id=offer.product_id,
        product_name=offer.product_name,
        region=offer.region,
        billing_mode=str(offer.billing_mode),
        price_per_hour=dollars(offer.price_per_hour),
        spot_price=None if spot is None else dollars(spot),
        estimated_ready_time=iso_or_none(instance.operation.estimated_ready_at),
        offer=_chosen(offer, made.ranked),
        links=links_of(instance.id),
    )


async def _planned(parts: ApiParts, visit: Visit, body: CreateBody) -> PlanAnswer:
    plan = await parts.creation.plan(body.request(), visit.context())
    offer, spot = plan.offer, plan.offer.spot_price_per_hour
    return PlanAnswer(
        name=body.name,
        message="nothing was bought; this offer would be taken",
        product_id=offer.product_id,
        product_name=offer.product_name,
        region=offer.region,
        billing_mode=str(offer.billing_mode),
        price_per_hour=dollars(offer.price_per_hour),
        spot_price=None if spot is None else dollars(spot),
        offer=_chosen(offer, plan.ranked),
        offers=[offer_answer(place) for place in plan.ranked],
    )


def _chosen(offer: Offer, ranked: tuple[Ranked, ...]) -> ChosenOffer:
    place = next((place for place in ranked if place.offer.key == offer.key), None)
    return ChosenOffer(
        rank=place.rank if place is not None else 0,
        candidates=sum(place.fits for place in ranked),
        reason=place.reason if place is not None else "chosen since the ranking",
    )
