"""Their words into ours: one table per vocabulary, and one function per record.

A word that is not in a table becomes "unknown" (or nothing), never a guess. A record without an id makes no sense and
raises Unreadable; everything else that is missing gets its neutral value.
"""

import re

from novitai.domain.ids import MachineId
from novitai.domain.machine import BillingMode, Connection, Machine, MachineStatus, Port, PortMapping, SpotStatus
from novitai.domain.money import Usd
from novitai.domain.offers import Inventory, Product, Region
from novitai.domain.templates import NetworkStorage, RegistryAuth, Template
from novitai.novita import wire
from novitai.novita.reading import Scalar, Unreadable, moment, part, parts, text, whole
from novitai.ports.provider import ProviderJob

# novita-wire.md 7.1; `pending` is undocumented but real.
STATUS = {
    "pending": MachineStatus.PENDING,
    "toCreate": MachineStatus.PENDING,
    "creating": MachineStatus.PENDING,
    "pulling": MachineStatus.PULLING,
    "running": MachineStatus.RUNNING,
    "toStart": MachineStatus.STARTING,
    "starting": MachineStatus.STARTING,
    "toStop": MachineStatus.STOPPING,
    "stopping": MachineStatus.STOPPING,
    "exited": MachineStatus.STOPPED,
    "toRestart": MachineStatus.RESTARTING,
    "restarting": MachineStatus.RESTARTING,
    "toReset": MachineStatus.RESTARTING,
    "resetting": MachineStatus.RESTARTING,
    "migrating": MachineStatus.MIGRATING,
    "toRemove": MachineStatus.REMOVING,
    "removing": MachineStatus.REMOVING,
    "removed": MachineStatus.REMOVED,
    "freezing": MachineStatus.FROZEN,
}

# novita-wire.md 7.2
SPOT_STATUS = {
    "running": SpotStatus.RUNNING,
    "notified": SpotStatus.NOTIFIED,
    "reclaiming": SpotStatus.RECLAIMING,
    "terminated": SpotStatus.TERMINATED,
}

# novita-wire.md 3.2 and 3.5
BILLING = {
    "spot": BillingMode.SPOT,
    "onDemand": BillingMode.ON_DEMAND,
    "monthly": BillingMode.MONTHLY,
}

# novita-wire.md 3.2
INVENTORY = {
    "none": Inventory.NONE,
    "low": Inventory.LOW,
    "normal": Inventory.NORMAL,
    "high": Inventory.HIGH,
}

_SSH_TARGET = re.compile(r"(?P<user>[^\s@]+)@(?P<host>[^\s@]+)")
_SSH_PORT = re.compile(r"\s-p\s*(\d{1,5})\b")
_SSH_DEFAULT_PORT = 22
_LAST_PORT = 65535


# ── machines ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def machine(record: wire.Machine, *, detailed: bool) -> Machine:
    """A machine from the list, or (`detailed`) as read singly, with the ways to reach it. Raises Unreadable without an
    id.
    """
    status = text(record.status)
    gpus = whole(record.gpu_num) or 1
    ssh = _running_ssh(record) if detailed else None
    return Machine(
        id=machine_id(record.id),
        name=text(record.name),
        status=STATUS.get(status, MachineStatus.UNKNOWN),
        provider_status=status,
        error=_machine_error(record),
        cluster_id=text(record.cluster_id),
        region=text(record.cluster_name),
        product_id=text(record.product_id),
        product_name=text(record.product_name),
        gpu_num=gpus,
        cpu_num=whole(record.cpu_num),
        memory_gb=whole(record.memory),
        rootfs_gb=whole(record.rootfs_size),
        image_url=text(record.image_url),
        billing_mode=BILLING.get(text(record.billing_mode)),
        spot_status=SPOT_STATUS.get(text(record.spot_status), SpotStatus.NONE),
        reclaim_at=moment(record.spot_reclaim_time),
        ports=_port_mappings(record),
        connection=_connection(record, ssh) if detailed else None,
        password=text(ssh.password) if ssh else "",
        detailed=detailed,
        created_at=moment(record.created_at),
        started_at=moment(record.last_started_at),
        stopped_at=moment(record.last_stopped_at),
        price_per_hour=_price(whole(record.instance_price) * gpus),
        auto_migrate=record.auto_migrate_open if isinstance(record.auto_migrate_open, bool) else None,
    )


def machine_id(value: Scalar) -> MachineId:
    """Novita's id of a machine. It is text in every sample, so anything else is an answer gone wrong: Unreadable."""
    if not isinstance(value, str) or not value:
        raise Unreadable("a machine without an id")
    return MachineId(value)


def _machine_error(record: wire.Machine) -> str:
    error = part(record.status_error, wire.StatusError)
    return ": ".join(filter(None, (text(error.state), text(error.message)))) if error else ""


def _port_mappings(record: wire.Machine) -> tuple[PortMapping, ...]:
    found = parts(record.port_mappings, wire.PortMapping)
    return tuple(
        PortMapping(port=whole(one.port), type=text(one.type), endpoint=text(one.endpoint))
        for one in found
        if 0 < whole(one.port) <= _LAST_PORT
    )


