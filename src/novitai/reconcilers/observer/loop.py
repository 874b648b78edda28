"""When to look at Novita, and how much.

Two speeds: all pages once per quiet interval; while something is in motion a *fast tick* that costs min(pages, machines
in motion) calls, and while a create's outcome is searched for, a sweep. Both stretch when the calls would not fit the
observer's share of the limiter. Doubts are settled by at most `confirmations_per_sweep` single reads after a sweep, the
longest unread first; a sweep that a single read contradicts is worth nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from novitai.domain.errors import NotAllowed, ProviderFailure, TryLater
from novitai.domain.ids import MachineId
from novitai.domain.instance import Instance, OpenAttempt
from novitai.domain.lifecycle import State
from novitai.domain.machine import Machine, SpotStatus
from novitai.operations.costs import Costs
from novitai.operations.freshness import Freshness
from novitai.operations.ledger import Ledger, Snapshot
from novitai.operations.reads import ReadModel
from novitai.operations.standing import AccountStanding
from novitai.operations.sweep import PAGE_SIZE, Sweep, read_pages
from novitai.policies.moves import told_stuck
from novitai.policies.strays import ExtraMachines
from novitai.ports.coordination import Share
from novitai.ports.provider import Call, Provider
from novitai.ports.store import Lease
from novitai.ports.world import Sealer
from novitai.reconcilers.observer.sightings import Doubt, Sightings
from novitai.reconcilers.observer.upstream import UpstreamWatch

log = structlog.get_logger("novitai.observer")

CREATE_USUALLY_ANSWERS_SECONDS = 5.0
"""A create that was sent longer ago is searched for in the list."""
LONGEST_RETRY_AFTER_SECONDS = 600.0


class SweepTold(Protocol):
    """Is told of each reading of the whole list."""

    def __call__(self, *, complete: bool, pages: int, machines: int) -> None: ...


def _untold(*, complete: bool, pages: int, machines: int) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class ObserverSettings:
    """Intervals in seconds; `calls_per_minute` is the observer's share of the limiter."""

    installation: str
    quiet_interval: float = 30.0
    fast_interval: float = 3.0
    settle_time: float = 60.0
    extra_machines: ExtraMachines = ExtraMachines.REPORT
    calls_per_minute: float = 30.0
    page_size: int = PAGE_SIZE
    longest_wait: float = 30.0
    confirmations_per_sweep: int = 10


