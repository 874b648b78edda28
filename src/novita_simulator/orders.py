"""What a caller may ask for, read and checked: the bodies of create, edit and upgrade (novita-wire.md 3.4, 3.7, 3.8).

Reading knows the shapes and limits alone; whether the world can do it (stock, money, credentials) is decided in `actions`.
"""

from dataclasses import dataclass

from novita_simulator.catalogue import BILLING_MODES
from novita_simulator.fields import Fields, InvalidField
from novita_simulator.machine import Env, Port

MIN_ROOTFS, MAX_ROOTFS = 10, 6144
MOST_PORTS = 15
LONGEST_NAME = 255
_RESERVED_PORTS = frozenset({2222, 2223, 2224})
_PORT_TYPES = ("http", "tcp")


@dataclass(frozen=True)
class MountOrder:
    storage_id: str
    path: str


@dataclass(frozen=True, kw_only=True)
class WorkloadOrder:
    image_url: str
    image_auth: str  # username:password
    image_auth_id: str
    command: str
    entrypoint: str
    envs: tuple[Env, ...]
    mounts: tuple[MountOrder, ...]


@dataclass(frozen=True, kw_only=True)
class CreateOrder:
    name: str
    kind: str
    product_id: str
    gpu_num: int
    rootfs_size: int
    cluster_id: str  # empty = any
    billing_mode: str
    months: int
    auto_renew_months: int
    ports: tuple[Port, ...]
    jupyter_port: int  # 0 = no Jupyter
    workload: WorkloadOrder


@dataclass(frozen=True, kw_only=True)
class EditOrder:
    instance_id: str
    ports: tuple[Port, ...] | None  # None = as they are
    expand_root_disk: int


def read_create(fields: Fields, *, longest_name: int) -> CreateOrder:
    kind = fields.choice("kind", ("gpu", "cpu"), "gpu")
    is_gpu = kind == "gpu"
    months = fields.whole("month", 0, least=0, most=36)
    jupyter_port = _jupyter_port(fields)
    ports = _with_tool(parse_ports(fields.text("ports", ""), fields.name("ports")), jupyter_port)
    return CreateOrder(
        name=fields.text("name", "", longest=longest_name),
        kind=kind,
        product_id=fields.text("productId", shortest=1, longest=255),
        gpu_num=fields.whole("gpuNum", None if is_gpu else 0, least=1 if is_gpu else 0, most=8),
        rootfs_size=max(MIN_ROOTFS, fields.whole("rootfsSize", None if is_gpu else 60, least=0, most=MAX_ROOTFS)),
        cluster_id=fields.text("clusterId", "", longest=255),
        billing_mode=_billing_mode(fields, months),
        months=months,
        auto_renew_months=fields.whole("autoRenewMonth", 1, least=1, most=12)
        if fields.flag("autoRenew", default=False)
        else 0,
        ports=ports,
        jupyter_port=jupyter_port,
        workload=_read_workload(fields, _create_mounts(fields)),
    )


def read_upgrade(fields: Fields) -> WorkloadOrder:
    volumes = fields.group("networkVolume").items("volumeMounts", most=30)
    mounts = tuple(_mount(volume, id_field="id", path_field="mountPath") for volume in volumes)
    return _read_workload(fields, mounts)


def read_edit(fields: Fields) -> EditOrder:
    ports = tuple(
        _port(item.whole("port"), item.choice("type", _PORT_TYPES), item.name("port")) for item in fields.items("ports")
    )
    _check_count(ports, fields.name("ports"))
    return EditOrder(
        instance_id=fields.text("instanceId", shortest=1),
        ports=ports if fields.has("ports") else None,
        expand_root_disk=fields.whole("expandRootDisk", 0, least=0, most=MAX_ROOTFS),
    )


def parse_ports(text: str, where: str) -> tuple[Port, ...]:
    """`80/http, 3306/tcp` as ports; only create uses this form, edit sends a list."""
    ports = tuple(_parse_port(part.strip(), where) for part in text.split(",") if part.strip())
    _check_count(ports, where)
    return ports


def _parse_port(part: str, where: str) -> Port:
    number, slash, kind = part.partition("/")
    if not slash or not number.isdecimal() or kind not in _PORT_TYPES:
        raise InvalidField(where, f"must look like 80/http, found {part!r}")
    return _port(int(number), kind, where)


def _port(number: int, kind: str, where: str) -> Port:
    if not 1 <= number <= 65_535 or number in _RESERVED_PORTS:
        raise InvalidField(where, f"port {number} is not allowed")
    return Port(number, kind)


def _check_count(ports: tuple[Port, ...], where: str) -> None:
    if len(ports) > MOST_PORTS:
        raise InvalidField(where, f"must be at most {MOST_PORTS} with the tools")
    if len({port.number for port in ports}) != len(ports):
        raise InvalidField(where, "must not name a port twice")


def _with_tool(ports: tuple[Port, ...], jupyter_port: int) -> tuple[Port, ...]:
    if not jupyter_port or any(port.number == jupyter_port for port in ports):
        return ports
    together = (*ports, Port(jupyter_port, "http"))
    _check_count(together, "tools")
    return together


def _jupyter_port(fields: Fields) -> int:
    for tool in fields.items("tools"):
        if tool.choice("name", ("Jupyter",)):
            return tool.whole("port", 8888, least=1, most=65_535)
    return 0


def _billing_mode(fields: Fields, months: int) -> str:
    mode = fields.text("billingMode", "") or "onDemand"
    if mode not in BILLING_MODES:
        raise InvalidField(fields.name("billingMode"), f"must be one of {', '.join(BILLING_MODES)}")
    return "monthly" if months else mode


def _create_mounts(fields: Fields) -> tuple[MountOrder, ...]:
    storages = fields.items("networkStorages", most=30)
    return tuple(_mount(storage, id_field="Id", path_field="mountPoint") for storage in storages)


def _mount(fields: Fields, *, id_field: str, path_field: str) -> MountOrder:
    return MountOrder(
        storage_id=fields.text(id_field, shortest=1),
        path=fields.text(path_field, "/network", shortest=1, longest=4095),
    )


def _read_workload(fields: Fields, mounts: tuple[MountOrder, ...]) -> WorkloadOrder:
    return WorkloadOrder(
        image_url=fields.text("imageUrl", shortest=1, longest=500),
        image_auth=fields.text("imageAuth", "", longest=10_239),
        image_auth_id=fields.text("imageAuthId", "", longest=255),
        command=fields.text("command", "", longest=2047),
        entrypoint=fields.text("entrypoint", "", longest=2047),
        envs=tuple(read_env(item) for item in fields.items("envs", most=100)),
        mounts=mounts,
    )


def read_env(fields: Fields) -> Env:
    return Env(fields.text("key", longest=511), fields.text("value", "", longest=4095))
