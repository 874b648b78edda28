"""How the world looks on the wire.

The habit of the real service (novita-wire.md 1.2): 64-bit integers are strings, 32-bit ones numbers, unset strings are `""`, times are
Unix seconds in strings with `"0"` for never and `"-1"` for no end. What is rendered here is the *observed* column of that table.
"""

from collections.abc import Callable
from dataclasses import dataclass

from novita_simulator.account import USER_ID, NetworkStorage, RegistryAuth, Template
from novita_simulator.billing import PRICE_UNITS_PER_USD
from novita_simulator.catalogue import Catalogue, Cluster, Product
from novita_simulator.jobs import Job
from novita_simulator.lifecycle import RUNNING
from novita_simulator.machine import Machine, Port
from novita_simulator.metrics import Load, Point
from novita_simulator.stock import inventory_state
from novita_simulator.world import World

Json = dict[str, object]

KEEP_DATA_DAYS = 7


def seconds(moment: float) -> str:
    return str(int(moment))


def cluster(item: Cluster, catalogue: Catalogue) -> Json:
    return {
        "id": item.id,
        "name": item.name,
        "availableGpuType": catalogue.gpu_names_in(item.id),
        "supportNetworkStorage": item.network_storage,
        "supportInstanceNetwork": item.instance_network,
    }


@dataclass(frozen=True, kw_only=True)
class ProductView:
    """How many of a product are free where it was looked for, and how many were wanted at once."""

    free: int
    wanted: int