class Observer:
    """Work of the loop `observer`."""

    def __init__(
        self,
        *,
        provider: Provider,
        ledger: Ledger,
        reads: ReadModel,
        freshness: Freshness,
        sealer: Sealer,
        costs: Costs,
        standing: AccountStanding,
        settings: ObserverSettings,
        told: SweepTold = _untold,
    ) -> None:
        self._provider = provider
        self._reads = reads
        self._freshness = freshness
        self._settings = settings
        self._told = told
        self._clock = ledger.clock
        self._call = Call(share=Share.OBSERVE, longest_wait=settings.longest_wait)
        self._sightings = Sightings(
            provider=provider,
            ledger=ledger,
            reads=reads,
            freshness=freshness,
            sealer=sealer,
            costs=costs,
            installation=settings.installation,
            settle_time=settings.settle_time,
            extra_machines=settings.extra_machines,
            call=self._call,
        )
        self._upstream = UpstreamWatch(provider=provider, ledger=ledger, standing=standing)
        self._next_sweep_at = 0.0
        self._pages = 1
        self._earliest = 0.0
        self._settled: dict[MachineId, float] = {}

    def sweep_soon(self) -> None:
        """Read the whole list at the next tick."""
        self._next_sweep_at = 0.0

    async def run(self, lease: Lease) -> float:
        """One tick; gives the seconds until the next."""
        began = self._clock.now()
        if began < self._earliest:
            return self._earliest - began  # nudged too soon
        self._freshness.running = True
        try:
            calls = await self._tick(began)
        except ProviderFailure as failure:
            await self._failed(failure, lease)
            return self._pause_after_failure(failure)
        finally:
            self._freshness.running = False
        if calls:
            self._worked()
            await self._upstream.accepted(lease)
        await self._upstream.look_at_circuits(lease)
        return self._pause(began)

    async def _tick(self, now: float) -> int:
        """Look at what is due; how many calls that took."""
        moved = self._in_motion()
        if now >= self._next_sweep_at or self._searches(now) or len(moved) >= self._pages:
            return await self._sweep(now)
        return await self._look_at(moved)

    def _in_motion(self) -> Sequence[Snapshot]:
        """Instances whose machine will change by itself soon."""
        return [s for s in self._reads.all() if moving(s.instance)]

    def _open_attempts(self) -> Sequence[OpenAttempt]:
        attempts = (s.instance.open_attempt for s in self._reads.all())
        return [attempt for attempt in attempts if attempt is not None and attempt.disproved_at is None]

    def _searches(self, now: float) -> bool:
        """Whether the list is to tell what became of a create."""
        return any(now >= attempt.sent_at + CREATE_USUALLY_ANSWERS_SECONDS for attempt in self._open_attempts())

    async def _look_at(self, snapshots: Sequence[Snapshot]) -> int:
        """Read machines singly; one that cannot be read does not keep the others from being looked at."""
        failed: ProviderFailure | None = None
        for snapshot in snapshots:
            try:
                await self._sightings.look(snapshot)
            except (NotAllowed, TryLater):
                raise
            except ProviderFailure as failure:
                failed = failure
                log.warning("look_failed", instanceId=snapshot.instance.id, error=failure.message)
        if failed is not None and len(snapshots) == 1:
            raise failed
        return len(snapshots)

    # ── a sweep ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _sweep(self, began: float) -> int:
        self._freshness.last_poll_at = began
        doubts: list[Doubt] = []

        async def take(machine: Machine, read_at: float) -> None:
            doubt = await self._sightings.take(machine, read_at)
            if doubt is not None:
                doubts.append(doubt)

        sweep = await read_pages(
            self._provider, self._call, page_size=self._settings.page_size, clock=self._clock, take=take
        )
        self._note(sweep)
        if sweep.complete:
            doubts += self._sightings.absent(sweep)
        looks, trusted = await self._settle(doubts)
        if len(doubts) > looks:
            self._next_sweep_at = began + self._seconds_of(sweep.calls + looks)  # the rest as the share allows
        if sweep.complete and trusted:
            self._freshness.last_complete_at = sweep.began
            self._freshness.forget(before=sweep.began)
            await self._sightings.disprove(sweep)
            await self._sightings.meter_missing(sweep)
        self._sightings.count_unknown()
        self._told(complete=sweep.complete, pages=sweep.calls, machines=len(sweep.seen))
        return sweep.calls + looks

    def _note(self, sweep: Sweep) -> None:
        self._pages = max(1, sweep.calls)
        self._freshness.sweep_interval = max(self._settings.quiet_interval, self._seconds_of(self._pages))
        self._next_sweep_at = sweep.began + self._freshness.sweep_interval
        self._freshness.sweeps += 1
        self._freshness.pages = sweep.calls
        if sweep.complete:
            log.debug("poll_done", machines=len(sweep.seen), pages=sweep.calls)
        else:
            log.warning("sweep_incomplete", seen=len(sweep.seen), total=sweep.total, unreadable=sweep.unreadable)

    async def _settle(self, doubts: Sequence[Doubt]) -> tuple[int, bool]:
        """Settle some doubts, the longest unread first; how many calls that took, and whether the list can be believed:
        none of its gaps turned out to be wrong, and none was left unread.
        """
        at = self._clock.now()
        self._settled = {d.machine_id: self._settled.get(d.machine_id, 0.0) for d in doubts}
        chosen = sorted(doubts, key=lambda doubt: self._settled[doubt.machine_id])
        trusted, calls = True, 0
        for doubt in chosen[: self._settings.confirmations_per_sweep]:
            calls += 1
            self._settled[doubt.machine_id] = at
            try:
                exists = await doubt.settle()
            except NotAllowed:
                raise
            except ProviderFailure as failure:
                log.warning("look_failed", novitaId=doubt.machine_id, error=failure.message)
                trusted = False
                if isinstance(failure, TryLater):
                    break
                continue
            if doubt.absent and exists:
                log.warning("sweep_contradicted", novitaId=doubt.machine_id)
                trusted = False
        return calls, trusted and not any(doubt.absent for doubt in chosen[self._settings.confirmations_per_sweep :])

    # ── pace and trouble ──────────────────────────────────────────────────────────────────────────────────────────────

    def _seconds_of(self, calls: int) -> float:
        """How long the observer's share needs for so many calls."""
        return calls * 60.0 / self._settings.calls_per_minute

    def _pause(self, began: float) -> float:
        moved, attempts = self._in_motion(), self._open_attempts()
        cost = self._pages if attempts else min(self._pages, len(moved))
        fast = max(self._settings.fast_interval, self._seconds_of(cost))
        self._freshness.interval = fast if cost else self._freshness.sweep_interval
        self._earliest = began + fast
        due = self._earliest if cost else max(self._earliest, self._next_sweep_at)
        return max(0.01, due - self._clock.now())

    def _pause_after_failure(self, failure: ProviderFailure) -> float:
        settings = self._settings
        growing = settings.fast_interval * 2.0 ** min(self._freshness.failures_in_a_row - 1, 6)
        pause = settings.quiet_interval if isinstance(failure, NotAllowed) else min(settings.quiet_interval, growing)
        pause = max(pause, min(failure.retry_after or 0.0, LONGEST_RETRY_AFTER_SECONDS))
        self._earliest = self._clock.now() + pause
        return pause

    def _worked(self) -> None:
        self._freshness.failures_in_a_row = 0
        self._freshness.last_error = None

    async def _failed(self, failure: ProviderFailure, lease: Lease) -> None:
        self._freshness.failures_in_a_row += 1
        self._freshness.last_error = failure.message
        log.warning("poll_failed", error=failure.message, code=str(failure.code))
        if isinstance(failure, NotAllowed):
            await self._upstream.refused(failure, lease)
        await self._upstream.look_at_circuits(lease)


def moving(instance: Instance) -> bool:
    """Whether the instance's machine will change by itself soon, so that looking often is worth it."""
    machine = instance.machine
    if machine is None or (instance.state is State.MIGRATING and told_stuck(instance)):
        return False
    return (
        (instance.state.in_motion and instance.state is not State.DELETING)
        or machine.status.in_motion
        or machine.spot_status in {SpotStatus.NOTIFIED, SpotStatus.RECLAIMING}
    ) and instance.state not in {State.LOST, State.DELETED}


def wants_looking(instance: Instance) -> bool:
    """Whether the observer should look sooner than in a quiet interval."""
    attempt = instance.open_attempt
    return moving(instance) or (attempt is not None and attempt.disproved_at is None)
