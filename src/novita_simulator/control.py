"""The hand on the scenery: what a rehearsal may change from outside Novita's API.

Each action takes a JSON object and answers one; the HTTP control API and the timeline of a scenario use the same ones. A bad field is
an InvalidField that names it. Seconds given here are real seconds; only settings are divided by `speed`.
"""

from collections.abc import Callable

from novita_simulator import actions, moves, spot
from novita_simulator.errors import Refusal
from novita_simulator.faults import Faults
from novita_simulator.fields import Fields, InvalidField
from novita_simulator.lifecycle import EXITED, GOING_AWAY, PULLING, RUNNING
from novita_simulator.machine import APP_MODES, AppScript, Machine
from novita_simulator.metrics import Load
from novita_simulator.orders import CreateOrder, read_create
from novita_simulator.world import World

Answer = dict[str, object]


def perform(world: World, faults: Faults, action: str, fields: Fields, now: float) -> Answer:
    if action not in ACTIONS:
        raise InvalidField("action", f"must be one of {', '.join(sorted(ACTIONS))}")
    if action == "faults":
        return faults.add(fields).to_json()
    try:
        answer = _WORLD_ACTIONS[action](world, fields, now)
    except Refusal as refusal:
        raise InvalidField(fields.where or action, f"Novita would refuse it: {refusal}") from None
    fields.refuse_unknown()
    return answer


def _reclaim(world: World, fields: Fields, now: float) -> Answer:
    """Take a spot machine back, now or after a notice. The protected hour does not hold against a script."""
    machine = _machine(world, fields)
    notice = fields.number("noticeSeconds", world.settings.delay("spot_notice"), least=0)
    if not machine.is_spot:
        raise InvalidField(fields.name("instanceId"), "is not a spot machine")
    if machine.status in GOING_AWAY | {EXITED}:
        raise InvalidField(fields.name("instanceId"), f"is {machine.status}: nothing to reclaim")
    fields.refuse_unknown()
    spot.announce(world, machine, notice=notice, now=now)
    return {"instanceId": machine.id, "spotStatus": machine.spot.status, "spotReclaimTime": machine.spot.reclaim_at}


def _stock(world: World, fields: Fields, _now: float) -> Answer:
    """`stock` sets how many there are, `available` how many are free now; for every pool that fits."""
    available = fields.whole("available", least=0) if fields.has("available") else None
    total = fields.whole("stock", least=0) if available is None else 0
    wanted = {name: fields.text(name, "") or None for name in ("productId", "clusterId", "billingMode")}
    fields.refuse_unknown()
    changed: list[Answer] = []
    pools = world.stock.pools(
        product_id=wanted["productId"], cluster_id=wanted["clusterId"], billing_mode=wanted["billingMode"]
    )
    for (product_id, cluster_id, billing_mode), shelf in pools:
        shelf.total = total if available is None else shelf.held + available
        changed.append(
            {
                "productId": product_id,
                "clusterId": cluster_id,
                "billingMode": billing_mode,
                "stock": shelf.total,
                "available": shelf.free,
            }
        )
    if not changed:
        raise InvalidField(fields.name(next(n for n, value in wanted.items() if value)), "no stock of that kind")
    return {"stock": changed}


def _prices(world: World, fields: Fields, _now: float) -> Answer:
    """Prices of a product from now on, in 1/100000 USD per GPU and hour. Running machines keep theirs."""
    product = world.catalogue.products.get(fields.text("productId", shortest=1))
    if product is None:
        raise InvalidField(fields.name("productId"), "no such product")
    price = fields.whole("price", product.price, least=1)
    spot_price = fields.whole("spotPrice", product.spot_price, least=0)
    world.catalogue.reprice(product.id, price=price, spot_price=spot_price)
    return {"productId": product.id, "price": str(price), "spotPrice": str(spot_price)}


def _load(world: World, fields: Fields, now: float) -> Answer:
    """What the metrics will say from now on, in per cent."""
    machine = _machine(world, fields)
    load = _read_load(fields, machine.load.planned)
    machine.load.set(load, now)
    return {"instanceId": machine.id, "gpu": load.gpu, "cpu": load.cpu}


def _app(world: World, fields: Fields, _now: float) -> Answer:
    """What the machine's own ports answer; `auto` gives them back to the warm-up."""
    machine = _machine(world, fields)
    machine.app = AppScript(
        mode=fields.choice("mode", APP_MODES),
        body=fields.text("body") if fields.has("body") else None,
        status=fields.whole("status", 200, least=200, most=599),
    )
    world.touch(machine)
    return {"instanceId": machine.id, "mode": machine.app.mode}


