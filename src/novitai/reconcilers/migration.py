"""Keeps true that what Novita takes back is brought back, as its rule says.

It looks when an instance is noticed or reclaimed (a commit nudges it), when a pause between two moves is over, and every
interval at the latest. It only begins a move, by the one operation for that, in the policy's name and with its evidence; a
decision on an instance that changed meanwhile is thrown away. What it would do, or leaves, is written down once.
"""

import asyncio

import structlog

from novitai.domain.automation import Part
from novitai.domain.errors import Code, Refusal
from novitai.operations.automation import Automation
from novitai.operations.ledger import Ledger, Snapshot
from novitai.operations.migration import Judged, Migrations, concerned
from novitai.operations.requests import Context
from novitai.policies.migration import Step
from novitai.ports.store import Lease, StoreError

SHORTEST_PAUSE = 0.2
AGAIN_SECONDS = 1.0
"""After a decision that was thrown away because its instance had changed."""
FAULT_PAUSE = 60.0

log = structlog.get_logger("novitai.migration")


class MigrationKeeper:
    """Work of the loop `migration`. `observe`: only write down what would be done; `interval`: the longest time between looks."""

    def __init__(
        self, *, ledger: Ledger, migrations: Migrations, automation: Automation, observe: bool, interval: float
    ) -> None:
        self._ledger = ledger
        self._migrations = migrations
        self._automation = automation
        self._observe = observe
        self._interval = interval
        self._crowded = False
        self._failing: set[str] = set()
        self._one_at_a_time = asyncio.Lock()
        self.last_look_at: float | None = None
        self.looks = 0

    async def run(self, lease: Lease | None) -> float:
        """Judge everything that Novita takes back and do what is due; gives the seconds until the next look. Without a lease each
        commit is guarded only by what it was judged on, which is enough.
        """
        async with self._one_at_a_time:
            return await self._look(lease)

    async def _look(self, lease: Lease | None) -> float:
        if self._automation.paused(Part.MIGRATION):
            return self._interval  # resuming nudges
        now = self._ledger.clock.now()
        self.looks, self.last_look_at = self.looks + 1, now
        dues = [now + self._interval]
        concerned_now = self._migrations.all()
        self._failing &= {judged.snapshot.instance.id for judged in concerned_now}
        dues += [again for judged in concerned_now if (again := await self._kept(judged, lease)) is not None]
        self._crowded = self._migrations.busy() >= self._migrations.most
        return max(SHORTEST_PAUSE, min(dues) - self._ledger.clock.now())

    def sooner(self, snapshot: Snapshot) -> bool:
        """Whether a change of an instance asks for a look now: it is being taken back, or others wait for a move that may
        have ended.
        """
        instance = snapshot.instance
        return instance.move is None and (concerned(instance) or (self._crowded and bool(instance.moves)))

    async def _kept(self, judged: Judged, lease: Lease | None) -> float | None:
        """As `_keep`; one instance that cannot be judged or moved must not keep the others from being brought back."""
        instance_id = judged.snapshot.instance.id
        try:
            again = await self._keep(judged, lease)
        except StoreError:
            raise
        except Exception:
            if instance_id not in self._failing:
                log.exception("migration_failed", instanceId=instance_id)
            self._failing.add(instance_id)
            return self._ledger.clock.now() + FAULT_PAUSE
        self._failing.discard(instance_id)
        return again

    async def _keep(self, judged: Judged, lease: Lease | None) -> float | None:
        """Do what is due for one instance; when to look at it again, if that is known."""
        judged = self._migrations.judge(judged.snapshot)  # what was begun for others counts
        verdict, instance = judged.verdict, judged.snapshot.instance
        context = Context(actor=self._migrations.actor(instance), correlation_id=self._ledger.ids.new("corr"))
        try:
            if verdict.step.acts and (judged.rule.dry_run or self._observe):
                log.info("would_move", instanceId=instance.id, way=str(verdict.way), because=verdict.because)
                await self._migrations.say(judged, f"would_{verdict.way}", context, lease=lease)
            elif verdict.step.acts:
                await self._migrations.begin(judged, context, lease=lease)
                log.info("automatic_action", instanceId=instance.id, action=str(verdict.way), reason=verdict.because)
            elif verdict.step is Step.LEAVE:
                await self._migrations.say(judged, "leave", context, lease=lease)
        except Refusal as refusal:
            if refusal.code is not Code.CONFLICT:
                raise
            return self._ledger.clock.now() + AGAIN_SECONDS
        return verdict.due
