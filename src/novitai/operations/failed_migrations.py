"""What is known of migrations that hang, gathered from Novita now: which failed, what would be done about each, and why.

Looking writes nothing, so a rehearsal tells the same as what is then done; `reconcilers/failed_migrations.py` does it. A failed
migration costs a machine that nobody can use, and repairing one that goes on costs its disk: so each is confirmed singly, and
nothing is done that could not be finished, for lack of an offer that fits.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from novitai.domain.errors import ProviderFailure, Refusal
from novitai.domain.ids import InstanceId, MachineId
from novitai.domain.offers import Offer
from novitai.operations.catalogue import upstream_refusal
from novitai.operations.ledger import Ledger, Snapshot
from novitai.operations.migration import Migrations
from novitai.operations.provider_jobs import AllJobs, ProviderJobBook
from novitai.operations.reads import ReadModel
from novitai.operations.triggers import Trigger
from novitai.policies import failed_migrations, moves
from novitai.policies.failed_migrations import Finding, Remedy, Verdict
from novitai.policies.migration import Step
from novitai.ports.coordination import Share
from novitai.ports.provider import Call, Provider, ProviderJob

LONGEST_WAIT = 20.0
"""How long a call of the look may wait in the limiter."""


class Outcome(StrEnum):
    """What came of a case. `would`: rehearsed; `put_off`: it cannot be done now, and is looked at again; `waits`: for its turn."""

    NOTHING = "nothing"
    WOULD = "would"
    DONE = "done"
    PUT_OFF = "put_off"
    WAITS = "waits"
    TOLD_BEFORE = "told_before"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """An instance whose machine is migrating: what was found (`because` of what), what is to be done (`remedy`, `why`), and what came of
    it. `version`: of the record that this was judged on; `offer`: where another machine would be bought; `error`: why not now.
    """

    instance_id: InstanceId
    name: str
    machine_id: MachineId
    version: int
    since: float
    finding: Finding
    because: str
    job: ProviderJob | None = None
    confirmed_at: float | None = None
    remedy: Remedy = Remedy.NOTHING
    why: str = ""
    offer: Offer | None = None
    dry_run: bool = False
    outcome: Outcome = Outcome.NOTHING
    error: str = ""

    @property
    def replaces(self) -> bool:
        """Whether another machine is to be bought."""
        return self.remedy is Remedy.REPLACE and self.outcome is Outcome.WOULD


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """Every migrating machine, looked at once. `source`: which of Novita's APIs told the jobs; empty when there was nothing to ask."""

    cases: tuple[Case, ...] = ()
    source: str = ""


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found and did, or (`dry_run`) would do. Times are Unix seconds."""

    began_at: float
    at: float
    dry_run: bool
    source: str
    cases: tuple[Case, ...]

    @property
    def failed(self) -> int:
        """Migrations that failed."""
        return sum(case.finding is Finding.FAILED for case in self.cases)

    @property
    def errors(self) -> int:
        """Failures about which something was to be done that could not be done now."""
        return sum(case.outcome is Outcome.PUT_OFF for case in self.cases)

    @property
    def crowded(self) -> bool:
        """Whether some wait for their turn."""
        return any(case.outcome is Outcome.WAITS for case in self.cases)

    def did(self, remedy: Remedy) -> int:
        """How many were replaced, or told of."""
        return sum(case.remedy is remedy and case.outcome is Outcome.DONE for case in self.cases)


class FailedMigrations:
    """See the module's text. The counts are this process's own."""

    def __init__(
        self, *, ledger: Ledger, reads: ReadModel, provider: Provider, jobs: ProviderJobBook, migrations: Migrations
    ) -> None:
        self._clock = ledger.clock
        self._reads = reads
        self._provider = provider
        self._jobs = jobs
        self._migrations = migrations
        self.trigger = Trigger(
            ledger=ledger, name="failed-migrations", job_type="check_failed_migrations", report=CheckReport
        )
        self.checks = 0
        self.checks_failed = 0
        self.checked = 0
        self.failed = 0
        self.replaced = 0
        self.told = 0
        self.put_off = 0
        self.last: CheckReport | None = None
        self.error: str | None = None

    async def rehearse(self, *, correlation_id: str = "") -> CheckReport:
        """What a check would find and do now; nothing is written. Raises Refusal when Novita cannot be asked."""
        began = self._clock.now()
        survey = await self.look(correlation_id=correlation_id)
        return CheckReport(began_at=began, at=self._clock.now(), dry_run=True, source=survey.source, cases=survey.cases)

    async def look(self, *, correlation_id: str = "") -> Survey:
        """Every migrating machine with what is to be done about it. Raises Refusal when Novita cannot be asked."""
        waiting = [one for one in self._reads.all() if failed_migrations.concerns(one.instance)]
        if not waiting:
            return Survey()
        call = Call(share=Share.BULK, longest_wait=LONGEST_WAIT, correlation_id=correlation_id)
        since = failed_migrations.listed_since([one.instance for one in waiting])
        try:
            listed = await self._jobs.since(since, call)
        except ProviderFailure as failure:
            raise upstream_refusal(failure, what="its jobs") from failure
        cases: list[Case] = []
        for one in waiting:
            planned = sum(case.replaces for case in cases)
            cases.append(await self._case(one, listed, call, planned=planned))
        return Survey(cases=tuple(cases), source=listed.source)

    def note(self, report: CheckReport) -> None:
        """Count a check that was made."""
        self.last, self.error = report, None
        self.checks += 1
        self.checked += len(report.cases)
        self.failed += report.failed
        self.replaced += report.did(Remedy.REPLACE)
        self.told += report.did(Remedy.TELL)
        self.put_off += report.errors

    def note_failure(self, why: str) -> None:
        """Count a check that could not be made."""
        self.checks += 1
        self.checks_failed += 1
        self.error = why

    async def _case(self, snapshot: Snapshot, listed: AllJobs, call: Call, *, planned: int) -> Case:
        """One machine; `planned` others are to be replaced before it."""
        case = _opened(snapshot, self._verdict(snapshot, listed.jobs if listed.complete else None))
        if case.finding is Finding.FAILED:
            case = await self._confirmed(case, call)
        if case.confirmed_at is None:
            return case
        judged = self._migrations.judge(snapshot)
        exempt = judged.verdict.because if judged.verdict.step is Step.EXEMPT else None
        decided = failed_migrations.decide(snapshot.instance, judged.rule, exempt=exempt, now=self._clock.now())
        case = msgspec.structs.replace(case, remedy=decided.remedy, why=decided.because, dry_run=judged.rule.dry_run)
        match decided.remedy:
            case Remedy.REPLACE:
                return self._placed(case, snapshot, planned=planned)
            case Remedy.TELL:
                told = moves.told_stuck(snapshot.instance)
                return msgspec.structs.replace(case, outcome=Outcome.TOLD_BEFORE if told else Outcome.WOULD)
            case Remedy.NOTHING:
                return case

    def _verdict(self, snapshot: Snapshot, jobs: Sequence[ProviderJob] | None) -> Verdict:
        if jobs is None:
            return Verdict(finding=Finding.UNKNOWN, because="Novita's list of jobs could not be read whole")
        return failed_migrations.judge(snapshot.instance, jobs, now=self._clock.now())

    async def _confirmed(self, case: Case, call: Call) -> Case:
        """The second piece of evidence: a single read has to agree."""
        try:
            machine = await self._provider.machine(case.machine_id, call)
        except ProviderFailure as failure:
            error = f"the machine could not be read singly: {failure.message}"
            return msgspec.structs.replace(case, outcome=Outcome.PUT_OFF, error=error)
        doubt = failed_migrations.still_migrating(machine)
        if doubt is not None:
            return msgspec.structs.replace(case, finding=Finding.MOVING, because=doubt)
        return msgspec.structs.replace(case, confirmed_at=self._clock.now())

    def _placed(self, case: Case, snapshot: Snapshot, *, planned: int) -> Case:
        """The machine is given up only when another one can be had."""
        instance = snapshot.instance
        moving = self._migrations.busy() + planned - (instance.move is not None)
        if moving >= self._migrations.most:
            error = "as many instances as may move at once are moving"
            return msgspec.structs.replace(case, outcome=Outcome.WAITS, error=error)
        offer = self._migrations.would_fit(instance)
        if isinstance(offer, Refusal):
            return msgspec.structs.replace(case, outcome=Outcome.PUT_OFF, error=offer.message)
        return msgspec.structs.replace(case, outcome=Outcome.WOULD, offer=offer)


def _opened(snapshot: Snapshot, verdict: Verdict) -> Case:
    instance, machine = snapshot.instance, snapshot.instance.machine
    assert machine is not None, "only what has a machine migrates"
    return Case(
        instance_id=instance.id,
        name=instance.name,
        machine_id=machine.id,
        version=snapshot.version,
        since=machine.since,
        finding=verdict.finding,
        because=verdict.because,
        job=verdict.job,
    )
