"""Bodies and answers of start, stop, restart, delete and last-used."""

from datetime import UTC, datetime
from typing import Annotated, Self

import msgspec
from pydantic import AfterValidator, AliasChoices, Field, model_validator

from novitai.api.schemas.common import Answer, Body, Line, Port, Time, WebAddress, WebhookSecret
from novitai.api.schemas.creating import NAME_PATTERN, HealthCheckBody
from novitai.operations.requests import CheckRequest, VerbRequest

Name = Annotated[str, Field(pattern=NAME_PATTERN, min_length=1, max_length=100)]


def moment(text: str) -> str:
    """A time with its zone, as written. Raises ValueError for anything else."""
    try:
        read = datetime.fromisoformat(text)
        read.astimezone(UTC)
    except (ValueError, OverflowError):
        read = None
    if read is None or read.tzinfo is None:
        raise ValueError("must be a time with its zone, such as 2027-01-15T08:00:00Z")
    return text


Moment = Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"}), AfterValidator(moment)]


def unix(written: str) -> float:
    """Unix seconds of a `Moment`. Raises ValueError when it is none."""
    return datetime.fromisoformat(moment(written)).timestamp()


class VerbBody(Body):
    """Stop, restart or delete; everything is optional. `instanceName` must be the name of the instance in the path."""

    instance_name: Name | None = None
    webhook_url: WebAddress | None = None
    webhook_secret: WebhookSecret | None = None
    reason: Line = ""

    @model_validator(mode="after")
    def _secret_has_an_address(self) -> Self:
        if self.webhook_secret is not None and self.webhook_url is None:
            raise ValueError("webhookSecret needs a webhookUrl")
        return self

    def request(self) -> VerbRequest:
        """In the words of the operations."""
        return VerbRequest(reason=self.reason, webhook_url=self.webhook_url, webhook_secret=self.webhook_secret)


class StopBody(VerbBody):
    """Stop; everything is optional. A stop holds until somebody starts the instance, or until `until`: then its schedule counts again."""

    until: Moment | None = None

    def request(self) -> VerbRequest:
        """In the words of the operations."""
        until = unix(self.until) if self.until is not None else None
        return msgspec.structs.replace(super().request(), until=until)


class StartBody(Body):
    """Start; everything is optional. `timeoutMs` is how long the application may take to answer, unless the health check says so."""

    instance_name: Name | None = None
    timeout_ms: int | None = Field(default=None, ge=100, le=7_200_000)
    health_check: HealthCheckBody | None = Field(
        default=None, validation_alias=AliasChoices("healthCheck", "healthCheckConfig")
    )
    target_port: Port | None = None
    webhook_url: WebAddress | None = None
    webhook_secret: WebhookSecret | None = None
    reason: Line = ""

    @model_validator(mode="after")
    def _secret_has_an_address(self) -> Self:
        if self.webhook_secret is not None and self.webhook_url is None:
            raise ValueError("webhookSecret needs a webhookUrl")
        return self

    def request(self) -> VerbRequest:
        """In the words of the operations."""
        return VerbRequest(
            reason=self.reason,
            health_check=self._check(),
            webhook_url=self.webhook_url,
            webhook_secret=self.webhook_secret,
        )

    def _check(self) -> CheckRequest | None:
        if self.health_check is None and self.timeout_ms is None and self.target_port is None:
            return None
        asked = self.health_check or HealthCheckBody()
        port = asked.port if asked.port is not None else self.target_port
        longest = asked.max_wait_time_ms if asked.max_wait_time_ms is not None else self.timeout_ms
        return asked.model_copy(update={"port": port, "max_wait_time_ms": longest}).request()


class StartByNameBody(StartBody):
    """Start by name."""

    instance_name: Name


class StopByNameBody(StopBody):
    """Stop by name."""

    instance_name: Name


class VerbByNameBody(VerbBody):
    """Delete by name."""

    instance_name: Name


class AcceptedAnswer(Answer):
    """What was accepted (202), or is so already (200). `operationId` stays the same while the same is under way."""

    instance_id: str
    novita_instance_id: str | None = None
    status: str
    message: str
    operation_id: str
    estimated_ready_time: Time | None = None


class LastUsedBody(Body):
    """When the instance was used; now when left out."""

    last_used_at: Moment | None = None


class LastUsedAnswer(Answer):
    """The last use that holds: the latest that was told."""

    instance_id: str
    last_used_at: Time
    message: str
