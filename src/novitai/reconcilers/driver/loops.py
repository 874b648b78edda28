"""A loop keeps something true: it runs when its time has come or when it is nudged, one run at a time, under a lease,
with a visible status.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from novitai.domain.times import iso_or_none
from novitai.ports.store import Lease, LeaseLost, Store, StoreError, StoreUnavailable
from novitai.ports.world import Clock
from novitai.reconcilers.driver.leasing import LEASE_SECONDS, STORE_AWAY_PAUSE
from novitai.reconcilers.driver.nudge import Nudge

log = structlog.get_logger("novitai.driver")


class Loop:
    """Keeps something true, now and then.

    `work` gets the lease to guard its commits with and gives the seconds until its next run (None: `interval`). The
    lease is held from run to run, so that one process leads for as long as it lives. A run may last `longest_run` seconds before
    that counts as being late.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Lease], Awaitable[float | None]],
        *,
        interval: float,
        longest_run: float = 0.0,
        store: Store,
        clock: Clock,
        owner: str,
    ) -> None:
        self.name = name
        self.interval = interval
        self._longest_run = longest_run
        self.last_run_at: float | None = None
        self.next_run_at: float | None = None
        self.last_error: str | None = None
        self.runs = 0
        self.failures = 0
        self._work = work
        self._store = store
        self._clock = clock
        self._owner = owner
        self._nudge = Nudge(clock)
        self._tasks: list[asyncio.Task[None]] = []
        self._working: asyncio.Task[float | None] | None = None
        self._lease: Lease | None = None

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._working is not None

    def nudge(self) -> None:
        """Run sooner."""
        self._nudge.give()

    def start(self) -> None:
        """Begin; returns at once."""
        self._tasks = [
            asyncio.create_task(self._run_forever(), name=f"{self.name} loop"),
            asyncio.create_task(self._lead_forever(), name=f"{self.name} lease renewer"),
        ]

    async def stop(self) -> None:
        """End; a run under way is cancelled, since each of its commits stands by itself. Another process may lead at
        once.
        """
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._lease is not None:
            with suppress(StoreError):
                await self._store.release(self._lease)
            self._lease = None

    def late_by(self, now: float) -> float:
        """Seconds by which the next run is overdue, or by which the present one lasts too long."""
        if self._working is not None and self.last_run_at is not None:
            return max(0.0, now - self.last_run_at - self._longest_run)
        return max(0.0, now - self.next_run_at) if self.next_run_at is not None else 0.0

    def view(self) -> dict[str, object]:
        """Status for people."""
        return {
            "lastRunAt": iso_or_none(self.last_run_at),
            "nextRunAt": iso_or_none(self.next_run_at),
            "runs": self.runs,
            "lastError": self.last_error,
        }

    async def _run_forever(self) -> None:
        while True:
            pause = await self._run_once()
            self.next_run_at = self._clock.now() + pause
            await self._nudge.wait(pause)

    async def _run_once(self) -> float:
        try:
            lease = await self._acquire()
            if lease is None:
                return min(self.interval, LEASE_SECONDS / 4)
            self.last_run_at = self._clock.now()
            pause = await self._work_under(lease)
        except LeaseLost:
            return STORE_AWAY_PAUSE
        except StoreUnavailable as error:
            self.last_error = str(error)
            return STORE_AWAY_PAUSE
        except Exception as error:  # a loop must outlive whatever one run meets
            self.last_error = f"{type(error).__name__}: {error}"
            self.failures += 1
            log.exception("loop_failed", loop=self.name)
            return min(self.interval, 5.0)
        self.runs += 1
        self.last_error = None
        return self.interval if pause is None else pause

    async def _work_under(self, lease: Lease) -> float | None:
        """Run the work; raises LeaseLost when another process took the lead meanwhile."""
        self._working = asyncio.ensure_future(self._work(lease))
        try:
            return await self._working
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the loop itself is to end
            raise LeaseLost(f"another process leads {self.name}") from None
        finally:
            self._working.cancel()
            self._working = None

    async def _acquire(self) -> Lease | None:
        self._lease = await self._store.acquire(f"loop:{self.name}", owner=self._owner, seconds=LEASE_SECONDS)
        return self._lease

    async def _lead_forever(self) -> None:
        """Keep the lease; a run that has lost it is cancelled."""
        while True:
            await self._clock.sleep(LEASE_SECONDS / 2)
            if self._lease is None:
                continue
            try:
                kept = await self._acquire()
            except StoreUnavailable:
                continue
            except Exception:
                log.exception("renewing_failed", loop=self.name)
                continue
            if kept is None and self._working is not None:
                self._working.cancel()
