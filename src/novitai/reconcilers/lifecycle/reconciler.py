"""The lifecycle loop of one instance: load, ask the policy for the next step, carry it out, commit, again, until there
is nothing to do now.

It takes no input but the instance's id: what to do is decided from the state, so running it twice is harmless.
"""

from dataclasses import dataclass, field

import msgspec
import structlog

from novitai.domain.ids import InstanceId, MachineId
from novitai.domain.instance import Attempt, AttemptOutcome, Instance, attempt_id
from novitai.domain.lifecycle import State
from novitai.operations import records
from novitai.operations.ledger import Ledger, Snapshot, work_of
from novitai.operations.reads import ReadModel, machines_of
from novitai.operations.standing import AccountStanding
from novitai.policies.backoff import requeue_delay
from novitai.policies.decisions import explained
from novitai.policies.steps import Act, Action, Apply, Buy, Limits, Wait, next_step, removes
from novitai.ports.store import Check, Claim, Commit, Conflict, Finish, JobStatus, Put, Requeue
from novitai.reconcilers.lifecycle.acting import AUTH_PAUSE_SECONDS, Acting
from novitai.reconcilers.lifecycle.buying import Buying
from novitai.reconcilers.lifecycle.run import PutOff, Run

log = structlog.get_logger("novitai.lifecycle")

OBSERVE_AGAIN_SECONDS = 60.0
"""In observe mode, until what would be done is looked at again: it is to be done when changes are allowed, even by
another process.
"""
MOST_STEPS = 40
"""Steps in one run; more than any way through the table needs, so reaching it is a fault and is logged as one."""


@dataclass(frozen=True)
class LifecycleSettings:
    """`observe`: decide and explain, but make no call that changes anything on Novita."""

    limits: Limits = field(default_factory=Limits)
    observe: bool = False


