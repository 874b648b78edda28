"""Novita's public v1 API for machines, products and jobs (novita-wire.md 3.1-3.10)."""

from dataclasses import replace
from functools import partial

from novita_simulator import actions, moves, wire
from novita_simulator.catalogue import BILLING_MODES, Cluster, Product
from novita_simulator.errors import Refusal, invalid_param
from novita_simulator.http.ask import EMPTY, NO_CONTENT, Ask, Routes
from novita_simulator.jobs import JobFilter
from novita_simulator.machine import Machine
from novita_simulator.orders import LONGEST_NAME, read_create, read_edit, read_upgrade
from novita_simulator.paging import read_page

BASE = "/gpu-instance/openapi/v1"


def _clusters(ask: Ask) -> object:
    catalogue = ask.world.catalogue
    return {"data": [wire.cluster(cluster, catalogue) for cluster in catalogue.clusters.values()]}


def _products(ask: Ask) -> object:
    mode = ask.query.text("billingMethod", "onDemand")
    if mode not in BILLING_MODES:
        raise invalid_param("billingMethod")
    wanted = ask.query.whole("gpuNum", 0, least=0, most=8)
    return {
        "data": [
            wire.product(product, ask.world, wire.ProductView(free=free, wanted=wanted))
            for product, free in _found(ask, kind="gpu", mode=mode)
            if _is_large_enough(product, ask)
        ]
    }


def _cpu_products(ask: Ask) -> object:
    return {
        "data": [
            wire.cpu_product(product, ask.world, free=free)
            for product, free in _found(ask, kind="cpu", mode="onDemand")
        ]
    }


def _found(ask: Ask, *, kind: str, mode: str) -> list[tuple[Product, int]]:
    """The products that fit the query, each with the most that is free in one cluster."""
    world = ask.world
    cluster_id = ask.query.text("clusterId", "", longest=255)
    name = ask.query.text("productName", "", longest=255).lower()
    return [
        (product, world.stock.most_free(product, [c.id for c in clusters], mode))
        for product in world.catalogue.products.values()
        if product.kind == kind
        and mode in product.billing_modes
        and name in product.name.lower()
        and (clusters := _clusters_asked_for(world.catalogue.clusters_of(product), cluster_id))
    ]


def _clusters_asked_for(clusters: list[Cluster], cluster_id: str) -> list[Cluster]:
    return [cluster for cluster in clusters if cluster_id in {"", cluster.id}]


def _is_large_enough(product: Product, ask: Ask) -> bool:
    return (
        product.cpu >= ask.query.number("minCpuPerGpu", 0, least=0)
        and product.memory >= ask.query.number("minMemoryPerGpu", 0, least=0)
        and product.disk >= ask.query.number("minRootFSSize", 0, least=0)
    )


def _create(ask: Ask) -> object:
    switches = ask.world.settings.switches
    cut = switches.long_names == "cut"
    order = read_create(ask.body, longest_name=LONGEST_NAME if cut else switches.longest_name)
    order = replace(order, name=order.name[: switches.longest_name])
    return {"id": actions.create(ask.world, order, ask.now).id}


def _list(ask: Ask) -> object:
    page = read_page(ask.query, ask.world.settings.switches).cut(m for m in ask.world.listed() if _fits(m, ask))
    return {"instances": [wire.listed_machine(machine, ask.world) for machine in page.items], "total": page.total}


def _fits(machine: Machine, ask: Ask) -> bool:
    return (
        _is_named(machine, ask.query.text("name", ""), ask.world.settings.switches.name_filter)
        and ask.query.text("productName", "").lower() in machine.product.name.lower()
        and ask.query.text("status", machine.status, longest=63) == machine.status
    )


def _is_named(machine: Machine, wanted: str, how: str) -> bool:
    name, wanted = machine.name.lower(), wanted.lower()
    fits = {"contains": wanted in name, "prefix": name.startswith(wanted), "exact": wanted == name, "ignored": True}
    return not wanted or fits[how]


def _get(ask: Ask) -> object:
    try:
        machine = ask.world.machine(ask.query.text("instanceId", shortest=1, longest=255))
    except Refusal:
        if ask.world.settings.switches.not_found_status == 200:
            return {}
        raise
    return wire.single_machine(machine, ask.world, log_address=partial(_log_address, ask.origin, machine.id))


def _log_address(origin: str, instance_id: str, kind: str) -> str:
    return f"{origin}/instance-logs/{instance_id}/{kind}"


def _start(ask: Ask) -> object:
    return _acted(ask, _moved(actions.start(ask.world, _instance_id(ask), ask.now)))


def _stop(ask: Ask) -> object:
    return _acted(ask, _moved(actions.stop(ask.world, _instance_id(ask), ask.now)))


def _restart(ask: Ask) -> object:
    return _acted(ask, _moved(actions.restart(ask.world, _instance_id(ask), ask.now)))


