"""Every call of Novita's public v1 API that we make, as values (novita-wire.md 3).

Each function gives the path, the parameters, the body and the way to read the answer; none of them does anything.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from novitai.domain.ids import MachineId
from novitai.domain.machine import BillingMode, Machine
from novitai.domain.offers import Product, Region
from novitai.domain.templates import NetworkStorage, Template
from novitai.novita import translate, wire
from novitai.novita.calls import Effect, Request
from novitai.novita.reading import EmptyRecord, Rows, Unreadable, check_json, is_blank, record, rows
from novitai.ports.provider import MachineOrder, MachinePage

T = TypeVar("T")
S = TypeVar("S")


# ── machines ──────────────────────────────────────────────────────────────────────────────────────────────────────


def machines(page: int, page_size: int, *, name: str = "") -> Request[MachinePage]:
    """One page of the list (novita-wire.md 1.5: `pageNum`, and the first page is 1 for every server seen). What the
    `name` filter finds is not documented; nothing may rest on it.
    """

    def read(body: bytes) -> MachinePage:
        found = rows(body, "instances")
        readable, unreadable = _each(found, wire.Machine, lambda one: translate.machine(one, detailed=False))
        return MachinePage(
            machines=tuple(readable), total=_total(found, page=page, page_size=page_size), unreadable=unreadable
        )

    return Request(
        operation="list_machines",
        method="GET",
        path="/v1/gpu/instances",
        query={"pageNum": str(page), "pageSize": str(page_size)} | ({"name": name} if name else {}),
        read=read,
    )


def machine(machine_id: MachineId) -> Request[Machine]:
    """One machine; the record is the top-level object (novita-wire.md 3.5). An empty one says that there is none."""

    def read(body: bytes) -> Machine:
        if is_blank(body):
            raise EmptyRecord("nothing is set")
        found = translate.machine(record(body, wire.Machine), detailed=True)
        if found.id != machine_id:
            raise Unreadable("the answer is about another machine")
        return found

    return Request(
        operation="get_machine",
        method="GET",
        path="/v1/gpu/instance",
        query={"instanceId": machine_id},
        names_one=True,
        read=read,
    )


SHORTEST_SECRET = 6


def create(order: MachineOrder, image_auth: str) -> Request[MachineId]:
    """Buy a machine. `image_auth` is `username:password` or empty. An answer without an id is unreadable."""
    body = wire.CreateBody(
        name=order.machine_name,
        product_id=order.offer.product_id,
        gpu_num=order.offer.gpu_num,
        rootfs_size=order.rootfs_gb,
        image_url=order.image_url,
        kind="gpu",
        billing_mode=order.offer.billing_mode.value,
        cluster_id=order.offer.cluster_id,
        ports=", ".join(f"{one.port}/{one.type}" for one in order.ports),
        envs=tuple(wire.EnvVar(key=key, value=value) for key, value in order.envs),
        command=order.command,
        entrypoint=order.entrypoint,
        image_auth=image_auth,
        network_storages=tuple(wire.Mount(id=one, mount_point=where) for one, where in order.network_storages),
    )
    return Request(
        operation="create",
        method="POST",
        path="/v1/gpu/instance/create",
        body=msgspec.json.encode(body),
        effect=Effect.CREATE,
        read=lambda body: translate.machine_id(record(body, wire.Created).id),
        secrets=_secrets(order, image_auth),
    )


def _secrets(order: MachineOrder, image_auth: str) -> tuple[str, ...]:
    """What Novita must not tell us back: a complaint about a value may quote it. Short values are words like any other."""
    named = (image_auth, image_auth.partition(":")[2], *(value for _, value in order.envs))
    return tuple(sorted({one for one in named if len(one) >= SHORTEST_SECRET}, key=len, reverse=True))


def action(verb: str, machine_id: MachineId) -> Request[None]:
    """`start`, `stop`, `restart`, `delete` or `migrate`.

    What a success says is not reliable (novita-wire.md 3.6), so any JSON will do, and so will nothing.
    """
    return Request(
        operation=verb,
        method="POST",
        path=f"/v1/gpu/instance/{verb}",
        body=msgspec.json.encode(wire.MachineRef(machine_id)),
        effect=Effect.CHANGE,
        names_one=True,
        read=check_json,
    )


# ── the catalogue ─────────────────────────────────────────────────────────────────────────────────────────────────


def products(mode: BillingMode) -> Request[tuple[Product, ...]]:
    """What is sold under a billing mode, with its prices (novita-wire.md 3.2)."""

    def read(body: bytes) -> tuple[Product, ...]:
        readable, _ = _each(rows(body, "data"), wire.Product, lambda one: translate.product(one, mode))
        return tuple(one for one in readable if one is not None)

    return Request(
        operation="list_products",
        method="GET",
        path="/v1/products",
        query={"billingMethod": mode.value},
        read=read,
    )


def clusters() -> Request[tuple[Region, ...]]:
    """All regions."""

    def read(body: bytes) -> tuple[Region, ...]:
        return tuple(_each(rows(body, "data"), wire.Cluster, translate.region)[0])

    return Request(operation="list_clusters", method="GET", path="/v1/clusters", read=read)


# ── things of the account ─────────────────────────────────────────────────────────────────────────────────────────


def templates(page: int, page_size: int) -> Request[tuple[list[Template], int]]:
    """A page of the private templates and the count of all; the list's key is singular (novita-wire.md 3.11)."""
    return Request(
        operation="list_templates",
        method="GET",
        path="/v1/templates",
        query={
            "channel": "private",
            "isMyCommunity": "true",
            "pageNum": str(page),
            "pageSize": str(page_size),
        },
        read=page_reader("template", wire.Template, translate.template, page=page, page_size=page_size),
    )