def price(units: int, world: World) -> str:
    """A price of 1/100000 USD, in the unit that the wire is set to use."""
    return str(units * world.settings.switches.price_units_per_usd // PRICE_UNITS_PER_USD)


def product(item: Product, world: World, view: ProductView) -> Json:
    deployable = view.free >= max(1, view.wanted)
    monthly = [{"price": price(item.monthly_price, world), "month": 1}] if item.monthly_price else []
    return {
        "id": item.id,
        "name": item.name,
        "cpuPerGpu": item.cpu,
        "memoryPerGpu": item.memory,
        "diskPerGpu": item.disk,
        "availableDeploy": deployable,
        "minRootFS": 10,
        "maxRootFS": item.disk,
        "minLocalStorage": 0,
        "maxLocalStorage": 2048,
        "regions": [world.catalogue.clusters[cluster_id].name for cluster_id in item.cluster_ids],
        "price": price(item.price, world),
        "monthlyPrice": monthly,
        "billingMethods": list(item.billing_modes),
        "spotPrice": price(item.spot_price, world),
        "inventoryState": inventory_state(view.free),
        "canBuy": deployable,
    }


def cpu_product(item: Product, world: World, *, free: int) -> Json:
    return {
        "id": item.id,
        "name": item.name,
        "cpuNum": item.cpu,
        "memorySize": item.memory,
        "rootfsSize": item.disk,
        "localVolumeSize": 0,
        "availableDeploy": free > 0,
        "price": price(item.price, world),
    }


def listed_machine(item: Machine, world: World) -> Json:
    """The record as the list shows it."""
    return _usual_fields(item, world) | _extras(item, world)


def _extras(item: Machine, world: World) -> Json:
    """Fields of which it is not known whether the public API has them (novita-wire.md 3.5)."""
    if not world.settings.switches.auto_migrate_shown:
        return {}
    return {"autoMigrateOpen": item.auto_migrate, "autoMigrateSystemDisk": item.auto_migrate_system_disk}


def _usual_fields(item: Machine, world: World) -> Json:
    share = max(1, item.gpu_num)
    state, message = item.status_error
    return {
        "id": item.id,
        "name": item.name,
        "clusterId": item.cluster.id,
        "clusterName": item.cluster.name,
        "status": item.status,
        "statusError": {"state": state, "message": message},
        "imageUrl": item.workload.image_url,
        "imageAuthId": item.workload.image_auth_id,
        "command": item.workload.command,
        "entrypoint": item.workload.entrypoint,
        "cpuNum": str(item.product.cpu * share),
        "memory": str(item.product.memory * share),
        "gpuNum": str(item.gpu_num),
        "portMappings": [
            {"port": port.number, "endpoint": endpoint(item, port, world), "type": port.type} for port in item.ports
        ],
        "productId": item.product.id,
        "productName": item.product.name,
        "rootfsSize": item.rootfs_size,
        "volumeMounts": [
            {"type": "network", "size": str(mount.size), "id": mount.storage_id, "mountPath": mount.path}
            for mount in item.workload.mounts
        ],
        "envs": [{"key": env.key, "value": env.value} for env in item.workload.envs],
        "kind": item.product.kind,
        "billingMode": item.billing_mode,
        "endTime": "-1" if item.end_at is None else seconds(item.end_at),
        "spotStatus": item.spot.status,
        "spotReclaimTime": seconds(item.spot.reclaim_at),
        "createdAt": seconds(item.created_at),
        "lastStartedAt": seconds(item.last_started_at),
        "lastStoppedAt": seconds(item.last_stopped_at),
    }


def single_machine(item: Machine, world: World, *, log_address: Callable[[str], str]) -> Json:
    """The record as the single GET shows it: the list's fields and how to connect."""
    job = world.jobs.get(item.job_id)
    return listed_machine(item, world) | {
        "network": {"id": "", "ip": ""},
        "jobs": [{"id": job.id, "type": job.type}] if job else [],
        "connectComponentSSH": _ssh(item, world),
        "connectComponentWebTerminal": {"address": "", "username": "", "password": "", "isRunning": False},
        "connectComponentJupyter": _jupyter(item, world),
        "connectComponentLog": _log(item, log_address),
        "freeStorageSize": item.rootfs_size,
        "keepDataDay": KEEP_DATA_DAYS,
    }


def endpoint(item: Machine, port: Port, world: World) -> str:
    """Where the port answers: the simulator's own address, or the documented form when it serves no ports."""
    if world.settings.switches.apps:
        return item.endpoints.get(port.number, "")
    host = f"{item.id}-{port.number}.{item.cluster.id}.gpu-instance.novita.ai"
    return f"https://{host}" if port.type == "http" else f"{host}:{port.number}"


def _ssh(item: Machine, world: World) -> Json:
    if not item.ssh_is_ready(world.now, after=world.settings.delay("ssh_ready")):
        return {"sshCommand": "", "password": "", "isRunning": False}
    command = f"ssh -p {item.ssh_port} root@proxy.{item.cluster.id}.gpu-instance.novita.ai"
    return {"sshCommand": command, "password": item.ssh_password, "isRunning": True}


def _jupyter(item: Machine, world: World) -> Json:
    port = next((port for port in item.ports if port.number == item.jupyter_port), None)
    if port is None:
        return {"port": 0, "address": "", "isRunning": False}
    return {"port": port.number, "address": endpoint(item, port, world), "isRunning": item.status == RUNNING}


def _log(item: Machine, log_address: Callable[[str], str]) -> Json:
    return {
        "systemLogAddress": log_address("system"),
        "instanceLogAddress": log_address("instance") if item.last_started_at else "",
        "isRunning": item.status == RUNNING,
    }


def job(item: Job) -> Json:
    return {
        "Id": item.id,
        "user": USER_ID,
        "type": item.type,
        "envs": [],
        "state": {"state": item.state, "error": item.error, "errorMessage": item.error_message},
        "logAddress": "",
        "createdAt": seconds(item.created_at),
        "instanceId": item.instance_id,
    }


def internal_job(item: Job) -> Json:
    """What the console's own API adds (novita-wire.md 3.10, 5)."""
    return job(item) | {
        "creator": item.creator,
        "uuid": USER_ID,
        "updateAt": seconds(item.updated_at),
        "deletedTime": "0",
        "maxRetry": 0,
        "timeout": "0",
    }


def template(item: Template) -> Json:
    return {
        "Id": item.id,
        "user": USER_ID,
        "name": item.name,
        "readme": item.readme,
        "logo": "",
        "type": "instance",
        "channel": item.channel,
        "image": item.image,
        "imageAuth": item.image_auth,
        "startCommand": item.start_command,
        "entrypoint": item.entrypoint,
        "rootfsSize": item.rootfs_size,
        "volumes": [],
        "ports": [{"type": group.type, "ports": list(group.ports)} for group in item.ports],
        "envs": [{"key": env.key, "value": env.value} for env in item.envs],
        "tools": [],
        "recommendCards": [],
        "minCudaVersion": item.min_cuda_version,
        "description": "",
        "collectNum": "0",
        "complaintNum": "0",
        "createdAt": str(item.created_at),
        "updatedAt": str(item.updated_at),
    }


def registry_auth(item: RegistryAuth) -> Json:
    """The password is in clear, as Novita shows it (novita-wire.md 3.12)."""
    return {"id": item.id, "name": item.name, "username": item.username, "password": item.password}


def storage(item: NetworkStorage, catalogue: Catalogue) -> Json:
    return {
        "storageId": item.id,
        "storageName": item.name,
        "storageSize": item.size,
        "clusterId": item.cluster_id,
        "clusterName": catalogue.clusters[item.cluster_id].name,
        "price": "200",
    }


def metrics(points: list[Point], gpu_ids: tuple[int, ...]) -> Json:
    def line(value: Callable[[Load], float]) -> list[Json]:
        return [{"timestamp": str(point.at), "value": value(point.load)} for point in points]

    def per_gpu(value: Callable[[Load], float]) -> Json:
        items = [{"gpuId": str(gpu_id), "items": line(value)} for gpu_id in gpu_ids]
        return {"avg": line(value) if gpu_ids else [], "gpuIds": items}

    return {
        "cpuUtilization": line(lambda load: load.cpu),
        "memUtilization": line(lambda load: load.memory),
        "rootDiskUtilization": line(lambda load: load.disk),
        "gpuUtilization": per_gpu(lambda load: load.gpu),
        "gpuMemUtilization": per_gpu(lambda load: load.gpu_memory),
    }
