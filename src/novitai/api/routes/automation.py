"""The switch for a bad night, and what was written down."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from novitai.api.access import Here, Parts
from novitai.api.paging import number, pack, unpack
from novitai.api.parts import ApiParts
from novitai.api.routing import Routes, json_answer
from novitai.api.schemas.automation import (
    AuditEntryAnswer,
    AuditPage,
    AuditQuery,
    AutomationAnswer,
    BreakAnswer,
    ChainAnswer,
    PauseAnswer,
    SwitchBody,
)
from novitai.domain.audit import AuditEntry
from novitai.domain.automation import POLICIES, Part
from novitai.domain.errors import invalid
from novitai.domain.keys import Scope
from novitai.domain.times import iso, iso_or_none

ROUTES = Routes("automation")


@ROUTES.add("GET", "/api/automation", needs=Scope.READ, answer=AutomationAnswer)
async def show_automation(parts: Parts) -> Response:
    """What acts by itself, and what of it is paused, by whom and why."""
    return json_answer(_automation(parts))


@ROUTES.add("POST", "/api/automation/pause", needs=Scope.WRITE, answer=AutomationAnswer)
async def pause_automation(parts: Parts, visit: Here, body: SwitchBody | None = None) -> Response:
    """Pause all automation, or a part. Nothing is lost: what is due waits. Pausing `jobs` holds back people's requests, too."""
    body = body or SwitchBody()
    await parts.automation.pause(_parts(body.scope), body.reason, visit.context())
    return json_answer(_automation(parts))


@ROUTES.add("POST", "/api/automation/resume", needs=Scope.WRITE, answer=AutomationAnswer)
async def resume_automation(parts: Parts, visit: Here, body: SwitchBody | None = None) -> Response:
    """Let all automation act again, or a part."""
    body = body or SwitchBody()
    await parts.automation.resume(_parts(body.scope), body.reason, visit.context())
    return json_answer(_automation(parts))


@ROUTES.add("GET", "/api/audit", needs=Scope.ADMIN, answer=AuditPage)
async def list_audit(parts: Parts, query: Annotated[AuditQuery, Query()]) -> Response:
    """Every change with who made it, newest first; kept for a year."""
    if query.by is not None and query.target is not None:
        raise invalid("by", "cannot be combined with target")
    key = f"by:{query.by}" if query.by is not None else f"target:{query.target}" if query.target is not None else "all"
    scope = f"audit:{key}"
    before = number(unpack(scope, query.cursor, length=1)[0]) if query.cursor is not None else None
    entries, total, following = await parts.audit.page(key=key, before=before, limit=query.limit)
    cursor = None if following is None else pack(scope, following)
    return json_answer(AuditPage(entries=[_entry(entry) for entry in entries], total=total, next_cursor=cursor))


@ROUTES.add("GET", "/api/audit/verify", needs=Scope.ADMIN, answer=ChainAnswer)
async def verify_audit(parts: Parts) -> Response:
    """Walk along the chain of seals and say where an entry was changed, added or removed."""
    report = await parts.audit.verify()
    return json_answer(
        ChainAnswer(
            intact=report.whole,
            seals=report.seals,
            entries=report.entries,
            unsealed=report.unsealed,
            trimmed=report.trimmed,
            head=report.head,
            problems=[BreakAnswer(seal=broken.number, problem=broken.what) for broken in report.breaks[:100]],
        )
    )


def _parts(scope: str) -> tuple[Part, ...]:
    return POLICIES if scope == "all" else (Part(scope),)


def _automation(parts: ApiParts) -> AutomationAnswer:
    paused = parts.automation.switch.paused
    shown = [
        PauseAnswer.model_validate(
            {
                "scope": str(part),
                "paused": part in paused,
                "by": paused[part].by if part in paused else None,
                "at": iso_or_none(paused[part].at) if part in paused else None,
                "reason": paused[part].reason if part in paused else None,
            }
        )
        for part in Part
    ]
    return AutomationAnswer(paused=bool(paused), scopes=shown)


def _entry(entry: AuditEntry) -> AuditEntryAnswer:
    return AuditEntryAnswer(
        id=entry.id,
        at=iso(entry.at),
        by=entry.by,
        action=entry.action,
        target=entry.target,
        detail=entry.detail,
        request_id=entry.request_id or None,
        correlation_id=entry.correlation_id or None,
        address=entry.address or None,
    )
