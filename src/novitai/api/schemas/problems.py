"""The error body, as documented for every route."""

from typing import Any

from pydantic import Field

from novitai.api.schemas.common import Answer, Time


class FieldProblemAnswer(Answer):
    """One field and what is wrong with it."""

    field: str
    message: str


class ErrorAnswer(Answer):
    """Why a request was refused. `code` is stable; `message` is for people; `retryAfter` is in seconds."""

    code: str
    message: str
    timestamp: Time
    request_id: str
    correlation_id: str
    retryable: bool
    retry_after: int | None = None
    validation_errors: list[FieldProblemAnswer] | None = None
    details: dict[str, Any] | None = Field(default=None, description="What the code says more, such as offers or ids.")


class ProblemAnswer(Answer):
    """Every answer that is not 2xx."""

    error: ErrorAnswer
