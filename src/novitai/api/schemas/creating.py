"""`POST /api/instances`: what may be asked for, and what is answered."""

from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BeforeValidator, Field, WithJsonSchema, model_validator

from novitai.api.schemas.auto_stop import AutoStopBody
from novitai.api.schemas.budgets import InstanceBudgetBody
from novitai.api.schemas.calendar import ScheduleBody, TtlDuration
from novitai.api.schemas.common import (
    DURATION_SCHEMA,
    Answer,
    Body,
    Port,
    Time,
    WebAddress,
    WebhookSecret,
    seconds,
)
from novitai.api.schemas.moving import MigrationBody
from novitai.api.schemas.offers import OfferAnswer
from novitai.domain.machine import Port as MachinePort
from novitai.domain.money import usd
from novitai.domain.offers import BillingChoice, Placement
from novitai.operations.requests import CheckRequest, CreateRequest

NAME_PATTERN = r"^[A-Za-z0-9_-]{1,100}$"
LONGEST_WAIT_SECONDS = 7 * 86_400.0


def _several(value: Any) -> Any:
    return [value] if isinstance(value, (str, int)) and not isinstance(value, bool) else value


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Regions = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=100)]],
    Field(
        min_length=1, max_length=50
    ),  # before the next line: so a list that is too long is refused before its items are read
    BeforeValidator(_several),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 50}]}
    ),
]
TemplateId = Annotated[
    str,
    BeforeValidator(_text),
    Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_-]+$"),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": "^[A-Za-z0-9_-]{1,100}$"}, {"type": "integer"}]}),
]
Statuses = Annotated[
    list[Annotated[int, Field(ge=100, le=599)]],
    Field(min_length=1, max_length=50),
    BeforeValidator(_several),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 100, "maximum": 599},
                {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 100, "maximum": 599},
                    "minItems": 1,
                    "maxItems": 50,
                },
            ]
        }
    ),
]
Wait = Annotated[float, BeforeValidator(seconds), Field(ge=1.0, le=LONGEST_WAIT_SECONDS), DURATION_SCHEMA]


class PortBody(Body):
    """A port to be reached from outside."""

    port: Port
    type: Literal["http", "tcp"]


class EnvBody(Body):
    """An environment variable of the machine."""

    key: str = Field(min_length=1, max_length=511, pattern=r"^[^=\x00]+$")
    value: str = Field(max_length=4095)


class StorageBody(Body):
    """A network volume and where it is mounted."""

    id: str = Field(min_length=1, max_length=100, validation_alias=AliasChoices("id", "Id"))
    mount_point: str = Field(default="/network", min_length=1, max_length=4095, pattern="^/")


class HealthCheckBody(Body):
    """How the application is asked whether it answers; what is left out is the server's setting. Durations in milliseconds."""

    type: Literal["http", "tcp", "none"] | None = None
    port: Port | None = Field(default=None, validation_alias=AliasChoices("port", "targetPort"))
    path: str | None = Field(default=None, max_length=2048, pattern=r"^/[^\x00-\x20\x7f]*$")
    expect_status: Statuses | None = None
    expect_body: str | None = Field(default=None, max_length=1000)
    timeout_ms: int | None = Field(default=None, ge=10, le=600_000)
    retry_attempts: int | None = Field(default=None, ge=0, le=10, description="Tries in one round; 0 and 1 mean one.")
    retry_delay_ms: int | None = Field(default=None, ge=0, le=600_000)
    max_wait_time_ms: int | None = Field(default=None, ge=100, le=7_200_000)

    def request(self) -> CheckRequest:
        """In the words of the operations."""
        return CheckRequest(
            type=self.type,
            port=self.port,
            path=self.path,
            expect_status=tuple(self.expect_status or ()),
            expect_body=self.expect_body or "",
            timeout_ms=self.timeout_ms,
            retry_attempts=None if self.retry_attempts is None else max(1, self.retry_attempts),
            retry_delay_ms=self.retry_delay_ms,
            max_wait_time_ms=self.max_wait_time_ms,
        )


