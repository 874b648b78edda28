"""`PATCH /api/instances/{id}`: what may be changed of an instance, and by which words."""

from typing import Annotated, Self

import msgspec
from pydantic import Field, model_validator

from novitai.api.schemas.auto_stop import AutoStopBody
from novitai.api.schemas.budgets import InstanceBudgetBody
from novitai.api.schemas.calendar import ScheduleBody, TtlDuration
from novitai.api.schemas.common import Body, WebAddress, WebhookSecret
from novitai.api.schemas.moving import MigrationBody
from novitai.operations.requests import Amendment

LabelKey = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9._/-]+$")]
LabelValue = Annotated[str, Field(max_length=255)]


class AmendBody(Body):
    """Changes; what is left out stays, and null clears."""

    labels: dict[LabelKey, LabelValue | None] | None = Field(
        default=None, max_length=32, description="Merged into the present ones; a label that is null is removed."
    )
    ttl: TtlDuration | None = Field(default=None, description="Counts from now.")
    schedule: ScheduleBody | None = Field(default=None, description="Takes the place of the present one as a whole.")
    auto_stop: AutoStopBody | None = Field(
        default=None, description="What is left out of it stays; null makes all of it the server's settings again."
    )
    migration: MigrationBody | None = Field(
        default=None, description="What is left out of it stays; null makes all of it the server's settings again."
    )
    budget: InstanceBudgetBody | None = Field(default=None, description="Takes the place of the present one.")
    webhook_url: WebAddress | None = None
    webhook_secret: WebhookSecret | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(
                "name something to change: labels, ttl, schedule, autoStop, migration, budget or webhookUrl"
            )
        if self.webhook_secret is not None and self.webhook_url is None:
            raise ValueError("webhookSecret needs a webhookUrl")
        return self

    def amendment(self) -> Amendment:
        """In the words of the operations."""
        said, unset, schedule, idle = self.model_fields_set, msgspec.UNSET, self.schedule, self.auto_stop
        return Amendment(
            labels=self.labels if "labels" in said else unset,
            ttl_seconds=self.ttl if "ttl" in said else unset,
            schedule=(schedule.schedule() if schedule is not None else None) if "schedule" in said else unset,
            auto_stop=(idle.asked() if idle is not None else None) if "auto_stop" in said else unset,
            migration=(self.migration.asked() if self.migration is not None else None)
            if "migration" in said
            else unset,
            budget=(self.budget.budget() if self.budget is not None else None) if "budget" in said else unset,
            webhook_url=self.webhook_url if "webhook_url" in said else unset,
            webhook_secret=self.webhook_secret,
        )
