"""Novita's records, field by field, under its own names.

A field is any scalar, because documents and reality differ (novita-wire.md 1.2); a nested thing is kept raw until
someone wants it. What the values mean is `translate.py`'s business, how they are read `reading.py`'s.
"""

import msgspec

from novitai.novita.reading import ABSENT, Scalar


class StatusError(msgspec.Struct, frozen=True, rename="camel"):
    """Why a machine is not well: `state` such as `oom`, both empty when it is."""

    state: Scalar = None
    message: Scalar = None


class PortMapping(msgspec.Struct, frozen=True, rename="camel"):
    port: Scalar = None
    endpoint: Scalar = None
    type: Scalar = None


class SshComponent(msgspec.Struct, frozen=True, rename="camel"):
    ssh_command: Scalar = None
    password: Scalar = None
    is_running: Scalar = None


class AddressComponent(msgspec.Struct, frozen=True, rename="camel"):
    """Jupyter and the web terminal."""

    address: Scalar = None


class LogComponent(msgspec.Struct, frozen=True, rename="camel"):
    system_log_address: Scalar = None
    instance_log_address: Scalar = None


class Machine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A record of `/gpu/instances` or `/gpu/instance` (novita-wire.md 3.5)."""

    id: Scalar = None
    name: Scalar = None
    status: Scalar = None
    status_error: msgspec.Raw = ABSENT
    cluster_id: Scalar = None
    cluster_name: Scalar = None
    product_id: Scalar = None
    product_name: Scalar = None
    gpu_num: Scalar = None
    cpu_num: Scalar = None
    memory: Scalar = None
    rootfs_size: Scalar = None
    image_url: Scalar = None
    billing_mode: Scalar = None
    spot_status: Scalar = None
    spot_reclaim_time: Scalar = None
    port_mappings: msgspec.Raw = ABSENT
    ssh: msgspec.Raw = msgspec.field(default=ABSENT, name="connectComponentSSH")
    web_terminal: msgspec.Raw = msgspec.field(default=ABSENT, name="connectComponentWebTerminal")
    jupyter: msgspec.Raw = msgspec.field(default=ABSENT, name="connectComponentJupyter")
    log: msgspec.Raw = msgspec.field(default=ABSENT, name="connectComponentLog")
    created_at: Scalar = None
    last_started_at: Scalar = None
    last_stopped_at: Scalar = None
    instance_price: Scalar = None
    auto_migrate_open: Scalar = None


class Product(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An item of `/products` (novita-wire.md 3.2). Trap: `minRootFS`, `maxRootFS`."""

    id: Scalar = None
    name: Scalar = None
    cpu_per_gpu: Scalar = None
    memory_per_gpu: Scalar = None
    available_deploy: Scalar = None
    min_rootfs: Scalar = msgspec.field(default=None, name="minRootFS")
    max_rootfs: Scalar = msgspec.field(default=None, name="maxRootFS")
    regions: msgspec.Raw = ABSENT
    price: Scalar = None
    spot_price: Scalar = None
    billing_methods: msgspec.Raw = ABSENT
    inventory_state: Scalar = None


