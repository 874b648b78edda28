"""What an account holder can ask of a machine: create, start, stop, restart, delete, edit, upgrade, and its billing.

Each verb checks what Novita would check, in the order that costs a caller least surprise (shape, existence, state, money, stock),
and either raises a refusal having changed nothing or sets the machine in motion. `now` is Unix seconds.
"""

from novita_simulator import spot
from novita_simulator.account import PRIVATE_IMAGE_PREFIX
from novita_simulator.billing import Purchase, container_disk_rate
from novita_simulator.catalogue import Cluster, Product
from novita_simulator.errors import (
    Refusal,
    image_or_auth,
    insufficient_resource,
    invalid_param,
    not_enough_balance,
    rate_limited,
)
from novita_simulator.lifecycle import (
    ALLOWED,
    CREATE,
    MIGRATING,
    REACHED,
    REMOVE,
    RESET,
    RESET_STOPPED,
    RESTART,
    RUNNING,
    START,
    STOP,
)
from novita_simulator.machine import Machine, Mount, Workload
from novita_simulator.orders import MAX_ROOTFS, CreateOrder, EditOrder, WorkloadOrder
from novita_simulator.world import World

_PRICE_UNIT_TICKS = 86_400
_MONTH = 30 * 86_400


def create(world: World, order: CreateOrder, now: float) -> Machine:
    product = _product(world, order)
    workload = _workload(world, order.workload)
    _check_quota(world, order.gpu_num)
    _check_balance(world, now)
    cluster = _cluster(world, product, order, workload)
    machine = Machine(
        id=world.new_instance_id(),
        name=order.name,
        product=product,
        cluster=cluster,
        gpu_num=order.gpu_num,
        rootfs_size=order.rootfs_size,
        billing_mode=order.billing_mode,
        price=product.price_for(order.billing_mode),
        workload=workload,
        ports=order.ports,
        jupyter_port=order.jupyter_port,
        created_at=now,
        gpu_ids=tuple(sorted(world.rng.sample(range(8), order.gpu_num))),
        auto_renew_months=order.auto_renew_months,
    )
    world.machines[machine.id] = machine
    world.hold_gpus(machine)
    if machine.billing_mode == "monthly":
        _buy_months(world, machine, months=max(1, order.months), kind="monthly_new_buy", now=now)
    if machine.is_spot:
        machine.spot.status = "running"
    world.send(machine, CREATE, now)
    spot.expect(world, machine, now)
    return machine


def start(world: World, instance_id: str, now: float) -> Machine:
    """A stopped machine holds no GPU, so a start may find none (novita-wire.md 7.1)."""
    if _has_reached(world, "start", instance_id):
        return world.machine(instance_id)
    machine = _ready_for(world, "start", instance_id)
    _check_balance(world, now)
    if world.stock.free(machine.pool) < machine.units:
        raise insufficient_resource()
    world.hold_gpus(machine)
    machine.product = world.catalogue.products[machine.product.id]
    machine.price = machine.product.price_for(machine.billing_mode)
    spot.call_off(machine)
    world.send(machine, START, now)
    spot.expect(world, machine, now)
    return machine


def stop(world: World, instance_id: str, now: float) -> Machine:
    if _has_reached(world, "stop", instance_id):
        return world.machine(instance_id)
    machine = _ready_for(world, "stop", instance_id)
    spot.call_off(machine)
    world.send(machine, STOP, now)
    return machine


def restart(world: World, instance_id: str, now: float) -> Machine:
    machine = _ready_for(world, "restart", instance_id)
    world.send(machine, RESTART, now)
    return machine


def delete(world: World, instance_id: str, now: float) -> Machine:
    """From any status, unless it is paid by the month; charges end here."""
    if _has_reached(world, "delete", instance_id):
        return world.machine(instance_id)
    machine = _ready_for(world, "delete", instance_id)
    if machine.billing_mode == "monthly":
        raise Refusal(400, "PREPAID_INSTANCE_NOT_SUPPORT_RELEASE", "prepaid instance not support release")
    job = world.jobs.get(machine.job_id)
    if job and machine.status == MIGRATING and not world.settings.switches.delete_while_migrating:
        raise world.wrong_state()
    if job:
        job.move("break", now)
        machine.job_id = ""
    spot.call_off(machine)
    world.send(machine, REMOVE, now)
    return machine


def edit(world: World, order: EditOrder, now: float) -> Machine:
    """New ports and a larger disk, while it goes on running; takes effect within a minute (novita-wire.md 3.7)."""
    machine = _ready_for(world, "edit", order.instance_id, idle=True)
    if machine.rootfs_size + order.expand_root_disk > MAX_ROOTFS:
        raise invalid_param("expandRootDisk")
    world.agenda.add(now + world.settings.delay("edit"), lambda at: _apply_edit(world, machine, order, at))
    return machine


def upgrade(world: World, instance_id: str, order: WorkloadOrder, now: float) -> Machine:
    """Another image or other settings: the machine is reset and keeps its resources (novita-wire.md 3.8)."""
    machine = _ready_for(world, "upgrade", instance_id, idle=True)
    machine.workload = _workload(world, order)
    world.send(machine, RESET if machine.status == RUNNING else RESET_STOPPED, now)
    return machine


def renew(world: World, instance_id: str, *, months: int, now: float) -> None:
    machine = world.machine(instance_id)
    if machine.billing_mode != "monthly":
        raise Refusal(400, "UNSUPPORTED_BILLING_MODE", "unsupported billing mode")
    _buy_months(world, machine, months=months, kind="monthly_re_buy", now=now)


