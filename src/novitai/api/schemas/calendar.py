"""What an instance may be told of time: its ttl and its schedule."""

from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from novitai.api.schemas.common import DURATION_SCHEMA, Body, seconds
from novitai.domain.schedule import LONGEST_LINE, Schedule, cron_line, time_zone

LONGEST_TTL_SECONDS = 366 * 86_400.0

TtlDuration = Annotated[float, BeforeValidator(seconds), Field(ge=1.0, le=LONGEST_TTL_SECONDS), DURATION_SCHEMA]
CronLine = Annotated[str, Field(max_length=LONGEST_LINE), AfterValidator(cron_line)]
TimeZone = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(time_zone)]


class ScheduleBody(Body):
    """When to start and when to stop: cron lines of five fields (minute, hour, day of month, month, weekday), at least one of the two."""

    start: CronLine | None = Field(default=None, description="Such as `0 8 * * 1-5`: weekdays at eight.")
    stop: CronLine | None = Field(default=None, description="Such as `0 19 * * 1-5`.")
    timezone: TimeZone = Field(default="UTC", description="Name of the time zone, such as `Europe/Berlin`.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.start is None and self.stop is None:
            raise ValueError("give start, stop or both")
        if self.start == self.stop:
            raise ValueError("start and stop are the same moments")
        return self

    def schedule(self) -> Schedule:
        """In the words of the domain."""
        return Schedule(start=self.start, stop=self.stop, timezone=self.timezone)
