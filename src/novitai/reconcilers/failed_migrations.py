"""Keeps true that no machine hangs for ever in a migration that has failed.

Novita tells of a failure only in its jobs, and only a delete ends it; so the machine is replaced, by the operation by which spot
machines are, and removed once another one serves. Where the rule says to only tell, the failure is told, once. The loop looks
every so often; whoever does not want to wait asks for a job that does the same.
"""

import asyncio

import msgspec
import structlog

from novitai.domain.automation import Part
from novitai.domain.errors import Refusal
from novitai.domain.explanation import Explanation
from novitai.domain.times import iso, iso_or_none
from novitai.operations.automation import Automation
from novitai.operations.failed_migrations import Case, CheckReport, FailedMigrations, Outcome
from novitai.operations.instances import changed_since
from novitai.operations.ledger import Ledger, Snapshot
from novitai.operations.migration import Migrations
from novitai.operations.requests import Context
from novitai.policies import failed_migrations, moves
from novitai.policies.failed_migrations import Remedy
from novitai.ports.store import Claim, Conflict, Lease, LeaseLost

PAUSED_LOOK = 5.0
"""How soon the loop notices that it may go on."""
RETRY_SECONDS = 60.0
"""After a check for which Novita could not be asked, or in which some waited for their turn."""

log = structlog.get_logger("novitai.migration")


class FailedMigrationCheck:
    """Work of the loop `failed-migrations`, and of the job `trigger:failed-migrations`. `interval` between checks in seconds."""

    def __init__(
        self,
        *,
        failures: FailedMigrations,
        migrations: Migrations,
        ledger: Ledger,
        automation: Automation,
        interval: float,
        observe: bool,
    ) -> None:
        self._failures = failures
        self._migrations = migrations
        self._ledger = ledger
        self._clock = ledger.clock
        self._automation = automation
        self._interval = interval
        self._observe = observe
        self._one_at_a_time = asyncio.Lock()

    async def run(self, lease: Lease) -> float:
        """Check once; gives the seconds until the next check."""
        if self._automation.paused(Part.MIGRATION):
            return PAUSED_LOOK
        try:
            report = await self._check(lease)
        except Refusal as refusal:
            log.warning("failed_migrations_not_checked", error=refusal.message)
            return min(self._interval, RETRY_SECONDS)
        return min(self._interval, RETRY_SECONDS) if report.crowded else self._interval

    async def handle(self, claim: Claim) -> None:
        """Run the job: check now, and leave the report under the job's id."""
        await self._failures.trigger.serve(claim, lambda: self._check(None))

    async def _check(self, lease: Lease | None) -> CheckReport:
        """Look, do what is due, and count it. Raises Refusal when Novita cannot be asked."""
        async with self._one_at_a_time:
            began = self._clock.now()
            try:
                survey = await self._failures.look()
            except Refusal as refusal:
                self._failures.note_failure(refusal.message)
                raise
            cases = tuple([await self._do(case, lease) for case in survey.cases])
            now = self._clock.now()
            report = CheckReport(began_at=began, at=now, dry_run=self._observe, source=survey.source, cases=cases)
            self._failures.note(report)
            return report

    async def _do(self, case: Case, lease: Lease | None) -> Case:
        if case.outcome not in {Outcome.WOULD, Outcome.PUT_OFF} or case.remedy is Remedy.NOTHING:
            return case
        if self._observe or case.dry_run:
            log.info(
                "migration_would_repair", remedy=str(case.remedy), instanceId=case.instance_id, because=case.because
            )
            return case
        if self._automation.paused(Part.MIGRATION):
            return _put_off(case, "what acts by itself on migrations is paused")
        try:
            await self._remedy(case, lease)
        except LeaseLost:
            raise
        except Conflict:
            return _put_off(case, "the instance changed since it was judged")
        except Refusal as refusal:
            return _put_off(case, refusal.message)
        if case.outcome is Outcome.PUT_OFF:
            return _put_off(case, case.error)
        log.info("migration_repaired", remedy=str(case.remedy), instanceId=case.instance_id, because=case.because)
        return msgspec.structs.replace(case, outcome=Outcome.DONE)

    async def _remedy(self, case: Case, lease: Lease | None) -> None:
        snapshot = await self._ledger.load(case.instance_id)
        if snapshot is None or snapshot.version != case.version:
            raise changed_since(case.instance_id)
        actor = self._migrations.actor(snapshot.instance)
        context = Context(actor=actor, correlation_id=self._ledger.ids.new("corr"))
        if case.remedy is Remedy.TELL:
            await self._tell(case, snapshot, f"{case.because}; it is not replaced: {case.why}", context, lease)
            return
        if case.outcome is Outcome.PUT_OFF:
            await self._tell(case, snapshot, f"{case.because}; it is kept for now: {case.error}", context, lease)
            return
        await self._migrations.replace(
            case.instance_id,
            judged=case.version,
            explanation=Explanation(because=f"{case.because}; {case.why}", facts=_facts(case)),
            context=context,
            since=case.since,
            lease=lease,
        )

    async def _tell(self, case: Case, snapshot: Snapshot, because: str, context: Context, lease: Lease | None) -> None:
        """Tell it, unless that was done."""
        if moves.told_stuck(snapshot.instance):
            return
        change = failed_migrations.told(snapshot.instance, because=because, at=self._clock.now())
        noted = self._ledger.note(
            context, "instance.migration_failed", target=case.instance_id, because=because, facts=_facts(case)
        )
        await self._ledger.commit(case.version, change, appends=(noted,), lease=lease)


def _put_off(case: Case, why: str) -> Case:
    log.warning("migration_repair_put_off", instanceId=case.instance_id, why=why)
    return msgspec.structs.replace(case, outcome=Outcome.PUT_OFF, error=why)


def _facts(case: Case) -> dict[str, object]:
    """The evidence, as it is kept with the explanation."""
    job = case.job
    return {
        "novitaInstanceId": case.machine_id,
        "migratingSince": iso(case.since),
        "confirmedAt": iso_or_none(case.confirmed_at),
        "job": None
        if job is None
        else {"id": job.id, "type": job.type, "state": job.state, "error": job.error, "createdAt": iso(job.created_at)},
    }
