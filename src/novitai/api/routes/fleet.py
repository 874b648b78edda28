"""Many instances at once: sync with Novita, stop all, bulk; and machines that nobody has a record of."""

from typing import Annotated, Literal

from fastapi import Query
from starlette.responses import Response

from novitai.api.access import Here, Parts, Rendering
from novitai.api.orphans_view import every_orphan, orphan_answer
from novitai.api.paging import slice_of
from novitai.api.parts import ApiParts
from novitai.api.routes.changing import require_control
from novitai.api.routing import Routes, json_answer
from novitai.api.schemas.fleet import (
    BulkAnswer,
    BulkBody,
    BulkResult,
    DifferenceAnswer,
    OrphanAnswer,
    OrphanPage,
    OrphanQuery,
    StopAllBody,
    SyncBody,
    SyncData,
    SyncedAnswer,
    pairs,
)
from novitai.api.schemas.instances import InstanceAnswer
from novitai.api.schemas.verbs import AcceptedAnswer
from novitai.api.visits import Visit
from novitai.domain.automation import Part
from novitai.domain.instance import Verb
from novitai.domain.keys import Scope
from novitai.domain.times import iso
from novitai.operations.bulk import Bulk, Outcome, Result
from novitai.operations.requests import VerbRequest
from novitai.operations.sync import SyncOptions, SyncReport

ROUTES = Routes("fleet")

LOOK_SECONDS = 0.2
_UPSTREAM = {502: "Novita failed", 503: "Novita is not asked now", 504: "Novita did not answer in time"}
_ORPHAN = {404: "The account has no such unmanaged machine", 409: "It is managed already, or its name is not unique"}
Action = Literal["start", "stop", "delete"]


@ROUTES.add(
    "POST",
    "/api/instances/sync",
    needs=Scope.WRITE,
    answer=SyncedAnswer,
    others=_UPSTREAM | {202: "It goes on as a job", 409: "It was cancelled"},
)
async def sync_instances(parts: Parts, visit: Here, body: SyncBody | None = None) -> Response:
    """Hold our records against Novita's whole list now: take back what is ours, show what is not, forget what is gone.

    `dryRun` reads and tells, and writes nothing. Novita must show its whole list in time, or the sync fails with 502.
    """
    body = body or SyncBody()
    options = SyncOptions(force=body.force_sync, obsolete=body.handle_obsolete_instances)
    if body.dry_run:
        report = await parts.sync.rehearse(options, visit.context())
        return json_answer(SyncedAnswer(success=True, message="nothing was changed", data=_sync_data(report)))
    asked_at = parts.clock.now()
    job_id = await parts.sync.request(options, visit.context())
    if parts.automation.paused(Part.JOBS):
        message = f"jobs are paused, so the sync waits; see /api/jobs/{job_id}"
        return json_answer(SyncedAnswer(success=True, message=message, job_id=job_id), status=202)
    visit.held = True
    waiting = parts.clock.now() + parts.settings.longest_sync
    while parts.clock.now() < waiting and not parts.shutting_down.is_set():
        found = await parts.sync.outcome(job_id, asked_at=asked_at)
        if found is not None:
            return json_answer(
                SyncedAnswer(success=True, message="synchronized", job_id=job_id, data=_sync_data(found))
            )
        await parts.clock.sleep(LOOK_SECONDS)
    message = f"the sync goes on; see /api/jobs/{job_id}"
    return json_answer(SyncedAnswer(success=True, message=message, job_id=job_id), status=202)


@ROUTES.add("POST", "/api/instances/stop-all", needs=Scope.WRITE, answer=BulkAnswer)
async def stop_all(parts: Parts, visit: Here, body: StopAllBody | None = None) -> Response:
    """Stop every managed instance that runs or comes up, or those that bear a label. Machines of others are not touched."""
    body = body or StopAllBody()
    chosen = _bulk(parts).running(pairs(body.label))
    return await _perform(parts, visit, chosen, "stop", reason=body.reason or "stop-all", dry_run=body.dry_run)


@ROUTES.add("POST", "/api/instances/bulk", needs=Scope.WRITE, answer=BulkAnswer)
async def bulk(body: BulkBody, parts: Parts, visit: Here) -> Response:
    """Start, stop or delete many managed instances; each has its own result, and one that refuses does not hold up the others."""
    chosen = list(dict.fromkeys(body.ids)) if body.ids is not None else _bulk(parts).labelled(pairs(body.label))
    return await _perform(parts, visit, chosen, body.action, reason=body.reason, dry_run=body.dry_run)


@ROUTES.add("GET", "/api/orphans", needs=Scope.READ, answer=OrphanPage)
async def list_orphans(parts: Parts, query: Annotated[OrphanQuery, Query()]) -> Response:
    """Machines on the account that no instance of ours has, with age and USD an hour. Nothing touches them by itself."""
    found = every_orphan(parts, ignored=query.ignored)
    page, cursor = slice_of(found, "orphans", cursor=query.cursor, limit=query.limit)
    return json_answer(OrphanPage(orphans=list(page), total=len(found), next_cursor=cursor))


