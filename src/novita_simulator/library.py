"""Templates, registry credentials and network volumes: what the account holder reads and changes (novita-wire.md 3.11-3.13)."""

from novita_simulator.account import NetworkStorage, RegistryAuth, Template, TemplatePorts
from novita_simulator.billing import network_disk_rate
from novita_simulator.errors import Refusal, invalid_param
from novita_simulator.fields import Fields
from novita_simulator.orders import read_env
from novita_simulator.world import World

SMALLEST_STORAGE = 10  # GB


def read_template(fields: Fields, *, template_id: str, channel: str, now: float, created_at: int) -> Template:
    return Template(
        id=template_id,
        name=fields.text("name", shortest=1, longest=255),
        channel=fields.choice("channel", ("official", "community", "private"), channel),
        image=fields.text("image", shortest=1, longest=500),
        image_auth=fields.text("imageAuth", "", longest=255),
        start_command=fields.text("startCommand", "", longest=2047),
        entrypoint=fields.text("entrypoint", "", longest=2047),
        rootfs_size=fields.whole("rootfsSize", least=1),
        ports=tuple(_template_ports(item) for item in fields.items("ports")),
        envs=tuple(read_env(item) for item in fields.items("envs", most=100)),
        readme=fields.text("readme", "", longest=102_400),
        min_cuda_version=fields.text("minCudaVersion", ""),
        created_at=created_at,
        updated_at=int(now),
    )


def create_template(world: World, fields: Fields, now: float) -> Template:
    """Only private templates can be made."""
    template_id = str(world.rng.randrange(200_000, 999_999))
    template = read_template(fields, template_id=template_id, channel="private", now=now, created_at=int(now))
    if template.channel != "private":
        raise invalid_param("channel")
    world.account.templates[template.id] = template
    return template


def update_template(world: World, fields: Fields, now: float) -> Template:
    known = template(world, fields.text("Id", shortest=1))
    _must_be_own(known)
    changed = read_template(fields, template_id=known.id, channel="private", now=now, created_at=known.created_at)
    world.account.templates[known.id] = changed
    return changed


def delete_template(world: World, template_id: str) -> None:
    _must_be_own(template(world, template_id))
    del world.account.templates[template_id]


def template(world: World, template_id: str) -> Template:
    known = world.account.templates.get(template_id)
    if known is None:
        raise world.missing("TEMPLATE_NOT_FOUND")
    return known


def save_registry_auth(world: World, fields: Fields) -> RegistryAuth:
    auth = RegistryAuth(
        id=world.new_uuid(),
        name=fields.text("name", shortest=1, longest=255),
        username=fields.text("username", shortest=1, longest=511),
        password=fields.text("password", shortest=1, longest=1024),
    )
    world.account.registry_auths[auth.id] = auth
    return auth


def delete_registry_auth(world: World, auth_id: str) -> None:
    if auth_id not in world.account.registry_auths:
        raise world.missing("RESOURCE_NOT_FOUND")
    if any(machine.workload.image_auth_id == auth_id for machine in world.machines.values()):
        raise Refusal(400, "IMAGE_AUTH_IN_USE", "image auth in use")
    del world.account.registry_auths[auth_id]


def create_storage(world: World, fields: Fields, now: float) -> NetworkStorage:
    cluster = world.catalogue.clusters.get(fields.text("clusterId", shortest=1, longest=255))
    if cluster is None:
        raise invalid_param("clusterId")
    if not cluster.network_storage:
        raise Refusal(400, "CUR_CLUSTER_NETWORK_STORAGE_NOT_SUPPORT", "cluster does not support network storage")
    storage = NetworkStorage(
        id=world.new_uuid(),
        name=fields.text("storageName", shortest=1, longest=255),
        size=fields.whole("storageSize", least=SMALLEST_STORAGE, most=10_240),
        cluster_id=cluster.id,
    )
    world.account.storages[storage.id] = storage
    world.ledger.start(storage.meter, "disk", rate=network_disk_rate(storage.size), now=now)
    return storage


def delete_storage(world: World, storage_id: str, now: float) -> None:
    storage = world.account.storages.get(storage_id)
    if storage is None:
        raise world.missing("NETWORK_STORAGE_NOT_FOUND")
    mounts = (mount for machine in world.machines.values() for mount in machine.workload.mounts)
    if any(mount.storage_id == storage_id for mount in mounts):
        raise Refusal(400, "NETWORK_STORAGE_IN_USE", "network storage in use")
    world.ledger.stop(storage.meter, "disk", now=now)
    world.account.gone_storages[storage_id] = world.account.storages.pop(storage_id)


def _must_be_own(known: Template) -> None:
    if known.channel != "private":
        raise Refusal(403, "FORBIDDEN", "forbidden")


def _template_ports(fields: Fields) -> TemplatePorts:
    numbers = fields.values("ports", most=10)
    if not all(isinstance(number, int) for number in numbers):
        raise invalid_param("ports")
    return TemplatePorts(fields.choice("type", ("http", "tcp")), tuple(int(str(number)) for number in numbers))