class CreateBody(Body):
    """What to get. Needed: a name, a product (by name or id), and an image or a template that has one."""

    name: str = Field(pattern=NAME_PATTERN, min_length=1, max_length=100)
    product_name: str | None = Field(
        default=None, min_length=1, max_length=200, description="Words of the product's name, such as `RTX 4090 24GB`."
    )
    product_id: str | None = Field(default=None, min_length=1, max_length=200)
    template_id: TemplateId | None = None
    image_url: str | None = Field(default=None, min_length=1, max_length=500, pattern=r"^[^\x00-\x20\x7f]+$")
    ports: list[PortBody] | None = Field(default=None, max_length=20)
    envs: list[EnvBody] | None = Field(default=None, max_length=100)
    command: str | None = Field(default=None, max_length=2047)
    entrypoint: str | None = Field(default=None, max_length=2047)
    image_auth_id: str | None = Field(default=None, max_length=100)
    gpu_num: int = Field(default=1, ge=1, le=8)
    rootfs_size: int | None = Field(default=None, ge=10, le=6144, description="GB; default: the template's, else 60.")
    region: Regions | None = Field(default=None, description="Ids, codes or names of the regions allowed.")
    billing_mode: Literal["spot", "onDemand", "auto"] = "spot"
    placement: Literal["cheapest", "region-first"] | None = None
    max_price_per_hour: float | None = Field(
        default=None, gt=0, le=1_000_000, description="USD for the whole instance."
    )
    network_storages: list[StorageBody] = Field(default=[], max_length=30)
    webhook_url: WebAddress | None = None
    webhook_secret: WebhookSecret | None = None
    labels: dict[
        Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9._/-]+$")],
        Annotated[str, Field(max_length=255)],
    ] = Field(default={}, max_length=32)
    health_check: HealthCheckBody = Field(
        default=HealthCheckBody(), validation_alias=AliasChoices("healthCheck", "healthCheckConfig")
    )
    wait_for_capacity: Wait | None = Field(default=None, description="Keep trying this long instead of NO_CAPACITY.")
    protect: bool = Field(default=False, description="No automatic delete, replace or migrate.")
    auto_stop: AutoStopBody | None = None
    migration: MigrationBody | None = None
    budget: InstanceBudgetBody | None = None
    ttl: TtlDuration | None = Field(default=None, description="Stop it this long after the create, for good.")
    schedule: ScheduleBody | None = None
    dry_run: bool = Field(default=False, description="Answer what would be done; nothing is bought.")

    @model_validator(mode="after")
    def _names_one_product(self) -> Self:
        if (self.product_name is None) == (self.product_id is None):
            raise ValueError("give either productName or productId")
        if self.webhook_secret is not None and self.webhook_url is None:
            raise ValueError("webhookSecret needs a webhookUrl")
        return self

    def request(self) -> CreateRequest:
        """In the words of the operations."""
        ports, envs, cap = self.ports, self.envs, self.max_price_per_hour
        return CreateRequest(
            name=self.name,
            product_name=self.product_name,
            product_id=self.product_id,
            template_id=self.template_id,
            image_url=self.image_url,
            ports=None if ports is None else tuple(MachinePort(port.port, port.type) for port in ports),
            envs=None if envs is None else tuple((env.key, env.value) for env in envs),
            command=self.command,
            entrypoint=self.entrypoint,
            image_auth_id=self.image_auth_id,
            gpu_num=self.gpu_num,
            rootfs_gb=self.rootfs_size,
            regions=tuple(self.region or ()),
            billing=BillingChoice(self.billing_mode),
            placement=Placement(self.placement) if self.placement else None,
            max_price_per_hour=None if cap is None else usd(cap),
            network_storages=tuple((storage.id, storage.mount_point) for storage in self.network_storages),
            webhook_url=self.webhook_url,
            webhook_secret=self.webhook_secret,
            labels=dict(self.labels),
            health_check=self.health_check.request(),
            wait_for_capacity_seconds=self.wait_for_capacity,
            protect=self.protect,
            auto_stop=None if self.auto_stop is None else self.auto_stop.asked(),
            migration=None if self.migration is None else self.migration.asked(),
            budget=None if self.budget is None else self.budget.budget(),
            ttl_seconds=self.ttl,
            schedule=None if self.schedule is None else self.schedule.schedule(),
        )


class ChosenOffer(Answer):
    """The chosen offer's place, among how many that fit, and why it is there."""

    rank: int
    candidates: int
    reason: str


class CreatedAnswer(Answer):
    """The intent is durable; the instance is on its way. Prices are USD per hour for the whole instance."""

    instance_id: str
    novita_instance_id: str | None = None
    name: str
    status: str
    message: str
    product_id: str
    product_name: str
    region: str
    billing_mode: str
    price_per_hour: float
    spot_price: float | None = None
    estimated_ready_time: Time | None = None
    offer: ChosenOffer
    links: dict[str, str]


class PlanAnswer(Answer):
    """What a create would do (`dryRun`); nothing was written or bought."""

    dry_run: Literal[True] = True
    name: str
    status: Literal["planned"] = "planned"
    message: str
    product_id: str
    product_name: str
    region: str
    billing_mode: str
    price_per_hour: float
    spot_price: float | None = None
    offer: ChosenOffer
    offers: list[OfferAnswer]
