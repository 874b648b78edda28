"""What the account owns besides machines: templates, registry credentials, network volumes.

The ids below are constants, so that a rehearsal can be written down; `docs/reference/simulator.md` lists them. One template
names credentials that do not exist, as happens on real accounts when they were deleted after it was made.
"""

from dataclasses import dataclass, field

from novita_simulator.billing import Meter
from novita_simulator.machine import Env

USER_ID = "6ef17efc-0000-4000-8000-1ab4b93973df"
SYSTEM_USER = "System"
REGISTRY_AUTH_ID = "0f4d7c86-5a52-4c1e-9d53-3c2f5a0e7b11"
MISSING_AUTH_ID = "9c1b2d3e-0000-4000-8000-00000000dead"
PRIVATE_IMAGE_PREFIX = "registry.example.com/private/"  # such images are pulled with credentials only
LONG_AGO = 1_756_959_094


@dataclass(frozen=True, kw_only=True)
class RegistryAuth:
    id: str
    name: str
    username: str
    password: str


@dataclass(frozen=True)
class TemplatePorts:
    type: str  # http | tcp
    ports: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Template:
    id: str
    name: str
    channel: str  # official | community | private
    image: str
    image_auth: str = ""  # the id of a registry credential
    start_command: str = ""
    entrypoint: str = ""
    rootfs_size: int = 60
    ports: tuple[TemplatePorts, ...] = ()
    envs: tuple[Env, ...] = ()
    readme: str = ""
    min_cuda_version: str = ""
    created_at: int = LONG_AGO
    updated_at: int = LONG_AGO


@dataclass(kw_only=True)
class NetworkStorage:
    id: str
    name: str
    size: int
    cluster_id: str
    meter: Meter = field(default_factory=Meter)


@dataclass(kw_only=True)
class Account:
    """Everything by its id."""

    templates: dict[str, Template] = field(default_factory=dict)
    registry_auths: dict[str, RegistryAuth] = field(default_factory=dict)
    storages: dict[str, NetworkStorage] = field(default_factory=dict)
    gone_storages: dict[str, NetworkStorage] = field(default_factory=dict)

    def knows_credentials(self, credentials: str) -> bool:
        return any(f"{auth.username}:{auth.password}" == credentials for auth in self.registry_auths.values())


_WEB_AND_TCP = (TemplatePorts("http", (8080,)), TemplatePorts("tcp", (22000,)))

TEMPLATES = (
    Template(
        id="107672",
        name="demo-llm-server",
        channel="private",
        image=f"{PRIVATE_IMAGE_PREFIX}llm-server:1.4",
        image_auth=REGISTRY_AUTH_ID,
        start_command="serve --port 8080",
        ports=_WEB_AND_TCP,
        envs=(Env("MODEL", "demo-7b"), Env("HF_HUB_ENABLE_HF_TRANSFER", "1")),
        readme="# Demo server\n\nA private image with a registry credential.",
    ),
    Template(
        id="107673",
        name="demo-public-web",
        channel="private",
        image="docker.io/library/nginx:1.27",
        rootfs_size=30,
        ports=(TemplatePorts("http", (8080,)),),
    ),
    Template(
        id="107674",
        name="demo-broken-auth",
        channel="private",
        image=f"{PRIVATE_IMAGE_PREFIX}orphan:2.0",
        image_auth=MISSING_AUTH_ID,
        ports=(TemplatePorts("http", (8080,)),),
    ),
    Template(
        id="101",
        name="PyTorch 2.8 CUDA 12.8",
        channel="official",
        image="docker.io/pytorch/pytorch:2.8.0-cuda12.8-cudnn9-devel",
        ports=(TemplatePorts("http", (8888,)), TemplatePorts("tcp", (22000,))),
        envs=(Env("JUPYTER_TOKEN", "novita"),),
        min_cuda_version="12.8",
    ),
    Template(
        id="102",
        name="vLLM OpenAI server",
        channel="official",
        image="docker.io/vllm/vllm-openai:latest",
        start_command="--model meta-llama/Llama-3.1-8B-Instruct",
        rootfs_size=120,
        ports=(TemplatePorts("http", (8000,)),),
        min_cuda_version="12.4",
    ),
    Template(
        id="103",
        name="Ubuntu 22.04",
        channel="official",
        image="docker.io/library/ubuntu:22.04",
        start_command="sleep infinity",
        ports=(TemplatePorts("tcp", (22000,)),),
    ),
    Template(
        id="5501",
        name="ComfyUI community",
        channel="community",
        image="docker.io/example/comfyui:latest",
        ports=(TemplatePorts("http", (8188,)),),
    ),
)


def default_account() -> Account:
    auth = RegistryAuth(
        id=REGISTRY_AUTH_ID,
        name="demo-registry",
        username="demo",
        password="demo-registry-password",  # noqa: S106 - a made-up password of a made-up registry
    )
    return Account(
        templates={template.id: template for template in TEMPLATES},
        registry_auths={auth.id: auth},
    )