@ROUTES.add(
    "POST", "/api/orphans/{novita_id}/adopt", needs=Scope.WRITE, answer=InstanceAnswer, others=_ORPHAN | _UPSTREAM
)
async def adopt_orphan(novita_id: str, parts: Parts, visit: Here, renderer: Rendering) -> Response:
    """Take a machine under management: from now on it is watched, probed, and can be stopped, started and deleted like any other."""
    return await _adopted(novita_id, parts, visit, renderer)


@ROUTES.add(
    "POST",
    "/api/instances/{instance_id:reference}/adopt",
    needs=Scope.WRITE,
    answer=InstanceAnswer,
    others=_ORPHAN | _UPSTREAM,
)
async def adopt_instance(instance_id: str, parts: Parts, visit: Here, renderer: Rendering) -> Response:
    """The same by Novita's id or the machine's name."""
    return await _adopted(instance_id, parts, visit, renderer)


@ROUTES.add(
    "POST", "/api/orphans/{novita_id}/ignore", needs=Scope.WRITE, answer=OrphanAnswer, status=202, others=_ORPHAN
)
async def ignore_orphan(novita_id: str, parts: Parts, visit: Here) -> Response:
    """Leave a machine out of the list (`?ignored=true` shows it still). It goes on costing what it costs."""
    orphan = await parts.orphans.ignore(novita_id, visit.context())
    return json_answer(orphan_answer(parts, orphan), status=202)


@ROUTES.add(
    "POST",
    "/api/orphans/{novita_id}/delete",
    needs=Scope.WRITE,
    answer=AcceptedAnswer,
    status=202,
    others=_ORPHAN | _UPSTREAM,
)
async def delete_orphan(novita_id: str, parts: Parts, visit: Here) -> Response:
    """Delete a machine that we have no record of. It is taken into our records first, as one that is to be deleted."""
    require_control(parts)
    instance = (await parts.orphans.delete(novita_id, visit.context())).instance
    return json_answer(
        AcceptedAnswer(
            instance_id=instance.id,
            novita_instance_id=novita_id,
            status=str(instance.state),
            message="delete accepted",
            operation_id=instance.operation.id,
        ),
        status=202,
    )


async def _adopted(reference: str, parts: ApiParts, visit: Visit, renderer: Rendering) -> Response:
    snapshot = await parts.orphans.adopt(reference, visit.context())
    return Response(renderer.one(snapshot, now=parts.clock.now()), media_type="application/json")


def _bulk(parts: ApiParts) -> Bulk:
    return Bulk(verbs=parts.verbs, reads=parts.reads)


async def _perform(
    parts: ApiParts, visit: Visit, chosen: list[str], action: Action, *, reason: str, dry_run: bool
) -> Response:
    if not dry_run:
        require_control(parts)
    asked = VerbRequest(reason=reason)
    results = await _bulk(parts).perform(chosen, Verb(action), asked, visit.context(), dry_run=dry_run)
    done = sum(result.outcome in {Outcome.ACCEPTED, Outcome.WOULD} for result in results)
    refused = sum(result.outcome is Outcome.REFUSED for result in results)
    would = "would be asked" if dry_run else "were asked"
    return json_answer(
        BulkAnswer(
            success=refused == 0,
            message=f"{done} {would} to {action}, {len(results) - done - refused} need nothing, {refused} refused",
            action=action,
            dry_run=dry_run,
            count=done,
            already=len(results) - done - refused,
            failed=refused,
            results=[_result(result) for result in results],
            timestamp=iso(parts.clock.now()),
        )
    )


def _result(result: Result) -> BulkResult:
    return BulkResult.model_validate(
        {
            "reference": result.reference,
            "instanceId": result.instance_id,
            "name": result.name,
            "success": result.outcome is not Outcome.REFUSED,
            "outcome": str(result.outcome),
            "status": str(result.status) if result.status is not None else None,
            "operationId": result.operation_id,
            "code": str(result.code) if result.code is not None else None,
            "error": result.message or None,
        }
    )


def _sync_data(report: SyncReport) -> SyncData:
    options = SyncBody.model_construct(
        dry_run=report.dry_run,
        force_sync=report.options.force,
        handle_obsolete_instances=report.options.obsolete,
    )
    return SyncData(
        before_sync=report.managed_before,
        after_sync=report.managed_after,
        novita_instances=report.machines,
        local_instances=report.managed_after,
        merged_instances=report.matched,
        total_instances=report.managed_after + len(report.orphans),
        instances_removed=len(report.forgotten),
        adopted=list(report.adopted),
        orphans=list(report.orphans),
        missing=list(report.missing),
        differing=[
            DifferenceAnswer(instance_id=d.instance_id, novita_instance_id=d.machine_id, ours=d.ours, novita=d.theirs)
            for d in report.differing
        ],
        removed=list(report.forgotten),
        read_at=iso(report.read_at),
        duration=round(report.seconds * 1000),
        timestamp=iso(report.at),
        options=options,
    )