def _delete(ask: Ask) -> object:
    actions.delete(ask.world, _instance_id(ask), ask.now)
    return _acted(ask, EMPTY if ask.world.settings.switches.empty_body_on_delete else {})


def _acted(ask: Ask, documented: object) -> object:
    """The answer of an action: what is documented or was seen, or what a switch makes of it (3.6 leaves it open)."""
    answers = {"documented": documented, "empty-object": {}, "empty-body": EMPTY, "no-content": NO_CONTENT}
    return answers[ask.world.settings.switches.action_answers]


def _migrate(ask: Ask) -> object:
    job = moves.migrate(ask.world, _instance_id(ask), ask.now)
    return _acted(ask, {"jobId": job.id, "instanceId": job.instance_id})


def _edit(ask: Ask) -> object:
    actions.edit(ask.world, read_edit(ask.body), ask.now)
    return {}


def _upgrade(ask: Ask) -> object:
    actions.upgrade(ask.world, _instance_id(ask), read_upgrade(ask.body), ask.now)
    return {}


def _renew(ask: Ask) -> object:
    actions.renew(ask.world, _instance_id(ask), months=ask.body.whole("month", least=1, most=36), now=ask.now)
    return {}


def _to_monthly(ask: Ask) -> object:
    months = ask.body.whole("month", least=1, most=36)
    actions.convert_to_monthly(ask.world, _instance_id(ask), months=months, now=ask.now)
    return {}


def _set_auto_renew(ask: Ask) -> object:
    months = ask.body.whole("autoRenewMonth", 1, least=1, most=12) if ask.body.flag("autoRenew", default=False) else 0
    actions.set_auto_renew(ask.world, [str(item) for item in ask.body.values("instanceIds")], months=months)
    return {}


def _set_auto_migrate(ask: Ask) -> object:
    actions.set_auto_migrate(
        ask.world,
        _instance_id(ask),
        enabled=ask.body.flag("autoMigrateOpen", default=False),
        system_disk=ask.body.flag("autoMigrateSystemDisk", default=False),
    )
    return {}


def read_job_filter(ask: Ask) -> JobFilter:
    creators = ask.query.text("creators", "")
    return JobFilter(
        job_id=ask.query.text("jobId", "", longest=255),
        state=ask.query.text("state", ""),
        type=ask.query.text("type", ""),
        start=ask.query.whole("startTime", 0, least=0),
        end=ask.query.whole("endTime", 0, least=0),
        creators=tuple(creators.split(",")) if creators else (),
    )


def _jobs(ask: Ask) -> object:
    page = read_page(ask.query, ask.world.settings.switches).cut(ask.world.jobs.newest_first(read_job_filter(ask)))
    return {"jobs": [wire.job(job) for job in page.items], "total": page.total}


def break_job(ask: Ask) -> object:
    return {"jobId": moves.break_job(ask.world, ask.body.text("jobId", shortest=1, longest=255), ask.now).id}


def _save_image(ask: Ask) -> object:
    ask.body.text("image", shortest=1, longest=4095)
    auth_id = ask.body.text("registryAuthId", "")
    return {"jobId": moves.save_image(ask.world, _instance_id(ask), registry_auth_id=auth_id, now=ask.now).id}


def _instance_id(ask: Ask) -> str:
    return ask.body.text("instanceId", shortest=1, longest=255)


def _moved(machine: Machine) -> object:
    """`state` is taken to be the status after acceptance; what Novita puts there was never recorded (3.6)."""
    return {"instanceId": machine.id, "state": machine.status}


ROUTES: Routes = (
    ("GET", f"{BASE}/clusters", _clusters),
    ("GET", f"{BASE}/products", _products),
    ("GET", f"{BASE}/cpu/products", _cpu_products),
    ("POST", f"{BASE}/gpu/instance/create", _create),
    ("GET", f"{BASE}/gpu/instances", _list),
    ("GET", f"{BASE}/gpu/instance", _get),
    ("POST", f"{BASE}/gpu/instance/start", _start),
    ("POST", f"{BASE}/gpu/instance/stop", _stop),
    ("POST", f"{BASE}/gpu/instance/restart", _restart),
    ("POST", f"{BASE}/gpu/instance/delete", _delete),
    ("POST", f"{BASE}/gpu/instance/migrate", _migrate),
    ("POST", f"{BASE}/gpu/instance/edit", _edit),
    ("POST", f"{BASE}/gpu/instance/upgrade", _upgrade),
    ("POST", f"{BASE}/gpu/instance/renewInstance", _renew),
    ("POST", f"{BASE}/gpu/instance/transToMonthlyInstance", _to_monthly),
    ("POST", f"{BASE}/gpu/instance/setAutoRenew", _set_auto_renew),
    ("POST", f"{BASE}/gpu/instance/setAutoMigrate", _set_auto_migrate),
    ("GET", f"{BASE}/jobs", _jobs),
    ("POST", f"{BASE}/job/break", break_job),
    ("POST", f"{BASE}/job/save/image", _save_image),
)
