"""What can be had: offers, templates, regions, registry credentials, network volumes."""

import asyncio
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from novitai.api.access import Parts
from novitai.api.offers_view import offer_answer
from novitai.api.paging import slice_of
from novitai.api.parts import ApiParts
from novitai.api.routing import Routes, json_answer
from novitai.api.schemas.account import (
    NetworkStorageAnswer,
    NetworkStoragePage,
    RegionAnswer,
    RegionPage,
    RegistryAuthAnswer,
    RegistryAuthPage,
    TemplateAnswer,
    TemplateEnv,
    TemplatePage,
    TemplatePort,
)
from novitai.api.schemas.common import PageQuery
from novitai.api.schemas.offers import OfferPage, OfferQuery
from novitai.domain.errors import ProviderFailure
from novitai.domain.keys import Scope
from novitai.domain.money import usd
from novitai.domain.offers import BillingChoice, Placement
from novitai.domain.templates import Template
from novitai.operations.catalogue import FRESH_SECONDS
from novitai.operations.creation import require_product
from novitai.operations.requests import CreateRequest
from novitai.ports.coordination import Share

ROUTES = Routes("account")
Paged = Annotated[PageQuery, Query()]
_UPSTREAM = {502: "Novita failed", 504: "Novita did not answer in time"}


@ROUTES.add("GET", "/api/offers", needs=Scope.READ, answer=OfferPage, others=_UPSTREAM | {404: "No such region"})
async def list_offers(parts: Parts, query: Annotated[OfferQuery, Query()]) -> Response:
    """Offers as a create with these words would try them, best first, each with the reason for its place.

    Answered from the catalogue in memory; when that is old, a reading is set in motion for the next asker.
    """
    requirement, catalogue = await parts.creation.requirement(_as_create(query))
    _refresh(parts)
    require_product(catalogue, requirement)
    ranked = parts.creation.rank(catalogue, requirement)
    page, cursor = slice_of(ranked, "offers", cursor=query.cursor, limit=query.limit)
    age = parts.catalogue.age()
    return json_answer(
        OfferPage(
            offers=[offer_answer(place) for place in page],
            total=len(ranked),
            next_cursor=cursor,
            catalogue_age_seconds=None if age is None else round(age, 3),
        )
    )


@ROUTES.add("GET", "/api/templates", needs=Scope.READ, answer=TemplatePage, others=_UPSTREAM)
async def list_templates(parts: Parts, query: Paged) -> Response:
    """The account's private templates."""
    found = await parts.account.templates()
    page, cursor = slice_of(found, "templates", cursor=query.cursor, limit=query.limit)
    return json_answer(TemplatePage(templates=[_template(one) for one in page], total=len(found), next_cursor=cursor))


@ROUTES.add(
    "GET",
    "/api/templates/{template_id}",
    needs=Scope.READ,
    answer=TemplateAnswer,
    others=_UPSTREAM | {404: "There is no such template"},
)
async def get_template(template_id: str, parts: Parts) -> Response:
    """One template, of any channel."""
    return json_answer(_template(await parts.account.template(template_id)))


@ROUTES.add("GET", "/api/regions", needs=Scope.READ, answer=RegionPage, others=_UPSTREAM)
async def list_regions(parts: Parts, query: Paged) -> Response:
    """Novita's regions; each can be named by id, code or name."""
    catalogue = await parts.catalogue.for_acceptance()
    page, cursor = slice_of(catalogue.regions, "regions", cursor=query.cursor, limit=query.limit)
    regions = [
        RegionAnswer(id=one.cluster_id, code=one.code, name=one.name, network_storage=one.network_storage)
        for one in page
    ]
    return json_answer(RegionPage(regions=regions, total=len(catalogue.regions), next_cursor=cursor))


@ROUTES.add("GET", "/api/registry-auths", needs=Scope.READ, answer=RegistryAuthPage, others=_UPSTREAM)
async def list_registry_auths(parts: Parts, query: Paged) -> Response:
    """Credentials for private images, by id; never a password."""
    found = await parts.account.registry_auths()
    page, cursor = slice_of(found, "registry-auths", cursor=query.cursor, limit=query.limit)
    auths = [RegistryAuthAnswer(id=one.id, name=one.name, username=one.username) for one in page]
    return json_answer(RegistryAuthPage(registry_auths=auths, total=len(found), next_cursor=cursor))


@ROUTES.add("GET", "/api/network-storages", needs=Scope.READ, answer=NetworkStoragePage, others=_UPSTREAM)
async def list_network_storages(parts: Parts, query: Paged) -> Response:
    """Network volumes. A create whose volume lies in another region is refused."""
    found = await parts.account.network_storages()
    page, cursor = slice_of(found, "network-storages", cursor=query.cursor, limit=query.limit)
    storages = [
        NetworkStorageAnswer(
            id=one.id, name=one.name, size_gb=one.size_gb, cluster_id=one.cluster_id, region=one.region
        )
        for one in page
    ]
    return json_answer(NetworkStoragePage(network_storages=storages, total=len(found), next_cursor=cursor))


def _as_create(query: OfferQuery) -> CreateRequest:
    cap = query.max_price_per_hour
    return CreateRequest(
        name="offers",
        product_name=query.product_name,
        product_id=query.product_id,
        gpu_num=query.gpu_num,
        rootfs_gb=query.rootfs_size,
        regions=tuple(query.region),
        billing=BillingChoice(query.billing_mode),
        placement=Placement(query.placement) if query.placement else None,
        max_price_per_hour=None if cap is None else usd(cap),
    )


def _refresh(parts: ApiParts) -> None:
    """Set a reading of the catalogue in motion when it is old; whoever asks now does not wait for it."""
    age = parts.catalogue.age()
    if age is not None and age > FRESH_SECONDS:
        reading = asyncio.ensure_future(_read_catalogue(parts))
        _READINGS.add(reading)
        reading.add_done_callback(_READINGS.discard)


async def _read_catalogue(parts: ApiParts) -> None:
    try:
        await parts.catalogue.fresh(max_age=FRESH_SECONDS, share=Share.BULK)
    except ProviderFailure:
        return  # the age in the answer says it


_READINGS: set[asyncio.Future[None]] = set()
"""Readings under way: the event loop itself would forget them."""


def _template(template: Template) -> TemplateAnswer:
    return TemplateAnswer(
        id=template.id,
        name=template.name,
        image_url=template.image_url,
        image_auth_id=template.image_auth_id or None,
        channel=template.channel or None,
        command=template.command,
        entrypoint=template.entrypoint,
        rootfs_size=template.rootfs_gb or None,
        ports=[TemplatePort(port=port.port, type=port.type) for port in template.ports],
        envs=[TemplateEnv(key=key, value="***") for key, _ in template.envs],
        description=template.readme or None,
        min_cuda_version=template.min_cuda_version or None,
    )
