"""Why an instance is as it is: its story in sentences, and the same as data."""

from typing import Any, Literal

from pydantic import Field

from novitai.api.schemas.common import MOST_IN_A_PAGE, Answer, Query, Time
from novitai.api.schemas.instances import STATUSES, DesiredAnswer, NextActionAnswer


class ExplainQuery(Query):
    """How many past decisions, and from where on."""

    limit: int = Field(default=50, ge=1, le=MOST_IN_A_PAGE)
    cursor: str | None = Field(default=None, max_length=1000, description="`nextCursor` of the answer before.")


class SignAnswer(Answer):
    """Something that is known of the instance, with its age. `idle`: whether it speaks for idleness; null: it was not read, or says nothing
    of that. `last-used`, `gpu` and `cpu` (percent) are what the idle stop goes by; `machine`, `spot` and `health` are what was seen last.
    """

    name: str
    value: float | str | None
    at: Time | None
    age_seconds: float | None
    idle: bool | None


class PolicyViewAnswer(Answer):
    """One rule: its value, who set it (`request`, `default` for the settings, or what else set it), and what it says now."""

    name: str
    value: Any
    source: str
    verdict: str


class DecisionAnswer(Answer):
    """Something that was done without anybody asking: when, by which policy, what, the reason as it was given then, and what was judged."""

    at: Time
    by: str
    action: str
    because: str
    facts: dict[str, Any]


class ExplainAnswer(Answer):
    """An instance explained. `decisions` are newest first and reach back as far as the audit log is kept (a year); `nextCursor` goes on
    where they end.
    """

    instance_id: str
    name: str
    at: Time
    summary: str
    state: Literal[STATUSES]  # type: ignore[valid-type]  # the states of domain/lifecycle.py
    desired: DesiredAnswer
    signals: list[SignAnswer]
    policies: list[PolicyViewAnswer]
    next_action: NextActionAnswer | None
    decisions: list[DecisionAnswer]
    next_cursor: str | None
