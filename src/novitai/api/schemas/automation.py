"""The switch for a bad night, and the audit log."""

from typing import Any, Literal

from pydantic import Field

from novitai.api.schemas.common import Answer, Body, Line, Page, PageQuery, Time

PartName = Literal["all", "adoption", "idle", "migration", "schedule", "budget", "jobs"]


class SwitchBody(Body):
    """What to pause or resume, and why. `all` is everything that decides by itself; `jobs`, all durable work, must be named."""

    scope: PartName = "all"
    reason: Line = ""


class PauseAnswer(Answer):
    """One part, and its pause if it has one."""

    scope: PartName
    paused: bool
    by: str | None = None
    at: Time | None = None
    reason: str | None = None


class AutomationAnswer(Answer):
    """Every part; `paused` is true when any of them is."""

    paused: bool
    scopes: list[PauseAnswer]


class AuditQuery(PageQuery):
    """Entries of one actor (`user:<key id>`, or a policy), or about one target; not both."""

    by: str | None = Field(default=None, max_length=200)
    target: str | None = Field(default=None, max_length=200)


class AuditEntryAnswer(Answer):
    """One change: who did what to what, when, from where."""

    id: str
    at: Time
    by: str
    action: str
    target: str
    detail: dict[str, Any]
    request_id: str | None
    correlation_id: str | None
    address: str | None


class AuditPage(Page):
    """The audit log, newest first."""

    entries: list[AuditEntryAnswer]


class BreakAnswer(Answer):
    """A link of the chain that does not hold."""

    seal: int
    problem: str


class ChainAnswer(Answer):
    """What a walk along the chain of seals found. `head` is the last link: kept elsewhere, it shows whether the end was cut off."""

    intact: bool
    seals: int
    entries: int
    unsealed: int
    trimmed: int
    head: str
    problems: list[BreakAnswer]