class Cluster(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An item of `/clusters` (novita-wire.md 3.1)."""

    id: Scalar = None
    name: Scalar = None
    support_network_storage: Scalar = None


class TemplatePorts(msgspec.Struct, frozen=True, rename="camel"):
    type: Scalar = None
    ports: msgspec.Raw = ABSENT


class EnvVar(msgspec.Struct, frozen=True):
    """An environment variable, in answers and in a create."""

    key: Scalar = None
    value: Scalar = None


class Template(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A template (novita-wire.md 3.11); its id is spelled `Id`."""

    id: Scalar = msgspec.field(default=None, name="Id")
    name: Scalar = None
    channel: Scalar = None
    image: Scalar = None
    image_auth: Scalar = None
    start_command: Scalar = None
    entrypoint: Scalar = None
    rootfs_size: Scalar = None
    ports: msgspec.Raw = ABSENT
    envs: msgspec.Raw = ABSENT
    readme: Scalar = None
    min_cuda_version: Scalar = None


class OneTemplate(msgspec.Struct, frozen=True):
    """The answer of `/template`."""

    template: Template


class RegistryAuth(msgspec.Struct, frozen=True, kw_only=True):
    """An item of `/repository/auths`, with its password in clear (novita-wire.md 3.12)."""

    id: Scalar = None
    name: Scalar = None
    username: Scalar = None
    password: Scalar = None

    def __repr__(self) -> str:
        return f"RegistryAuth({self.id})"


class NetworkStorage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An item of `/networkstorages/list` (novita-wire.md 3.13)."""

    storage_id: Scalar = None
    storage_name: Scalar = None
    storage_size: Scalar = None
    cluster_id: Scalar = None
    cluster_name: Scalar = None


class JobState(msgspec.Struct, frozen=True, rename="camel"):
    state: Scalar = None
    error: Scalar = None
    error_message: Scalar = None
    message: Scalar = None


class Job(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A job, public or internal (novita-wire.md 3.10): its id is spelled `Id`, its end `updateAt`, and that only
    internally.
    """

    id: Scalar = msgspec.field(default=None, name="Id")
    type: Scalar = None
    state: msgspec.Raw = ABSENT
    instance_id: Scalar = None
    created_at: Scalar = None
    update_at: Scalar = None


class Balance(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer of `/billing/balance/detail` (novita-wire.md 4)."""

    available_balance: Scalar = None


class Bill(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A row of `/billing/bill/list` (novita-wire.md 4). Trap: `ownerID`."""

    owner_id: Scalar = msgspec.field(default=None, name="ownerID")
    start_time: Scalar = None
    amount: Scalar = None


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a refusal says (novita-wire.md 2.1). `error` is another service's habit: an object with `code` and
    `message`, or a text.
    """

    code: Scalar = None
    reason: Scalar = None
    message: Scalar = None
    metadata: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


# What is sent.


class Mount(msgspec.Struct, frozen=True, rename="camel"):
    """A network volume in a create; `Id` has a capital I there (novita-wire.md 3.4)."""

    id: str = msgspec.field(name="Id")
    mount_point: str


class CreateBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The body of `/gpu/instance/create` (novita-wire.md 3.4); what is empty is left out."""

    name: str
    product_id: str
    gpu_num: int
    rootfs_size: int
    image_url: str
    kind: str
    billing_mode: str
    cluster_id: str = ""
    ports: str = ""
    envs: tuple[EnvVar, ...] = ()
    command: str = ""
    entrypoint: str = ""
    image_auth: str = ""
    network_storages: tuple[Mount, ...] = ()

    def __repr__(self) -> str:
        return f"CreateBody({self.name})"


class MachineRef(msgspec.Struct, frozen=True, rename="camel"):
    """The body of every action on a machine (novita-wire.md 3.6)."""

    instance_id: str


class Created(msgspec.Struct, frozen=True):
    """The answer of a create: the id and nothing else."""

    id: Scalar = None


class Usage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer of metrics (novita-wire.md 3.16): lists of points, and for GPUs those lists within `UsageOfGpus`."""

    cpu_utilization: msgspec.Raw = ABSENT
    mem_utilization: msgspec.Raw = ABSENT
    root_disk_utilization: msgspec.Raw = ABSENT
    gpu_utilization: msgspec.Raw = ABSENT
    gpu_mem_utilization: msgspec.Raw = ABSENT


class UsageOfGpus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The mean over all GPUs, and each of them (`UsageOfGpu`)."""

    avg: msgspec.Raw = ABSENT
    gpu_ids: msgspec.Raw = ABSENT


class UsageOfGpu(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    items: msgspec.Raw = ABSENT


class UsagePoint(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    timestamp: Scalar = None
    value: Scalar = None
