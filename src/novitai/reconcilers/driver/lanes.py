"""A lane claims due jobs of its kind and runs at most `slots` at once.

While a job runs its lease is renewed, and a run that lost its lease is cancelled: someone else goes on with it. What a
job raises never ends the lane; the job is tried again later. A handler whose run waits for somebody else may step
aside: the run goes on as before, without holding one of the slots.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from novitai.policies.backoff import requeue_delay
from novitai.ports.store import (
    Claim,
    Commit,
    Committed,
    Finish,
    JobStatus,
    LeaseLost,
    Requeue,
    Store,
    StoreError,
    StoreUnavailable,
)
from novitai.ports.world import Clock, Ids
from novitai.reconcilers.driver.leasing import (
    FAULT_PAUSE,
    LEASE_SECONDS,
    LONGEST_SLEEP,
    PAUSED_LOOK,
    RENEW_SECONDS,
    STORE_AWAY_PAUSE,
)
from novitai.reconcilers.driver.nudge import Nudge

log = structlog.get_logger("novitai.driver")

Handler = Callable[[Claim], Awaitable[None]]
"""Runs one job. It must end the claim by a commit with `Finish`; what it raises is logged, and the job is tried
again later.
"""


class JobTold(Protocol):
    """Is told of each job that ended for good, after a last run of `seconds`."""

    def __call__(self, *, job_type: str, status: str, seconds: float) -> None: ...


def _untold(*, job_type: str, status: str, seconds: float) -> None:
    """Nobody wants to know."""


def _never() -> bool:
    return False


@dataclass
class _Held:
    """A claim that is being run. `woken`: asked for again meanwhile, so that its end is not the job's. `aside`: it
    holds no slot any more.
    """

    claim: Claim
    began: float
    woken: bool = False
    aside: bool = False


class Lane:
    """Claims and runs the jobs of one lane."""

    def __init__(
        self,
        name: str,
        *,
        slots: int,
        handler: Handler,
        store: Store,
        clock: Clock,
        ids: Ids,
        owner: str,
        told: JobTold = _untold,
        paused: Callable[[], bool] = _never,
    ) -> None:
        self.name = name
        self.slots = slots
        self.finished = 0
        self._handler = handler
        self._store = store
        self._clock = clock
        self._ids = ids
        self._owner = owner
        self._told = told
        self._paused = paused
        self._nudge = Nudge(clock)
        self._running: dict[asyncio.Task[None], _Held] = {}
        self._held: dict[str, _Held] = {}
        self._aside = 0
        self._claimer: asyncio.Task[None] | None = None
        self._renewer: asyncio.Task[None] | None = None
        self._stopping = False
        self._store_away = False

    @property
    def busy(self) -> int:
        """Slots taken now."""
        return len(self._running) - self._aside

    def step_aside(self, claim: Claim) -> None:
        """Give the slot of a run to another job while the run goes on: its lease is renewed and its end waited for as
        before. Nothing here bounds how many do so; that is the handler's part.
        """
        held = self._held.get(claim.key)
        if held is None or held.aside or held.claim.token != claim.token:
            return
        held.aside = True
        self._aside += 1
        self._nudge.give()

    def committed(self, commit: Commit, _result: Committed) -> None:
        """Look sooner when a commit of this process asked for work on this lane, and count what has ended."""
        for wake in commit.wakes:
            if wake.key in self._held:
                self._held[wake.key].woken = True
        finish = commit.finish
        ours = finish is not None and finish.claim.lane == self.name
        if finish is not None and ours:
            self._count(finish)
        if ours or any(wake.lane == self.name for wake in commit.wakes):
            self._nudge.give()

    def start(self) -> None:
        """Begin to claim; returns at once."""
        self._claimer = asyncio.create_task(self._claim_forever(), name=f"{self.name} claimer")
        self._renewer = asyncio.create_task(self._renew_forever(), name=f"{self.name} lease renewer")

    async def stop(self, *, grace: float = 5.0) -> None:
        """Claim no more, let running jobs end within `grace` seconds (of real time), then cancel them and give them
        back, so that another process can take them up at once.
        """
        self._stopping = True
        self._nudge.give()
        if self._claimer is not None:
            # Not cancelled: a claim that is being made would be held by nobody until its lease runs out.
            await asyncio.wait({self._claimer}, timeout=grace)
        if self._running:
            await asyncio.wait(set(self._running), timeout=grace)
        unfinished = dict(self._running)
        helpers = [task for task in (self._claimer, self._renewer) if task is not None]
        for task in (*helpers, *unfinished):
            task.cancel()
        await asyncio.gather(*helpers, *unfinished, return_exceptions=True)
        self._claimer = self._renewer = None
        await asyncio.gather(*(self._give_back(held.claim) for held in unfinished.values()))

    async def _claim_forever(self) -> None:
        while not self._stopping:
            try:
                pause = await self._claim_once()
                self._store_away = False
            except StoreUnavailable as error:
                if not self._store_away:
                    log.warning("store_away", lane=self.name, error=str(error))
                self._store_away = True
                pause = STORE_AWAY_PAUSE
            except Exception:  # a lane must outlive whatever claiming meets: nobody else would do its work
                log.exception("claim_failed", lane=self.name)
                pause = FAULT_PAUSE
            await self._nudge.wait(pause)

    async def _claim_once(self) -> float:
        """Fill the free slots; gives how long nothing can be due."""
        if self._paused():
            return PAUSED_LOOK
        free = self.slots - self.busy
        if free <= 0:
            return LONGEST_SLEEP
        claims = await self._store.claim(self.name, owner=self._owner, limit=free, lease_seconds=LEASE_SECONDS)
        for claim in claims:
            self._begin(claim)
        if len(claims) == free:
            return LONGEST_SLEEP  # full: a job that ends or steps aside nudges
        due = await self._store.next_due(self.name)
        return LONGEST_SLEEP if due is None else min(LONGEST_SLEEP, max(0.001, due - self._clock.now()))

    def _begin(self, claim: Claim) -> None:
        held = _Held(claim=claim, began=self._clock.now())
        task = asyncio.create_task(self._run(claim), name=f"{self.name} {claim.key}")
        self._running[task] = held
        self._held[claim.key] = held
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        held = self._running.pop(task)
        self._aside -= held.aside
        if self._held.get(held.claim.key) is held:
            del self._held[held.claim.key]
        self.finished += 1
        self._nudge.give()

    def _count(self, finish: Finish) -> None:
        held = self._held.get(finish.claim.key)
        if held is None or held.claim.token != finish.claim.token or held.woken:
            return
        requeue = finish.requeue
        if requeue is not None and requeue.type == finish.claim.type:
            return
        status = finish.status if requeue is None else JobStatus.COMPLETED
        self._told(job_type=finish.claim.type, status=str(status), seconds=self._clock.now() - held.began)

    async def _run(self, claim: Claim) -> None:
        structlog.contextvars.bind_contextvars(job=claim.id)
        try:
            await self._handler(claim)
        except LeaseLost:
            log.info("lease_lost", key=claim.key, type=claim.type)
        except StoreUnavailable as error:
            log.warning("store_away", key=claim.key, type=claim.type, error=str(error))
            await self._put_off(claim, why=str(error))
        except Exception:  # the last line of defence: whatever a job raises, the job is tried again
            log.exception("job_failed", key=claim.key, type=claim.type, attempts=claim.attempts)
            await self._put_off(claim, why="an unexpected error; see the log")

    async def _put_off(self, claim: Claim, *, why: str) -> None:
        """Try the job again later. While the store is away this waits for it: what is only left to its lease would
        rest for the whole of it after the store is back.
        """
        delay = requeue_delay(claim.attempts, random=self._ids.random())
        while True:
            finish = _again(claim, due=self._clock.now() + delay, why=why)
            try:
                await self._store.commit(Commit(finish=finish))
            except StoreUnavailable:
                await self._clock.sleep(STORE_AWAY_PAUSE)
            except LeaseLost:
                return
            else:
                return

    async def _give_back(self, claim: Claim) -> None:
        finish = _again(claim, due=self._clock.now(), why="interrupted")
        with suppress(StoreError):
            await self._store.commit(Commit(finish=finish))

    async def _renew_forever(self) -> None:
        while True:
            await self._clock.sleep(RENEW_SECONDS)
            held = list(self._running.items())
            if not held:
                continue
            try:
                kept = await self._store.renew([one.claim for _, one in held], lease_seconds=LEASE_SECONDS)
            except StoreUnavailable:
                continue
            except Exception:  # without renewing, every long job would be run twice
                log.exception("renewing_failed", lane=self.name)
                continue
            for task, one in held:
                if one.claim.key not in kept and not task.done():
                    task.cancel()


def _again(claim: Claim, *, due: float, why: str) -> Finish:
    requeue = Requeue(due=due, type=claim.type, id=claim.id, priority=claim.priority, keep_attempts=True, error=why)
    return Finish(claim=claim, requeue=requeue)