def convert_to_monthly(world: World, instance_id: str, *, months: int, now: float) -> None:
    machine = _ready_for(world, "toMonthly", instance_id)
    if machine.billing_mode != "onDemand" or not machine.product.monthly_price:
        raise Refusal(400, "UNSUPPORTED_BILLING_MODE", "unsupported billing mode")
    _buy_months(world, machine, months=months, kind="monthly_re_config", now=now)
    world.release_gpus(machine)
    machine.billing_mode, machine.price = "monthly", 0
    world.hold_gpus(machine)
    world.ledger.stop(machine.meter, "gpu", now=now)


def set_auto_renew(world: World, instance_ids: list[str], *, months: int) -> None:
    for machine in [world.machine(instance_id) for instance_id in instance_ids]:
        machine.auto_renew_months = months


def set_auto_migrate(world: World, instance_id: str, *, enabled: bool, system_disk: bool) -> None:
    machine = world.machine(instance_id)
    machine.auto_migrate = enabled
    machine.auto_migrate_system_disk = system_disk


def _has_reached(world: World, action: str, instance_id: str) -> bool:
    """Whether the action is a repeated one that the world is set to accept without doing anything."""
    accepted = world.settings.switches.repeated_actions == "accepted"
    return accepted and world.machine(instance_id).status in REACHED[action]


def _ready_for(world: World, action: str, instance_id: str, *, idle: bool = False) -> Machine:
    """The machine, if its status allows the action and (when asked) no job works on it."""
    machine = world.machine(instance_id)
    if machine.status not in ALLOWED[action] or (idle and machine.job_id):
        raise world.wrong_state()
    return machine


def _product(world: World, order: CreateOrder) -> Product:
    product = world.catalogue.products.get(order.product_id)
    if product is None or product.kind != order.kind:
        raise invalid_param("productId")
    if order.billing_mode not in product.billing_modes:
        raise Refusal(400, "UNSUPPORTED_BILLING_MODE", "unsupported billing mode")
    return product


def _cluster(world: World, product: Product, order: CreateOrder, workload: Workload) -> Cluster:
    """The cluster asked for, or the one with the most stock; network volumes tie a machine to theirs."""
    if order.cluster_id and order.cluster_id not in world.catalogue.clusters:
        raise invalid_param("clusterId")
    allowed = {world.account.storages[mount.storage_id].cluster_id for mount in workload.mounts}
    if order.cluster_id:
        allowed.add(order.cluster_id)
    if len(allowed) > 1:
        raise Refusal(400, "CUR_CLUSTER_NETWORK_STORAGE_NOT_SUPPORT", "network storage lies in another cluster")
    candidates = [c for c in world.catalogue.clusters_of(product) if not allowed or c.id in allowed]
    best = max(candidates, key=lambda c: world.stock.free((product.id, c.id, order.billing_mode)), default=None)
    if best is None or world.stock.free((product.id, best.id, order.billing_mode)) < max(1, order.gpu_num):
        raise insufficient_resource()
    return best


def _workload(world: World, order: WorkloadOrder) -> Workload:
    _check_image(world, order)
    return Workload(
        image_url=order.image_url,
        image_auth_id=order.image_auth_id,
        command=order.command,
        entrypoint=order.entrypoint,
        envs=order.envs,
        mounts=tuple(
            Mount(mount.storage_id, mount.path, _storage_size(world, mount.storage_id)) for mount in order.mounts
        ),
    )


def _storage_size(world: World, storage_id: str) -> int:
    storage = world.account.storages.get(storage_id)
    if storage is None:
        raise world.missing("NETWORK_STORAGE_NOT_FOUND")
    return storage.size


def _check_image(world: World, order: WorkloadOrder) -> None:
    """Credentials that do not exist are refused, and private images without good ones."""
    by_id = bool(order.image_auth_id)
    if by_id and order.image_auth_id not in world.account.registry_auths:
        raise image_or_auth()
    if order.image_auth and ":" not in order.image_auth:
        raise image_or_auth()
    is_private = order.image_url.startswith(PRIVATE_IMAGE_PREFIX)
    if is_private and not by_id and not world.account.knows_credentials(order.image_auth):
        raise image_or_auth()


def _check_quota(world: World, gpus: int) -> None:
    switches = world.settings.switches
    if not switches.gpu_quota:
        return
    held = sum(machine.gpu_num for machine in world.machines.values() if machine.holds_gpus)
    if held + gpus > switches.gpu_quota:
        if switches.quota_status == 429:
            raise rate_limited()
        raise Refusal(400, "CREATE_GPU_NUM_LIMIT", "gpu num limit", {"0": str(switches.gpu_quota)})


def _check_balance(world: World, now: float) -> None:
    if world.ledger.balance(now) <= 0:
        raise not_enough_balance()


def _buy_months(world: World, machine: Machine, *, months: int, kind: str, now: float) -> None:
    ticks = machine.product.monthly_price * machine.units * months * _PRICE_UNIT_TICKS
    world.ledger.buy(machine.meter, Purchase(at=now, ticks=ticks, months=months, kind=kind))
    machine.end_at = (machine.end_at or now) + months * _MONTH


def _apply_edit(world: World, machine: Machine, order: EditOrder, now: float) -> None:
    if machine.id not in world.machines:
        return
    if order.ports is not None:
        machine.ports = order.ports
        world.touch(machine)
    if order.expand_root_disk:
        machine.rootfs_size += order.expand_root_disk
        world.ledger.stop(machine.meter, "disk", now=now)
        world.ledger.start(machine.meter, "disk", rate=container_disk_rate(machine.rootfs_size), now=now)