class LifecycleReconciler:
    """Handler of the lane `instances`."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        reads: ReadModel,
        buying: Buying,
        acting: Acting,
        standing: AccountStanding,
        settings: LifecycleSettings,
    ) -> None:
        self._ledger = ledger
        self._reads = reads
        self._standing = standing
        self._buying = buying
        self._acting = acting
        self._settings = settings
        self._looked_at: dict[InstanceId, dict[MachineId, float]] = {}

    async def handle(self, claim: Claim) -> None:
        """Run the job of one instance to its end or to its next due time."""
        instance_id = claim.key.partition(":")[2]
        looked_at = self._looked_at.setdefault(InstanceId(instance_id), {})
        run = Run(claim=claim, ledger=self._ledger, looked_at=looked_at)
        for _ in range(MOST_STEPS):
            snapshot = await self._ledger.load(instance_id)
            if snapshot is None:
                self._looked_at.pop(InstanceId(instance_id), None)
                await self._ledger.store.commit(Commit(finish=Finish(claim=claim)))
                return
            self._bind(snapshot.instance)
            try:
                if await self._step(run, snapshot):
                    return
            except Conflict as conflict:
                if type(conflict) is not Conflict:
                    raise  # LeaseLost: someone else goes on with it
                continue  # decided on an old snapshot: thrown away
            except PutOff as later:
                await self._put_off(run, instance_id, later)
                return
        log.error("invariant_broken", instanceId=instance_id, what=f"no end after {MOST_STEPS} steps")
        await self._put_off(run, instance_id, PutOff(10.0, why="too many steps", failed=True))

    async def _step(self, run: Run, snapshot: Snapshot) -> bool:
        """One step; True when the run has ended."""
        instance = snapshot.instance
        run.forget_looks_but_at(machines_of(instance))
        now = self._ledger.clock.now()
        step = next_step(
            instance,
            now=now,
            limits=self._settings.limits,
            looked_at=run.looked_at,
            crowded=self._reads.backlog() > 0,
            postponed=run.postponed,
        )
        match step:
            case Wait(until=until):
                if await self._buying.call_has_ended(snapshot):
                    return False
                later = run.put_off_until(until, now=now)
                if later is not None:
                    raise later
                await self._end(run, snapshot, until)
                return True
            case Apply():
                await self._apply(snapshot, step)
            case Buy() | Act() if self._settings.observe and not _only_looks(step):
                log.info("would_act", instanceId=instance.id, step=repr(step))
                await self._end(run, snapshot, now + OBSERVE_AGAIN_SECONDS)
                return True
            case Buy() | Act() if self._standing.key_refused:
                raise PutOff(
                    AUTH_PAUSE_SECONDS, why="Novita refuses the API key; this waits until it is accepted again"
                )
            case Buy():
                await self._buying.buy(run, snapshot)
            case Act():
                await self._act(run, snapshot, step)
        return False

    async def _act(self, run: Run, snapshot: Snapshot, act: Act) -> None:
        """Make a call; one that removes a machine in vain must not hold up a stop, or the removal of another
        machine.
        """
        try:
            await self._acting.act(run, snapshot, act)
        except PutOff as later:
            if not removes(snapshot.instance, act):
                raise
            run.postpone(act.machine_id, later)

    async def _apply(self, snapshot: Snapshot, step: Apply) -> None:
        puts: tuple[Put, ...] = ()
        if step.attempt is not None:
            number, outcome = step.attempt
            closed = await self._closed_attempt(snapshot.instance, number, outcome)
            puts = (closed,) if closed is not None else ()
        await self._ledger.commit(snapshot.version, explained(snapshot.instance, step.change), puts=puts)

    async def _closed_attempt(self, instance: Instance, number: int, outcome: AttemptOutcome) -> Put | None:
        record = await self._ledger.store.get(records.ATTEMPT, attempt_id(instance.id, number))
        if record is None:
            return None
        attempt: Attempt = records.read_attempt(record)
        return records.put_attempt(closed(attempt, outcome, at=self._ledger.clock.now()), expect=record.version)

    async def _end(self, run: Run, snapshot: Snapshot, until: float | None) -> None:
        instance = snapshot.instance
        check = Check(kind=records.INSTANCE, id=instance.id, version=snapshot.version)
        finish = self._finish(run.claim, instance, until)
        await self._ledger.store.commit(Commit(checks=(check,), finish=finish))
        if until is None and instance.state is State.DELETED:
            self._looked_at.pop(instance.id, None)
            self._buying.forget(instance.id)

    def _finish(self, claim: Claim, instance: Instance, until: float | None) -> Finish:
        if until is not None:
            return Finish(claim=claim, requeue=self._requeue(claim, instance, until))
        if instance.state is State.FAILED and instance.last_error is not None:
            return Finish(claim=claim, status=JobStatus.FAILED, error=str(instance.last_error.code))
        return Finish(claim=claim)

    def _requeue(
        self, claim: Claim, instance: Instance, due: float, *, keep_attempts: bool = False, error: str | None = None
    ) -> Requeue:
        kind, priority = work_of(instance)
        fresh = self._ledger.ids.new("job") if kind != claim.type else claim.id
        return Requeue(due=due, type=kind, id=fresh, priority=priority, keep_attempts=keep_attempts, error=error)

    async def _put_off(self, run: Run, instance_id: str, later: PutOff) -> None:
        snapshot = await self._ledger.load(instance_id)
        if snapshot is None:
            await self._ledger.store.commit(Commit(finish=Finish(claim=run.claim)))
            return
        pause = later.seconds
        if later.failed:
            pause = max(pause, requeue_delay(run.claim.attempts, random=self._ledger.ids.random()))
        due = self._ledger.clock.now() + pause
        tell = log.warning if later.failed else log.debug
        tell("retry", instanceId=instance_id, type=run.claim.type, seconds=round(pause, 3), why=later.why)
        requeue = self._requeue(run.claim, snapshot.instance, due, keep_attempts=later.failed, error=later.why)
        await self._ledger.store.commit(Commit(finish=Finish(claim=run.claim, requeue=requeue)))

    def _bind(self, instance: Instance) -> None:
        structlog.contextvars.bind_contextvars(instanceId=instance.id, correlationId=instance.operation.correlation_id)


def _only_looks(step: Buy | Act) -> bool:
    return isinstance(step, Act) and step.action is Action.LOOK


def closed(attempt: Attempt, outcome: AttemptOutcome, *, at: float) -> Attempt:
    """The attempt with its outcome."""
    return msgspec.structs.replace(attempt, outcome=outcome, resolved_at=at)