def _running_ssh(record: wire.Machine) -> wire.SshComponent | None:
    """SSH details that may be used. Port and password may change on each start (novita-wire.md 1.3), so details of a
    component that Novita says is not running are stale.
    """
    ssh = part(record.ssh, wire.SshComponent)
    return None if ssh is None or ssh.is_running is False else ssh


def _connection(record: wire.Machine, ssh: wire.SshComponent | None) -> Connection | None:
    command = text(ssh.ssh_command) if ssh else ""
    host, port, username = _ssh_address(command)
    jupyter = part(record.jupyter, wire.AddressComponent)
    terminal = part(record.web_terminal, wire.AddressComponent)
    log = part(record.log, wire.LogComponent)
    connection = Connection(
        host=host,
        port=port,
        username=username,
        ssh=command if host else "",
        jupyter=text(jupyter.address) if jupyter else "",
        web_terminal=text(terminal.address) if terminal else "",
        log_address=text(log.instance_log_address) if log else "",
        system_log_address=text(log.system_log_address) if log else "",
    )
    return None if connection == Connection() else connection


def _ssh_address(command: str) -> tuple[str, int, str]:
    """Host, port and user of `ssh -p 32787 root@proxy.us-ca-6.gpu-instance.novita.ai`."""
    target = _SSH_TARGET.search(command)
    if target is None:
        return "", 0, ""
    port = _SSH_PORT.search(command)
    return target["host"], int(port[1]) if port else _SSH_DEFAULT_PORT, target["user"]


# ── the catalogue ─────────────────────────────────────────────────────────────────────────────────────────────────────


def product(record: wire.Product, mode: BillingMode) -> Product | None:
    """A product as bought under a mode, or None when it is not sold that way. Prices come in 1/100000 USD per GPU and
    hour (novita-wire.md 1.4), which is our unit too; spot price `"0"` means no spot. Raises Unreadable without an id.
    """
    price = _price(whole(record.spot_price if mode is BillingMode.SPOT else record.price))
    methods = part(record.billing_methods, list[str])
    if price is None or (methods is not None and mode.value not in methods):
        return None
    return Product(
        id=_required(record.id, "product"),
        name=text(record.name),
        billing_mode=mode,
        price_per_gpu=price,
        regions=tuple(part(record.regions, list[str]) or ()),
        deployable=record.available_deploy is not False,
        inventory=INVENTORY.get(text(record.inventory_state), Inventory.UNKNOWN),
        cpu_per_gpu=whole(record.cpu_per_gpu),
        memory_per_gpu=whole(record.memory_per_gpu),
        min_rootfs=whole(record.min_rootfs),
        max_rootfs=whole(record.max_rootfs),
    )


def region(record: wire.Cluster) -> Region:
    """A cluster. Raises Unreadable without an id."""
    return Region(
        cluster_id=_required(record.id, "cluster"),
        name=text(record.name),
        network_storage=record.support_network_storage is True,
    )


# ── things of the account ─────────────────────────────────────────────────────────────────────────────────────────────


def template(record: wire.Template) -> Template:
    """A template. Raises Unreadable without an id."""
    return Template(
        id=_required(record.id, "template"),
        name=text(record.name),
        image_url=text(record.image),
        channel=text(record.channel),
        image_auth_id=text(record.image_auth),
        command=text(record.start_command),
        entrypoint=text(record.entrypoint),
        rootfs_gb=whole(record.rootfs_size),
        ports=_template_ports(record),
        envs=tuple((text(env.key), text(env.value)) for env in parts(record.envs, wire.EnvVar) if text(env.key)),
        readme=text(record.readme),
        min_cuda_version=text(record.min_cuda_version),
    )


def _template_ports(record: wire.Template) -> tuple[Port, ...]:
    groups = [(text(one.type), part(one.ports, list[Scalar]) or []) for one in parts(record.ports, wire.TemplatePorts)]
    return tuple(
        Port(port=whole(port), type=kind) for kind, ports in groups for port in ports if 0 < whole(port) <= _LAST_PORT
    )


def registry_auth(record: wire.RegistryAuth) -> RegistryAuth:
    """A registry credential without its password. Raises Unreadable without an id."""
    return RegistryAuth(
        id=_required(record.id, "registry credential"), name=text(record.name), username=text(record.username)
    )


def network_storage(record: wire.NetworkStorage) -> NetworkStorage:
    """A network volume. Raises Unreadable without an id."""
    return NetworkStorage(
        id=_required(record.storage_id, "network volume"),
        name=text(record.storage_name),
        size_gb=whole(record.storage_size),
        cluster_id=text(record.cluster_id),
        region=text(record.cluster_name),
    )


def job(record: wire.Job) -> ProviderJob:
    """A job of Novita's. `state` is an object, or the bare word. Raises Unreadable without an id."""
    state = part(record.state, wire.JobState) or wire.JobState(state=part(record.state, str))
    return ProviderJob(
        id=_required(record.id, "job"),
        type=text(record.type),
        state=text(state.state),
        error=text(state.error_message) or text(state.message) or text(state.error),
        instance_id=text(record.instance_id),
        created_at=moment(record.created_at),
        updated_at=moment(record.update_at),
    )


def _required(value: Scalar, what: str) -> str:
    found = text(value)
    if not found:
        raise Unreadable(f"a {what} without an id")
    return found


def _price(units: int) -> Usd | None:
    return Usd(units) if units > 0 else None