def _machines(world: World, fields: Fields, now: float) -> Answer:
    """A machine that is simply there, made by nobody's call: somebody else's, or one from before."""
    status = fields.choice("status", (RUNNING, EXITED), RUNNING)
    load = _read_load(fields.group("load"), Load())
    machine = actions.create(world, _order(fields), now)
    machine.load.set(load, now)
    world.rest(machine, PULLING, now)
    world.rest(machine, RUNNING, now)
    if status == EXITED:
        world.rest(machine, EXITED, now)
    return {"instanceId": machine.id, "name": machine.name, "status": machine.status}


def _out_of_band(world: World, fields: Fields, now: float) -> Answer:
    """What somebody does behind the caller's back: in the console, or Novita itself."""
    machine = _machine(world, fields)
    verb = fields.choice("verb", ("start", "stop", "restart", "delete", "migrate", "vanish", "status"))
    if verb == "vanish":
        world.forget(machine, now)
    elif verb == "status":
        _set_status(world, machine, fields, now)
    elif verb == "migrate":
        moves.migrate(world, machine.id, now, by_system=True)
    else:
        _VERBS[verb](world, machine.id, now)
    return {"instanceId": machine.id, "status": machine.status}


def _config(world: World, fields: Fields, _now: float) -> Answer:
    world.settings = world.settings.merged(fields)
    for machine in world.machines.values():
        world.touch(machine)
    return world.settings.to_json()


def _balance(world: World, fields: Fields, now: float) -> Answer:
    world.ledger.set_balance(fields.number("usd"), now)
    return {"usd": fields.number("usd")}


def _set_status(world: World, machine: Machine, fields: Fields, now: float) -> None:
    """Any word at all, also one that Novita never says; the machine stays there."""
    if fields.has("status"):
        world.rest(machine, fields.text("status", shortest=1, longest=63), now)
    error = fields.group("statusError")
    machine.status_error = (error.text("state", ""), error.text("message", ""))


def _machine(world: World, fields: Fields) -> Machine:
    """By `instanceId`, or by `name` (the newest of that name), which a scenario can know beforehand."""
    if not fields.has("instanceId") and fields.has("name"):
        name = fields.text("name")
        found = next((m for m in reversed(world.machines.values()) if m.name == name), None)
        if found is None:
            raise InvalidField(fields.name("name"), "no such machine")
        return found
    machine = world.machines.get(fields.text("instanceId", shortest=1))
    fields.has("name")
    if machine is None:
        raise InvalidField(fields.name("instanceId"), "no such machine")
    return machine


_ORDER_FIELDS = frozenset(
    {
        "name",
        "kind",
        "productId",
        "clusterId",
        "billingMode",
        "gpuNum",
        "rootfsSize",
        "month",
        "imageUrl",
        "imageAuthId",
    }
    | {"ports", "envs", "command", "entrypoint"}
)
_ORDER_DEFAULTS = {
    "gpuNum": 1,
    "rootfsSize": 60,
    "imageUrl": "docker.io/library/ubuntu:22.04",
    "ports": "8080/http",
}


def _order(fields: Fields) -> CreateOrder:
    """The body of a create call, most of it optional."""
    for name in _ORDER_FIELDS:
        fields.has(name)
    fields.refuse_unknown()
    return read_create(fields.over(_ORDER_DEFAULTS), longest_name=255)


def _read_load(fields: Fields, current: Load) -> Load:
    return Load(
        gpu=fields.number("gpu", current.gpu, least=0, most=100),
        gpu_memory=fields.number("gpuMemory", current.gpu_memory, least=0, most=100),
        cpu=fields.number("cpu", current.cpu, least=0, most=100),
        memory=fields.number("memory", current.memory, least=0, most=100),
        disk=fields.number("disk", current.disk, least=0, most=100),
    )


_VERBS: dict[str, Callable[[World, str, float], Machine]] = {
    "start": actions.start,
    "stop": actions.stop,
    "restart": actions.restart,
    "delete": actions.delete,
}

_WORLD_ACTIONS: dict[str, Callable[[World, Fields, float], Answer]] = {
    "reclaim": _reclaim,
    "stock": _stock,
    "prices": _prices,
    "load": _load,
    "app": _app,
    "machines": _machines,
    "out-of-band": _out_of_band,
    "config": _config,
    "balance": _balance,
}

ACTIONS = frozenset(_WORLD_ACTIONS) | {"faults"}
