"""Things of the account that a create refers to: templates, registry credentials, network volumes."""

import msgspec

from novitai.domain.machine import Port


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """An image with the way to run it (novita-wire.md 3.11). `envs` may hold secrets and are not shown in lists."""

    id: str
    name: str
    image_url: str
    channel: str = ""
    image_auth_id: str = ""
    command: str = ""
    entrypoint: str = ""
    rootfs_gb: int = 0
    ports: tuple[Port, ...] = ()
    envs: tuple[tuple[str, str], ...] = ()
    readme: str = ""
    min_cuda_version: str = ""

    def __repr__(self) -> str:
        return f"Template({self.id} {self.name})"


class RegistryAuth(msgspec.Struct, frozen=True, kw_only=True):
    """A registry credential by id; its password stays with Novita."""

    id: str
    name: str
    username: str


class NetworkStorage(msgspec.Struct, frozen=True, kw_only=True):
    """A network volume; it can be mounted only in its own region."""

    id: str
    name: str
    size_gb: int
    cluster_id: str
    region: str
