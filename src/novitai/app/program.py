"""The program as a value: made from settings, started, stopped. Serving does not wait for Novita, and stopping loses
nothing.

Start: the store is opened and the read model loaded, then everything that runs by itself, then the door is opened.
Stop: the door is closed first, what is under way is finished within a few seconds, and what is not goes on after the
next start from what was committed.
"""

import asyncio
import time

import structlog

from novitai.api.health import SystemHealth
from novitai.api.loops import LoopView
from novitai.app import groups
from novitai.app.backlog import Backlog
from novitai.app.foundation import Foundation, Replaced, lay
from novitai.app.keepers import Keepers, build_keepers
from novitai.app.operations import Operations, build_operations
from novitai.app.telling import measure_moves, tell_changes
from novitai.config import Settings
from novitai.domain.automation import Part
from novitai.operations import records
from novitai.operations.ledger import Snapshot
from novitai.policies.schedule import timed
from novitai.ports.store import Commit, Committed, StoreUnavailable
from novitai.reconcilers.observer import wants_looking
from novitai.telemetry import looplag

log = structlog.get_logger("novitai")

SAMPLE_SECONDS = 5.0
AWAY_SECONDS = 1.0
"""Between looks at a store that is away: traffic should come back soon after it does."""


class Program:
    """Everything of one process but the door (see `server.py`)."""

    def __init__(self, base: Foundation) -> None:
        self.base = base
        self.operations: Operations = build_operations(base)
        self.keepers: Keepers = build_keepers(base, self.operations)
        self.started_at = base.clock.now()
        self._tasks: list[asyncio.Task[None]] = []
        self._store_ok = True
        self._backlog = Backlog(since=self.started_at)
        self._lag = looplag.Recent(base.metrics.loop_lagged)

    @classmethod
    async def open(cls, settings: Settings, replaced: Replaced | None = None) -> "Program":
        """Make a program and read what is stored; nothing runs yet."""
        program = cls(await lay(settings, replaced or Replaced()))
        try:
            await program._load()
        except BaseException:
            await program.stop()
            raise
        return program

    async def _load(self) -> None:
        store = self.base.store
        store.subscribe(self.operations.costs.committed)
        store.subscribe(self.operations.reads.committed)
        store.subscribe(self.operations.keys.committed)
        store.subscribe(self.operations.orphans.committed)
        store.subscribe(self.operations.automation.committed)
        store.subscribe(self.operations.idleness.committed)
        store.subscribe(self.operations.standing.committed)
        store.subscribe(self.operations.budgets.committed)
        store.subscribe(self._wake_on_commit)
        store.subscribe(tell_changes)
        store.subscribe(measure_moves(self.base.metrics))
        self.operations.reads.listen(self._watch_motion)
        self.operations.reads.listen(self._watch_timers)
        self.operations.reads.listen(self._watch_idleness)
        self.operations.reads.listen(self._watch_moves)
        self.operations.reads.listen(self._watch_budgets)
        await self.operations.costs.load()
        await self.operations.reads.load()
        await self.operations.keys.load()
        await self.operations.orphans.load()
        await self.operations.automation.load()
        await self.operations.idleness.load()
        await self.operations.standing.load()
        await self.operations.budgets.load()

    def start(self) -> None:
        """Begin everything that runs by itself; returns at once."""
        for lane in self.keepers.lanes:
            lane.start()
        for loop in self.keepers.loops:
            loop.start()
        self.keepers.health_checks.start()
        self._tasks = [
            asyncio.create_task(self._sample_forever(), name="metrics sampler"),
            asyncio.create_task(looplag.measure(self._lag.note, now=time.monotonic), name="loop lag"),
        ]
        log.info("started", installation=self.base.installation, instances=len(self.operations.reads.all()))

    async def stop(self, *, grace: float = 5.0) -> None:
        """End everything, in order; jobs under way get `grace` seconds. Stopping twice is fine."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.keepers.health_checks.stop()
        await asyncio.gather(*(loop.stop() for loop in self.keepers.loops))
        await asyncio.gather(*(lane.stop(grace=grace) for lane in self.keepers.lanes))
        for client in self.keepers.egress:
            await client.close()
        await self.base.provider.close()
        await self.base.coordination.close()
        await self.base.store.close()
        log.info("stopped")

    def latest_timer(self) -> float:
        """Seconds by which the latest loop, timer of an instance or due job is overdue."""
        now = self.base.clock.now()
        loops = (loop.late_by(now) for loop in self.keepers.loops)
        return max(*loops, self.keepers.timers.late_by(now), self._backlog.late_by(now))

    def loop(self, name: str) -> LoopView:
        """How a loop of this process is. Raises KeyError for a name that none has."""
        found = {loop.name: loop for loop in self.keepers.loops}[name]
        return LoopView(
            interval=found.interval,
            running=found.running,
            last_run_at=found.last_run_at,
            next_run_at=found.next_run_at,
            runs=found.runs,
            failures=found.failures,
            last_error=found.last_error,
        )

    def health(self) -> SystemHealth:
        """What this process knows of itself, from what was last observed."""
        return SystemHealth(
            started=bool(self._tasks),
            store_ok=self._store_ok,
            timer_late_seconds=self.latest_timer(),
            loop_lag_seconds=self._lag.worst,
            unsigned_webhooks=self.keepers.deliveries.unsigned > 0,
            observe=groups.observes(self.base.settings),
            paused=tuple(str(part) for part in self.operations.automation.switch.paused),
        )

    async def sample(self) -> None:
        """Set the gauges that tell how things stand now."""
        metrics, operations = self.base.metrics, self.operations
        states: dict[str, int] = {}
        for snapshot in operations.reads.all():
            states[snapshot.instance.state] = states.get(snapshot.instance.state, 0) + 1
        metrics.instances_are(states)
        counts = await self.base.store.job_counts()
        self._backlog.saw(counts, now=self.base.clock.now(), paused=operations.automation.paused(Part.JOBS))
        metrics.jobs_are({(count.type, str(count.status)): count.count for count in counts})
        for view in await self.base.provider.upstream():
            metrics.limiter_is(client=view.client, limit=view.limit, used=view.used, queue=view.queue_length)
            for name, breaker in view.breakers.items():
                metrics.breaker_is(client=name, state=breaker.state)
        for cache in self.base.coordination.cache_stats():
            metrics.cache_is(cache=cache.name, hits=cache.hits, misses=cache.misses)

    def _wake_on_commit(self, commit: Commit, result: Committed) -> None:
        for lane in self.keepers.lanes:
            lane.committed(commit, result)
        if any(append.log == records.AUDIT for append in commit.appends):
            self.keepers.audit_log.nudge()
        if any(put.kind == records.AUTOMATION for put in commit.puts):
            self.keepers.schedule.nudge()
            self.keepers.migration.nudge()
        if any(put.kind in {records.AUTOMATION, records.BUDGET} for put in commit.puts):
            self.keepers.budget.nudge()

    def _watch_motion(self, snapshot: Snapshot) -> None:
        """Something began to move: the observer's next look should not be a quiet interval away."""
        due = self.keepers.observer.next_run_at
        fast = self.base.settings.lifecycle.fast_poll_interval
        if wants_looking(snapshot.instance) and due is not None and due - self.base.clock.now() > fast:
            self.keepers.observer.nudge()

    def _watch_timers(self, snapshot: Snapshot) -> None:
        """Somebody spoke of an instance that has a schedule or a ttl: what comes next may come sooner."""
        if timed(snapshot.instance):
            self.keepers.schedule.nudge()

    def _watch_idleness(self, snapshot: Snapshot) -> None:
        """An instance became ready, or its rule another: its deadline may be before the next look."""
        if self.keepers.idle_stop.sooner(snapshot):
            self.keepers.idle.nudge()

    def _watch_budgets(self, snapshot: Snapshot) -> None:
        """Something runs that a used-up budget holds down."""
        if self.keepers.budget_keeper.sooner(snapshot):
            self.keepers.budget.nudge()

    def _watch_moves(self, snapshot: Snapshot) -> None:
        """Novita takes a machine back: what is done about it does not wait for the next look."""
        if self.keepers.migration_keeper.sooner(snapshot):
            self.keepers.migration.nudge()

    async def _sample_forever(self) -> None:
        while True:
            await self._check_store()
            try:
                await self.sample()
            except StoreUnavailable:
                pass  # said by the check above
            except Exception:
                log.exception("sampling_failed")
            await self.base.clock.sleep(SAMPLE_SECONDS if self._store_ok else AWAY_SECONDS)

    async def _check_store(self) -> None:
        try:
            await self.base.store.ping()
        except StoreUnavailable as error:
            if self._store_ok:
                log.warning("store_away", error=str(error))
            self._store_ok = False
        else:
            if not self._store_ok:
                log.info("store_back")
            self._store_ok = True