def template(template_id: str) -> Request[Template]:
    """One template of any channel."""
    return Request(
        operation="get_template",
        method="GET",
        path="/v1/template",
        query={"templateId": template_id},
        names_one=True,
        read=lambda body: translate.template(record(body, wire.OneTemplate).template),
    )


def registry_auths() -> Request[tuple[wire.RegistryAuth, ...]]:
    """Registry credentials as Novita gives them: with their passwords, so the answer must not be kept. One without an
    id is left out: nobody can ask for it.
    """

    def identified(one: wire.RegistryAuth) -> wire.RegistryAuth:
        translate.registry_auth(one)
        return one

    def read(body: bytes) -> tuple[wire.RegistryAuth, ...]:
        return tuple(_each(rows(body, "data"), wire.RegistryAuth, identified)[0])

    return Request(operation="list_registry_auths", method="GET", path="/v1/repository/auths", read=read)


def network_storages(page: int, page_size: int) -> Request[tuple[list[NetworkStorage], int]]:
    """A page of the network volumes and the count of all. Trap: the page is `pageNo` here (novita-wire.md 1.5)."""
    return Request(
        operation="list_network_storages",
        method="GET",
        path="/v1/networkstorages/list",
        query={"pageNo": str(page), "pageSize": str(page_size)},
        read=page_reader("data", wire.NetworkStorage, translate.network_storage, page=page, page_size=page_size),
    )


# ── reading lists ─────────────────────────────────────────────────────────────────────────────────────────────────


def page_reader(
    key: str, shape: type[S], meaning: Callable[[S], T], *, page: int, page_size: int
) -> Callable[[bytes], tuple[list[T], int]]:
    """How to read one page of a list: its records in our words, and the count of all."""

    def read(body: bytes) -> tuple[list[T], int]:
        found = rows(body, key)
        return _each(found, shape, meaning)[0], _total(found, page=page, page_size=page_size)

    return read


def _each(found: Rows, shape: type[S], meaning: Callable[[S], T]) -> tuple[list[T], int]:
    """The records in our words, and how many made no sense."""
    readable: list[T] = []
    for raw in found.items:
        try:
            readable.append(meaning(record(raw, shape)))
        except Unreadable:
            continue
    return readable, len(found.items) - len(readable)


def _total(found: Rows, *, page: int, page_size: int) -> int:
    """Novita's count of all; without one, what is known so far, and one more while the page is full."""
    if found.total is not None:
        return found.total
    count = len(found.items)
    return (page - 1) * page_size + count + (1 if count >= page_size else 0)
