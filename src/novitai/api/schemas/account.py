"""Things of the Novita account that a create refers to. Never a password, and environment values only as `***`."""

from novitai.api.schemas.common import Answer, Page


class TemplatePort(Answer):
    """A port that a template asks for."""

    port: int
    type: str


class TemplateEnv(Answer):
    """An environment variable of a template; its value is not shown."""

    key: str
    value: str


class TemplateAnswer(Answer):
    """An image with the way to run it."""

    id: str
    name: str
    image_url: str
    image_auth_id: str | None
    channel: str | None
    command: str
    entrypoint: str
    rootfs_size: int | None
    ports: list[TemplatePort]
    envs: list[TemplateEnv]
    description: str | None
    min_cuda_version: str | None


class TemplatePage(Page):
    """The account's templates."""

    templates: list[TemplateAnswer]


class RegionAnswer(Answer):
    """A region of Novita's. A request may name it by id, code or name."""

    id: str
    code: str
    name: str
    network_storage: bool


class RegionPage(Page):
    """Regions."""

    regions: list[RegionAnswer]


class RegistryAuthAnswer(Answer):
    """A registry credential, without its password."""

    id: str
    name: str
    username: str


class RegistryAuthPage(Page):
    """Registry credentials."""

    registry_auths: list[RegistryAuthAnswer]


class NetworkStorageAnswer(Answer):
    """A network volume; it can be mounted only in its own region."""

    id: str
    name: str
    size_gb: int
    cluster_id: str
    region: str


class NetworkStoragePage(Page):
    """Network volumes."""

    network_storages: list[NetworkStorageAnswer]
