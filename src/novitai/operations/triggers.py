"""Work that is done now because somebody asked: a durable job of its own, which leaves a report under its id.

Loops do the same work when its time has come; a trigger is for whoever does not want to wait for that. Asking again while the
job waits is the same job; asking while it runs has it run once more, since what runs began before they asked.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from novitai.domain.errors import Code, Refusal
from novitai.operations import records
from novitai.operations.ledger import Ledger
from novitai.operations.requests import Context
from novitai.ports.store import Claim, Commit, Finish, Job, JobStatus, Priority, Put, Wake

REPORT_KEPT_SECONDS = 7 * 86_400.0


class _Report(Protocol):
    @property
    def began_at(self) -> float: ...


R = TypeVar("R", bound=_Report)


class Trigger(Generic[R]):
    """See the module's text. `name` is the job's subject, `job_type` what it is listed as, `report` what it leaves."""

    def __init__(self, *, ledger: Ledger, name: str, job_type: str, report: type[R]) -> None:
        self.key = f"trigger:{name}"
        self._ledger = ledger
        self._name = name
        self._type = job_type
        self._report = report

    async def request(self, context: Context, **detail: Any) -> str:
        """Have it done by whoever is free; the id of the job. `detail` is written down with who asked."""
        now, ids = self._ledger.clock.now(), self._ledger.ids
        wake = Wake(
            key=self.key,
            id=ids.new("job"),
            type=self._type,
            lane=records.LANE_MAINTENANCE,
            priority=Priority.HIGH,
            due=now,
            payload=records.job_payload(correlation_id=context.correlation_id, instance_id=None),
        )
        noted = self._ledger.note(context, f"{self._name}.trigger", target="instances", **detail)
        await self._ledger.store.commit(Commit(wakes=(wake,), appends=(noted,)))
        live = await self._ledger.store.live_job(self.key)
        return live.id if live is not None else wake.id

    async def serve(self, claim: Claim, work: Callable[[], Awaitable[R]]) -> None:
        """Run the job: do the work, and leave its report. A refusal ends the job as failed, with its words."""
        try:
            report = await work()
        except Refusal as refusal:
            finish = Finish(claim=claim, status=JobStatus.FAILED, error=refusal.message)
            await self._ledger.store.commit(Commit(finish=finish))
            return
        kept = self._ledger.clock.now() + REPORT_KEPT_SECONDS
        put = Put(kind=records.TRIGGER_REPORT, id=claim.id, body=msgspec.json.encode(report), expires_at=kept)
        await self._ledger.store.commit(Commit(puts=(put,), finish=Finish(claim=claim)))

    async def outcome(self, job_id: str, *, asked_at: float) -> R | None:
        """The report of a run that began after `asked_at`; None while there is none. Raises Refusal when it failed or was cancelled."""
        record = await self._ledger.store.get(records.TRIGGER_REPORT, job_id)
        report = msgspec.json.decode(record.body, type=self._report) if record is not None else None
        if report is not None and report.began_at >= asked_at:
            return report
        log = await self._ledger.store.read_log(records.JOBS, f"id:{job_id}", limit=1, descending=True)
        ended = msgspec.json.decode(log.entries[0].body, type=Job) if log.entries else None
        if ended is None or (ended.completed_at or 0.0) < asked_at:
            return None
        if ended.status is JobStatus.CANCELLED:
            raise Refusal(Code.CONFLICT, f"it was cancelled (job {job_id})")
        if ended.status is JobStatus.FAILED:
            raise Refusal(Code.UPSTREAM_ERROR, f"it failed (job {job_id}): {ended.error}", retry_after=5.0)
        return None

    async def running(self) -> str | None:
        """The id of the job that waits or runs now."""
        live = await self._ledger.store.live_job(self.key)
        return live.id if live is not None else None
